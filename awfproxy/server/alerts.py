"""Tells the operator that a soft cap is passed: in the log, and to the port's webhook; once for each window.

One process of an installation does it: the only one, or the supervisor, to which workers report.

Rules:
- What was told, and what is still to be, is in the `alert_book`, so that a restart neither tells it again nor forgets
  it.  A receiver that has answered in the moment of a ``kill -9`` is told twice.
- To one URL goes one alert at a time.  Each has its own times to be tried again (`core.alerts`), so that one that the
  receiver does not take does not hold up the others.  At most `WAITING_MAX` wait for a URL.
- Nothing here fails a call or makes `/health` degraded.
- At the end all that waits is tried once more, for `LAST_SECONDS` together; the rest is told after the next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from awfproxy.core.alerts import Alert, Reply, body, pause
from awfproxy.core.secret import Secret
from awfproxy.core.settings import PortBudget, Proxy, Settings
from awfproxy.core.urls import webhook_origin
from awfproxy.core.windows import PRESENT
from awfproxy.ledger.budget_desk import titled
from awfproxy.server.alert_book import FILE_MAX, NAME, AlertBook, Entry
from awfproxy.server.webhook import Webhook
from awfproxy.state.kept_file import found, replace

txaio.use_twisted()
log = txaio.make_logger()

#: alerts that wait for one URL: users and features of a port, all at the turn of an hour
WAITING_MAX: Final = 256
#: seconds that the end of the service waits for answers
LAST_SECONDS: Final = 1.0

#: values of the metric's label: the receiver took it; an attempt failed and there will be another; it was not taken and
#: there will be none; too many waited
RESULTS: Final = ("delivered", "failed", "given_up", "dropped")

InThread = Callable[[Callable[[], None]], Deferred[None]]


class Posts(Protocol):
    """What `webhook.Webhook` does."""

    def post(self, body: bytes) -> Deferred[Reply]:
        """Make one attempt."""


class _Waiting:
    """An alert on its way to a URL."""

    def __init__(self, entry: Entry, due: float) -> None:
        self.entry = entry
        #: on the clock
        self.due = due
        self.attempts = 0


class _Lane:
    """All alerts on their way to one URL."""

    def __init__(self, webhook: Posts, host: str, proxy: Proxy | None) -> None:
        self.webhook = webhook
        self.host = host
        self.proxy = proxy
        #: nothing more is sent to it
        self.closed = False
        self.waiting: list[_Waiting] = []
        self.sending: Deferred[Any] | None = None
        self.timer: IDelayedCall | None = None
        self.looping = False

    def close(self) -> None:
        """Nobody names its URL any more."""
        self.closed = True
        self.waiting.clear()
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if self.sending is not None:
            self.sending.cancel()


class Alerts:
    """See the module.  Nothing is read or opened before `start`.

    :param clock: the reactor
    :param now: seconds since the epoch
    :param webhook: makes what posts to the URL of a budget
    :param in_thread: does what may block beside the reactor
    """

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        now: Callable[[], float],
        webhook: Callable[[PortBudget], Posts],
        in_thread: InThread,
    ) -> None:
        self._budgets = {port.name: port.budget for port in settings.ports}
        self._path = os.path.join(settings.service.state_dir, NAME)
        self._clock = clock
        self._now = now
        self._webhook = webhook
        self._in_thread = in_thread
        self._instance = ""
        self._book = AlertBook(None, 0.0)
        #: by URL
        self._lanes: dict[Secret, _Lane] = {}
        self._saving: Deferred[None] | None = None
        self._save_again = False
        self._stopped: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        #: nothing is sent any more
        self._closed = False
        #: by `RESULTS`
        self.results: dict[str, int] = dict.fromkeys(RESULTS, 0)

    def start(self, instance: str) -> None:
        """Read what was told before, and go on telling; blocks.

        :param instance: this installation's id
        """
        self._instance = instance
        try:
            text = found(self._path, FILE_MAX)
        except OSError as error:
            log.warn("{file} cannot be read: {why}", file=NAME, why=error.strerror or str(error))
            text = None
        self._book = AlertBook(text, self._now())
        if self._book.damaged:
            log.warn("{file} is damaged: soft caps that are passed are told once more", file=NAME)
        self._lanes = self._lanes_of(self._budgets)
        for entry in self._book.pending:
            self._send(entry)

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Make what other settings need.

        :returns: has alerts go by them from then on; cannot fail
        """
        budgets = {port.name: port.budget for port in settings.ports}
        lanes = self._lanes_of(budgets)

        def take() -> None:
            before, self._lanes, self._budgets = self._lanes, lanes, budgets
            for key, lane in before.items():
                if lanes.get(key) is not lane:
                    lane.close()
            # what was on its way to a URL that nobody has any more, or to none, goes where it is to go now
            for entry in self._book.pending:
                if all(waiting.entry is not entry for each in lanes.values() for waiting in each.waiting):
                    self._send(entry)

        return take

    def _lanes_of(self, budgets: Mapping[str, PortBudget]) -> dict[Secret, _Lane]:
        """One for each URL: those there are, where the way to it is the same, and new ones."""
        found: dict[Secret, _Lane] = {}
        for budget in budgets.values():
            if budget.webhook is not None and budget.webhook not in found:
                kept = self._lanes.get(budget.webhook)
                if kept is None or kept.proxy != budget.webhook_proxy:
                    host = webhook_origin(budget.webhook).host
                    kept = _Lane(self._webhook(budget), host, budget.webhook_proxy)
                found[budget.webhook] = kept
        return found

    def passed(self, alert: Alert) -> None:
        """A process has noticed that a soft cap is passed."""
        lane, entry = self._lane(alert), self._book.of(alert)
        if entry is None:
            log.warn(
                "the soft cap of {budget} is passed: {used} tokens used {period}, soft cap {cap}",
                budget=titled(alert.scope), used=alert.used, period=PRESENT[alert.period], cap=alert.soft_cap,
            )  # fmt: skip
            entry = self._book.note(alert, "said" if lane is None else "pending")
        elif entry.state == "said" and lane is not None:  # the webhook is new
            entry.state = "pending"
        else:
            return
        self._save()
        if lane is not None:
            self._send(entry)

    def stop(self) -> Deferred[None]:
        """Try what waits once more, and close; fires within `LAST_SECONDS`, or so."""
        self._stopped = Deferred()
        self._deadline = self._clock.callLater(LAST_SECONDS, self._too_late)
        for lane in self._lanes.values():
            for waiting in lane.waiting:
                waiting.due = float("-inf")
            self._next(lane)
        stopped = self._stopped
        self._look_whether_stopped()
        return stopped

    # -- to the webhooks

    def _lane(self, alert: Alert) -> _Lane | None:
        budget = self._budgets.get(alert.scope.port)
        return None if budget is None or budget.webhook is None else self._lanes.get(budget.webhook)

    def _send(self, entry: Entry) -> None:
        lane = self._lane(entry.alert)
        if lane is None:
            return  # the webhook is configured no more: kept for as long as it could come back
        if len(lane.waiting) >= WAITING_MAX:
            self._over(entry, "dropped")
            log.error(
                "{host} is not told of the soft cap of {budget}: {count} alerts wait",
                host=lane.host, budget=titled(entry.alert.scope), count=WAITING_MAX,
            )  # fmt: skip
            return
        lane.waiting.append(_Waiting(entry, self._clock.seconds()))
        self._next(lane)

    def _next(self, lane: _Lane) -> None:
        """Send what is due, one after the other; then come back when something is."""
        if lane.looping or self._closed:
            return  # an attempt ended within the loop below, or it is told after the next start
        if lane.timer is not None and lane.timer.active():
            lane.timer.cancel()
        lane.looping = True
        while lane.sending is None and lane.waiting:
            first = min(lane.waiting, key=lambda waiting: waiting.due)
            wait = first.due - self._clock.seconds()
            if wait > 0:
                if self._stopped is None:
                    lane.timer = self._clock.callLater(wait, self._next, lane)
                break
            first.attempts += 1
            lane.sending = sending = lane.webhook.post(body(first.entry.alert, self._instance))
            sending.addCallbacks(self._answered, self._failed, callbackArgs=(lane, first), errbackArgs=(lane, first))
        lane.looping = False

    def _answered(self, reply: Reply, lane: _Lane, waiting: _Waiting) -> None:
        lane.sending = None
        if self._closed or lane.closed:
            return  # cut off: it is told after the next start
        how = reply.why if reply.status is None else f"it answered {reply.status}"
        budget = titled(waiting.entry.alert.scope)
        wait = None if reply.delivered else pause(reply, waiting.attempts, self._now())
        if wait is not None:
            self.results["failed"] += 1
            waiting.due = self._clock.seconds() + wait
            log.warn(
                "{host} could not be told of the soft cap of {budget}: {how}; again in {wait:.0f} s",
                host=lane.host, budget=budget, how=how, wait=wait,
            )  # fmt: skip
        else:
            lane.waiting.remove(waiting)
            self._over(waiting.entry, "delivered" if reply.delivered else "given_up")
            if reply.delivered:
                log.info("{host} was told that the soft cap of {budget} is passed", host=lane.host, budget=budget)
            else:
                log.error(
                    "{host} is not told of the soft cap of {budget}: {how}", host=lane.host, budget=budget, how=how
                )
        self._next(lane)
        self._look_whether_stopped()

    def _failed(self, failure: Failure, lane: _Lane, waiting: _Waiting) -> None:
        """A defect; its text may hold anything."""
        self._answered(Reply(None, why=type(failure.value).__name__), lane, waiting)

    def _over(self, entry: Entry, result: str) -> None:
        self.results[result] += 1
        entry.state = "over"
        self._save()

    # -- the file

    def _save(self) -> None:
        if self._saving is not None:
            self._save_again = True
            return
        content = self._book.encode()
        self._saving = saving = self._in_thread(lambda: replace(self._path, content))
        saving.addErrback(self._not_saved)
        saving.addCallback(self._saved)

    def _not_saved(self, failure: Failure) -> None:
        failure.trap(OSError)
        log.warn("{file} cannot be written: {why}", file=NAME, why=getattr(failure.value, "strerror", None))

    def _saved(self, _: object) -> None:
        self._saving = None
        if self._save_again:
            self._save_again = False
            self._save()
        self._look_whether_stopped()

    # -- the end

    def _look_whether_stopped(self) -> None:
        if self._stopped is None or self._closed or self._saving is not None:
            return
        now = self._clock.seconds()
        for lane in self._lanes.values():
            if lane.sending is not None or any(waiting.due <= now for waiting in lane.waiting):
                return
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._closed = True
        self._stopped.callback(None)

    def _too_late(self) -> None:
        self._closed = True
        for lane in self._lanes.values():
            if lane.sending is not None:
                lane.sending.cancel()
        if self._stopped is not None:
            self._stopped.callback(None)


def open_alerts(settings: Settings, reactor: Any, now: Callable[[], float]) -> Alerts:
    """Those of a service, not started."""

    def webhook(budget: PortBudget) -> Posts:
        assert budget.webhook is not None
        return Webhook(budget.webhook, budget.webhook_proxy, reactor)

    def in_thread(function: Callable[[], None]) -> Deferred[None]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    return Alerts(settings, reactor, now, webhook, in_thread)
