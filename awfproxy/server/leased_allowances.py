"""All budgets of a process, and what its leases need of the ledger: opened, prolonged, given back, closed.

Each `BEAT_SECONDS` the ledger is told all figures, which prolongs the leases and brings the word that others want what
is free here.  One operation about a lease at a time is under way (`lease.Lease.busy`).

Rules:
- An account is opened from rows, so a lease is told to the ledger only after the journal was read up to the moment from
  which on its own figures count (`tail_mark`), and the records of calls that ended before are written.
- After the ledger was lost and made anew, nothing is reserved until it knows the lease again, and nothing is borrowed
  for `LOST_SECONDS`: by then all processes that live have told it theirs, and what is left is really free.
- What nobody needed for `IDLE_BEATS` goes back, and so does what others want.
- What an operation was prepared for may be gone when its turn comes: with another ledger it is not done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Grant, Holder, Window
from awfproxy.ledger.interface import Ledger
from awfproxy.server.allowance import Allowance, Cancel
from awfproxy.server.holdings_file import HoldingsFile, HoldingsFull
from awfproxy.server.intake import Intake
from awfproxy.server.lease import LEASE_SECONDS, Lease
from awfproxy.server.leased_allowance import LeasedAllowance
from awfproxy.server.ledger_thread import LedgerThread
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
        self._instance = instance
        self._open_holdings = open_holdings
        self._journal = journal
        self._clock = clock
        self._hurry = hurry
        self._lost_seconds = lost_seconds
        self.now = now
        self.monotonic = monotonic
        self.all: dict[Scope, LeasedAllowance] = {}
        #: by port, then by kind and name of the scope
        self._named: dict[str, dict[tuple[str, str], LeasedAllowance]] = {}
        self._leases: dict[Window, Lease] = {}
        self._holdings: HoldingsFile | None = None
        self._holder = Holder(instance, 0)
        self._made_anew = 0
        self._nothing_before = float("-inf")
        self._beating = LoopingCall(self.beat)
        self._beating.clock = clock
        self._timers: set[IDelayedCall] = set()
        self._stopping = False
        #: why no lease can be held; None: it can
        self.trouble: str | None = None

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        by_name = self._named.get(port)
        if by_name is None:
            return ()
        found = [by_name["port", ""]] if ("port", "") in by_name else []
        if user is not None and (theirs := by_name.get(("user", user))) is not None:
            found.append(theirs)
        listed = by_name.get(("feature", feature)) or by_name.get(("feature", OTHER_FEATURES))
        if listed is not None:
            found.append(listed)
        return tuple(found)

    def set_budget(self, scope: Scope, budget: Budget) -> None:
        """From now on this budget holds for the scope."""
        allowance = self.all.get(scope)
        if allowance is None:
            allowance = self.all[scope] = LeasedAllowance(scope, budget, self)
            self._named.setdefault(scope.port, {})[scope.kind, scope.name] = allowance
        elif allowance.budget != budget:
            allowance.change(budget)
            for lease in self._leases.values():
                if lease.window.scope == scope:
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
        for lease in list(self._leases.values()):
            lease.until = 0.0
            self._close(lease, whatever=True)
        done: Deferred[None] = Deferred()
        if not self._thread.running:
            self._closed(done)
            return done
        self._thread.do(lambda _: None, lambda _: self._closed(done))
        return done

    @property
    def unavailable(self) -> bool:
        return self._thread.trouble is not None or self.trouble is not None

    # -- what allowances use

    def open(self, window: Window) -> Lease | None:
        lease = self._leases.get(window)
        if lease is not None or self._stopping:
            return lease
        try:
            if self._holdings is None:
                self._holdings = self._open_holdings()
                self._holder = Holder(self._instance, self._holdings.number)
            holding = self._holdings.holding(window)
        except (OSError, HoldingsFull) as error:
            self._note(f"budgets cannot be spent: {getattr(error, 'strerror', None) or error}")
            return None
        self._note(None)
        lease = self._leases[window] = Lease(window, holding, self._handed())
        self.ready(lease)
        return lease

    def ready(self, lease: Lease) -> bool:
        if lease.known or lease.busy or self._stopping:
            return lease.known
        if lease.needed_at is None:
            if self._journal.written < lease.handed:
                return False
            lease.needed_at = self.monotonic()
        if self._mark.at <= lease.needed_at:
            self._hurry()
            return False
        holder, told, expires_at = self._holder, lease.held(), self.now() + LEASE_SECONDS
        recount = lease.recount

        def tell(ledger: Ledger) -> list[Grant]:
            grants = ledger.heartbeat(holder, [told], self.now(), expires_at)
            if recount:
                ledger.recount(lease.window)
            return grants

        def result(grants: list[Grant] | LedgerUnavailable) -> None:
            if not isinstance(grants, LedgerUnavailable):
                lease.recount = lease.recount and not recount
                lease.agree(told, grants[0], expires_at)

        self._do([lease], tell, result)
        return False

    def borrow(
        self, lease: Lease, cap: int, need: int, most: int, result: Callable[[Grant | LedgerUnavailable], None]
    ) -> bool:
        if self.monotonic() < self._nothing_before or self._stopping:
            return False
        holder, told, expires_at = self._holder, lease.held(), self.now() + LEASE_SECONDS

        def borrowed(done: Grant | LedgerUnavailable) -> None:
            if not isinstance(done, LedgerUnavailable):
                lease.agree(told, done, expires_at)
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
        for allowance in self.all.values():
            if allowance.budget.enabled:
                lease = allowance.at(now)
                if lease is not None and now > lease.end - OPEN_AHEAD:
                    self.open(allowance.window(lease.end))
        current = {allowance.lease for allowance in self.all.values() if allowance.budget.enabled}
        for lease in list(self._leases.values()):
            if lease in current or lease.start > now:
                lease.idle += 1
                if lease.wanted or lease.recall or lease.idle > IDLE_BEATS:
                    self._give_back(lease)
            elif not lease.holding.calls:
                self._close(lease)
            self.ready(lease)
        self._tell([lease for lease in self._leases.values() if lease.known and not lease.busy])

    def _tell(self, leases: list[Lease]) -> None:
        if not leases:
            return
        holder, expires_at = self._holder, self.now() + LEASE_SECONDS
        tolds = [lease.held() for lease in leases]

        def result(grants: list[Grant] | LedgerUnavailable) -> None:
            if isinstance(grants, LedgerUnavailable):
                return
            for lease, told, grant in zip(leases, tolds, grants, strict=True):
                lease.agree(told, grant, expires_at)

        self._do(leases, lambda ledger: ledger.heartbeat(holder, tolds, self.now(), expires_at), result)

    def _give_back(self, lease: Lease) -> None:
        if not lease.known or lease.busy:
            return
        lease.recall = False
        if not lease.holding.give_back():
            return
        lease.low = 0
        holder, told, until = self._holder, lease.held(), lease.until

        def result(done: Grant | LedgerUnavailable) -> None:
            if not isinstance(done, LedgerUnavailable):
                lease.agree(told, done, float(lease.holding.expires))
                lease.until = until

        self._do([lease], lambda ledger: ledger.give_back(holder, told, self.now()), result)

    def _close(self, lease: Lease, whatever: bool = False) -> None:
        """End a lease on which no call runs.

        :param whatever: also while something else is under way about it: the thread does it after that
        """
        if lease.holding.calls or (lease.busy and not whatever):
            return
        if not lease.known and not lease.busy:
            self._forget(lease)  # the ledger has nothing of it, and rows have what was spent
            return
        holder, told = self._holder, lease.held()

        def result(done: LedgerUnavailable | None) -> None:
            if done is None and not lease.holding.calls:
                self._forget(lease)

        self._do([lease], lambda ledger: ledger.close_lease(holder, told), result)

    def _forget(self, lease: Lease) -> None:
        del self._leases[lease.window]
        if self._holdings is not None:
            self._holdings.close_holding(lease.holding)

    def _closed(self, done: Deferred[None]) -> None:
        if self._holdings is not None:
            self._holdings.close()
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
            for lease in self._leases.values():
                lease.forgotten(self._handed())

    def _handed(self) -> int:
        return self._journal.written + self._journal.queue_records

    def _note(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble is not None:
                log.error("{trouble}", trouble=trouble)
