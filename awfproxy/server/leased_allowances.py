"""All budgets of a process, and what its leases need of the ledger: opened, prolonged, given back, closed.

Each `BEAT_SECONDS` the ledger is told all figures, which prolongs the leases and brings the word that others want what
is free here.  One operation about a lease at a time is under way (`lease.Lease.busy`).

Rules:
- A lease joins its account only after the journal was read up to the moment from which on its own figures count: see
  `lease`, which says what is counted where.
- After the ledger was lost and made anew, and when it does not have a lease that it had, nothing is reserved until it
  knows the lease again, and nothing is borrowed for `LOST_SECONDS`: by then all processes that live have told it
  theirs, and what is left is really free.
- What nobody needed for `IDLE_BEATS` goes back, and so does what others want, and all of a lease whose budget is off or
  has another window now.  A lease is closed when its window is over and no call runs on it any more.
- What an operation was prepared for may be gone when its turn comes: with another ledger it is not done.
- A defect in one lease's affairs is logged and said in `defect`, and the others' go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from awfproxy.core.budgets import UNITS, Budget, Scope, Unit
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Grant, Held, Window
from awfproxy.ledger.interface import Ledger
from awfproxy.server.allowance import Allowance, Cancel
from awfproxy.server.holdings_file import HoldingsFile
from awfproxy.server.intake import Intake
from awfproxy.server.lease import LEASE_SECONDS, Lease
from awfproxy.server.leased_allowance import LeasedAllowance
from awfproxy.server.ledger_thread import LedgerThread
from awfproxy.server.named_allowances import NamedAllowances
from awfproxy.server.places import Places
from awfproxy.server.tail_mark import TailMark

txaio.use_twisted()
log = txaio.make_logger()

T = TypeVar("T")

#: seconds between two tellings: within them a piece that others want comes back, less than calls wait
#: (`settings.ADMISSION_WAIT`); one small transaction each
BEAT_SECONDS: Final = 1.0
#: beats after which what nobody needed goes back
IDLE_BEATS: Final = 10
#: seconds before the end of a window in which the next one's account is opened, so that no call at midnight waits
OPEN_AHEAD: Final = 10.0
#: seconds after the loss of a ledger in which nothing is borrowed: many beats
LOST_SECONDS: Final = 15.0


class LeasedAllowances:
    """See `allowance.Allowances`.

    :param open_holdings: makes the file of this process, when the first budget needs it
    :param journal: of this process
    :param hurry: has the journal read at once, where it is this process that reads it
    :param now: seconds since the epoch
    :param monotonic: as `tail_mark` has it
    :param lost_seconds: 0 where no other process can hold a lease
    """

    def __init__(
        self,
        thread: LedgerThread,
        mark: TailMark,
        *,
        instance: str,
        open_holdings: Callable[[], HoldingsFile],
        journal: Intake,
        clock: IReactorTime,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        hurry: Callable[[], None] = lambda: None,
        lost_seconds: float = LOST_SECONDS,
    ) -> None:
        self._thread = thread
        self._mark = mark
        self._journal = journal
        self._clock = clock
        self._hurry = hurry
        self._lost_seconds = lost_seconds
        self.now = now
        self.monotonic = monotonic
        self.all: dict[tuple[Scope, Unit], LeasedAllowance] = {}
        self._named = NamedAllowances()
        self._leases: list[Lease] = []
        self._places = Places(instance, open_holdings)
        self._made_anew = 0
        self._nothing_before = float("-inf")
        self._beating = LoopingCall(self.beat)
        self._beating.clock = clock
        self._timers: set[IDelayedCall] = set()
        self._stopping = False
        #: what went wrong in the last beat, and should not; None: nothing
        self.defect: str | None = None
        self._failed = False

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        return self._named.of(port, user, feature)

    def set_budgets(self, budgets: Mapping[Scope, Budget]) -> None:
        """From now on these hold; others are off, and no call passes them."""
        for scope in {scope for scope, _ in self.all} - budgets.keys():
            self.set_budget(scope, Budget(period=self.all[scope, "tokens"].budget.period))
            self._named.forget(scope)
        for scope, budget in budgets.items():
            self.set_budget(scope, budget)
            self._named.name(scope, self.all[scope, "tokens"])

    def set_budget(self, scope: Scope, budget: Budget) -> None:
        """From now on this budget holds for the scope."""
        for unit in UNITS:
            self._set_cap(scope, budget, unit)

    def _set_cap(self, scope: Scope, budget: Budget, unit: Unit) -> None:
        allowance = self.all.get((scope, unit))
        if allowance is None:
            dollars = None if unit == "usd" else self.all[scope, "usd"]
            allowance = self.all[scope, unit] = LeasedAllowance(scope, budget, self, unit, dollars)
            if unit == "tokens":
                self._named.name(scope, allowance)
        elif allowance.budget != budget:
            allowance.change(budget, self._beating.running)
            for lease in allowance.leases:
                lease.recall = True  # a lower cap holds for what was borrowed under the old one
                self._give_back(lease)

    def start(self) -> None:
        """Open the accounts of all budgets; the thread must run."""
        self._thread.returned.append(self._returned)
        self._beating.start(BEAT_SECONDS, now=True)

    def stop(self) -> Deferred[None]:
        """Give everything back: no call must be running."""
        self._stopping = True
        if self._beating.running:
            self._beating.stop()
            self._thread.returned.remove(self._returned)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for lease in list(self._leases):
            self._close(lease, whatever=True)
        done: Deferred[None] = Deferred()
        if not self._thread.running:
            self._closed(done)
            return done
        self._thread.do(lambda _: None, lambda _: self._closed(done))
        return done

    @property
    def unavailable(self) -> bool:
        return self._thread.trouble is not None

    @property
    def trouble(self) -> str | None:
        """Why some budgets cannot be spent, so that ``on_ledger_loss`` decides about their calls; None: all can."""
        return self._places.trouble

    @property
    def waits_for_others(self) -> bool:
        """The ledger was made anew, and nothing is borrowed until all others have told it what they hold."""
        return self.monotonic() < self._nothing_before

    # -- what allowances use

    def open(self, window: Window, owner: LeasedAllowance) -> Lease | None:
        if self._stopping:
            return None
        holding = self._places.take(window, owner)
        if holding is None:
            return None
        lease = Lease(window, holding, owner, self._handed(), owner.used_since(window.start))
        self._leases.append(lease)
        self.ready(lease)
        return lease

    def ready(self, lease: Lease) -> bool:
        if lease.known or lease.busy or lease.closing or self._stopping:
            return lease.usable
        if not self._passed(lease):
            self._hurry()
        elif lease.ripe:
            self._join(lease)
        return False

    def _passed(self, lease: Lease) -> bool:
        return lease.look(self._journal.written, self._mark.at, self.monotonic(), self._handed())

    def _join(self, lease: Lease) -> None:
        lease.prepare()
        holder, told, expires_at, recount = self._places.holder, lease.held(), self.now() + LEASE_SECONDS, lease.recount

        def result(grant: Grant | LedgerUnavailable) -> None:
            if not isinstance(grant, LedgerUnavailable) and lease.agree(told, grant, expires_at):
                lease.known, lease.recount = True, False
            else:
                lease.forgotten(self._handed())  # perhaps it was done, and calls end until it is tried again

        self._do(
            [lease],
            lambda ledger: ledger.join(holder, told, now=self.now(), expires_at=expires_at, recount=recount),
            result,
        )

    def borrow(
        self, lease: Lease, cap: int, need: int, most: int, result: Callable[[Grant | LedgerUnavailable], None]
    ) -> bool:
        if self.monotonic() < self._nothing_before or self._stopping:
            return False
        holder, told, expires_at = self._places.holder, lease.held(), self.now() + LEASE_SECONDS

        def borrowed(done: Grant | LedgerUnavailable) -> None:
            if not isinstance(done, LedgerUnavailable):
                self._agree(lease, told, done, expires_at)
            result(done)

        self._do(
            [lease],
            lambda ledger: ledger.borrow(
                holder, told, cap=cap, need=need, most=most, now=self.now(), expires_at=expires_at
            ),
            borrowed,
        )
        return True

    def later(self, seconds: float, function: Callable[[], None]) -> Cancel:
        if self._stopping:
            return lambda: None

        def run() -> None:
            self._timers.discard(timer)
            function()

        def cancel() -> None:
            if timer in self._timers:
                self._timers.discard(timer)
                timer.cancel()

        timer = self._clock.callLater(seconds, run)
        self._timers.add(timer)
        return cancel

    # -- by the clock

    def beat(self) -> None:
        """Look after all leases."""
        now = self.now()
        self._failed = False
        for allowance in list(self.all.values()):
            self._safely(self._open_in_time, allowance, now)
        current = {allowance.lease for allowance in self.all.values() if allowance.cap.enabled}
        for lease in list(self._leases):
            self._safely(self._tend, lease, now, lease in current)
        self._safely(self._tell)
        if not self._failed:
            self.defect = None

    def _safely(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception as error:
            self._failed = True
            self.defect = f"leases are not looked after as they should be: {type(error).__name__}: {error}"
            log.failure("leases: a defect")

    def _open_in_time(self, allowance: LeasedAllowance, now: float) -> None:
        if allowance.cap.enabled:
            lease = allowance.at(now)
            if lease is not None and now > lease.end - OPEN_AHEAD:
                lease = allowance.open(lease.end)
            if lease is None:
                return
        self._places.content(allowance)  # it is off, or has what it needs

    def _tend(self, lease: Lease, now: float, current: bool) -> None:
        if not current and now >= lease.end:
            self._close(lease)
        elif current or lease.start > now:
            lease.idle += 1
            if lease.wanted or lease.recall or lease.idle > IDLE_BEATS:
                self._give_back(lease)
        else:
            self._give_back(lease)
        if lease.known:
            self._passed(lease)
        else:
            self.ready(lease)

    def _tell(self) -> None:
        leases = [lease for lease in self._leases if lease.usable and not lease.busy]
        if not leases:
            return
        holder, expires_at = self._places.holder, self.now() + LEASE_SECONDS
        tolds = [lease.held() for lease in leases]

        def result(grants: list[Grant] | LedgerUnavailable) -> None:
            if isinstance(grants, LedgerUnavailable):
                return
            for lease, told, grant in zip(leases, tolds, grants, strict=True):
                self._agree(lease, told, grant, expires_at)

        self._do(leases, lambda ledger: ledger.heartbeat(holder, tolds, self.now(), expires_at), result)

    def _agree(self, lease: Lease, told: Held, grant: Grant, expires_at: float) -> bool:
        if lease.agree(told, grant, expires_at):
            return True
        self._nothing_before = self.monotonic() + self._lost_seconds
        lease.forgotten(self._handed())
        return False

    def _give_back(self, lease: Lease) -> None:
        if not lease.usable or lease.busy:
            return
        lease.recall = False
        if not lease.holding.give_back():
            return
        lease.low = 0
        holder, told, until = self._places.holder, lease.held(), lease.until

        def result(done: Grant | LedgerUnavailable) -> None:
            if not isinstance(done, LedgerUnavailable) and self._agree(lease, told, done, lease.holding.expires):
                lease.until = until

        self._do([lease], lambda ledger: ledger.give_back(holder, told, self.now()), result)

    def _close(self, lease: Lease, whatever: bool = False) -> None:
        """End a lease on which no call runs.

        :param whatever: also while something else is under way about it: the thread does it after that
        """
        if lease.holding.calls or lease.closing or (lease.busy and not whatever):
            return
        if not lease.asked and not lease.busy:
            self._forget(lease)  # the ledger has nothing of it, and rows have what was spent
            return
        lease.closing = True
        holder, told = self._places.holder, lease.held()

        def result(done: LedgerUnavailable | None) -> None:
            if done is None:
                self._forget(lease)
            else:
                lease.closing = False

        self._do([lease], lambda ledger: ledger.close_lease(holder, told), result)

    def _forget(self, lease: Lease) -> None:
        self._leases.remove(lease)
        lease.owner.dropped(lease)
        self._places.leave(lease.holding)

    def _closed(self, done: Deferred[None]) -> None:
        self._places.close()
        done.callback(None)

    # -- the thread

    def _do(
        self, leases: list[Lease], operation: Callable[[Ledger], T], result: Callable[[T | LedgerUnavailable], None]
    ) -> None:
        made_anew = self._made_anew
        for lease in leases:
            lease.busy = True

        def guarded(ledger: Ledger) -> T | LedgerUnavailable:
            if self._thread.made_anew != made_anew:
                return LedgerUnavailable("the ledger was made anew")
            return operation(ledger)

        def answered(done: T | LedgerUnavailable) -> None:
            for lease in leases:
                lease.busy = False
            result(done)

        self._thread.do(guarded, answered)

    def _returned(self) -> None:
        """The ledger is there, perhaps another one."""
        if self._made_anew != self._thread.made_anew:
            self._made_anew = self._thread.made_anew
            self._nothing_before = self.monotonic() + self._lost_seconds
            for lease in self._leases:
                lease.forgotten(self._handed())

    def _handed(self) -> int:
        return self._journal.written + self._journal.queue_records
