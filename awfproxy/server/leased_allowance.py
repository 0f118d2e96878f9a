"""One budget, spent from a lease of the ledger's; see `allowance.Allowance`, which says what holds for callers.

Rules:
- What is free in the lease of the current window is reserved at once.  When little is left, more is borrowed before it
  is needed, unless the cap is too near: then every piece is asked for by a call that needs it, since pieces lying about
  in one process are refused calls in another.
- Those who ask are served in the order of their asking, each as soon as what it needs is there.  Whoever needs more
  than there is now does not hold up those who need less.
- At the end of a window its lease is kept while calls run that were admitted in it, then closed.  Before that it counts
  whatever was used in its window (see `lease`): calls that were let in while the budget was off, or had another period
  or another way to count, are charged when they end, and reserve nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from awfproxy.core.budgets import TOKENS_MAX, Budget, Count, Measure, Scope, Unit, cap_of
from awfproxy.core.windows import Windows, window_end
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Grant, Window
from awfproxy.server.allowance import NO_COUNTS, Answer, Answered, Cancel, Standing
from awfproxy.server.allowance import Reservation as AnyReservation
from awfproxy.server.lease import Lease, Reservation

#: seconds between two attempts to borrow for somebody who waits for what others have reserved
ASK_EVERY: Final = 0.25
#: seconds between two looks whether the ledger knows a lease by now
READY_EVERY: Final = 0.02
#: seconds for which somebody waits for the ledger to have read the journal; beyond it nobody knows whether it would
#: fit.  Less than calls wait (`settings.ADMISSION_WAIT`), so that the port's own rule for that decides
PATIENCE: Final = 1.5


class Lender(Protocol):
    """What an allowance needs of `leased_allowances.LeasedAllowances`."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    def open(self, window: Window, owner: LeasedAllowance) -> Lease | None:
        """The lease of a window; None: there is no place for one."""

    def ready(self, lease: Lease) -> bool:
        """Whether the ledger knows the lease; if not, that is being seen to."""

    def borrow(
        self, lease: Lease, cap: int, need: int, most: int, result: Callable[[Grant | LedgerUnavailable], None]
    ) -> bool:
        """Have ``need`` tokens free in a lease that is known and not busy; it has them when ``result`` is called.

        False: not now.
        """

    def later(self, seconds: float, function: Callable[[], None]) -> Cancel:
        """Call a function then, unless all has ended or it is cancelled."""

    @property
    def unavailable(self) -> bool:
        """The ledger cannot be reached."""


class _Asked:
    """Somebody who waits."""

    __slots__ = ("amount", "answered", "since", "tried")

    def __init__(self, amount: int, answered: Answered, since: float) -> None:
        self.amount = amount
        self.answered = answered
        self.since = since
        #: when the ledger said no
        self.tried = float("-inf")


def _nothing() -> None:
    """There is nothing to cancel."""


class LeasedAllowance:
    """See `allowance.Allowance`."""

    def __init__(
        self,
        scope: Scope,
        budget: Budget,
        lender: Lender,
        unit: Unit = "tokens",
        dollars: LeasedAllowance | None = None,
    ) -> None:
        self.scope = scope
        self.budget = budget
        self.cap = cap_of(budget, unit)
        #: the cap in dollars beside it
        self.dollars = dollars
        #: of the current window; None: none yet
        self.lease: Lease | None = None
        #: all that there are: of the window that was current before as long as it lasts, of the next one
        self.leases: list[Lease] = []
        #: ways to count of leases that there are, but for that of the budget: it was changed in their windows
        self.other_counts: tuple[Count, ...] = ()
        #: when the last of the calls was admitted that may have used something, seconds since the epoch
        self._used_at = float("-inf")
        self._unit: Unit = unit
        self._lender = lender
        self._windows = Windows(budget.period, lender.now())
        self._asked: list[_Asked] = []
        self._serving_at: float | None = None
        self._serve_no_later: Cancel = _nothing

    # -- what calls use

    @property
    def counts(self) -> bool:
        return self.cap.enabled or bool(self.leases)

    def reserve(self, amount: int, now: float) -> Reservation | None:
        if not self.cap.enabled:
            return Reservation(0, None, now)
        lease = self.lease
        if lease is None or not lease.start <= now < lease.end:
            lease = self.at(now)
            if lease is None:
                return None
        holding = lease.holding
        if now >= lease.until or not lease.known or lease.closing or not holding.reserve(amount):
            return None
        lease.idle = 0
        if holding.granted - holding.spent - holding.reserved < lease.low and not lease.busy:
            self._borrow_ahead(lease)
        return Reservation(amount, lease, now)

    def overdraw(self, now: float) -> Reservation:
        return Reservation(0, None, now)

    def settle(self, reservation: AnyReservation, used: int, otherwise: Mapping[Measure, int] = NO_COUNTS) -> None:
        assert isinstance(reservation, Reservation)
        if reservation.settled:
            raise ValueError(f"a reservation of {self.scope} is settled twice")
        reservation.settled = True
        own, admitted = reservation.lease, reservation.admitted
        if own is not None:
            own.holding.settle(reservation.amount, otherwise.get(own.window.measure, used) if otherwise else used)
        elif self.cap.enabled:
            self.at(self._lender.now())  # what is let in without cover makes one
        if used or otherwise:
            if admitted > self._used_at:
                self._used_at = admitted
                if self.dollars is not None:  # which may be off, and is not told then
                    self.dollars._used_at = admitted
            for lease in self.leases:
                if lease is not own and lease.start <= admitted < lease.end:
                    lease.holding.charge(otherwise.get(lease.window.measure, used))
        if self._asked:
            self._serve_within(0.0)

    def ask(self, amount: int, answered: Answered) -> Cancel:
        asked = _Asked(amount, answered, self._lender.monotonic())
        self._asked.append(asked)
        self._serve_within(0.0)

        def cancel() -> None:
            if asked in self._asked:
                self._asked.remove(asked)

        return cancel

    def standing(self, now: float) -> Standing:
        lease = self.at(now) if self.cap.enabled else None
        if lease is not None:
            return lease.standing(self.cap)
        start = self._windows.at(now)
        return Standing(
            used=0, reserved=0, lent=0, cap=self.cap.hard, soft_cap=self.cap.soft,
            window_start=start, window_end=window_end(self.budget.period, start), known=False,
        )  # fmt: skip

    # -- what the lender uses

    def at(self, now: float) -> Lease | None:
        """The lease of the window that it is now, opened if it has to be; None: there is no place for it."""
        start = self._windows.at(now)
        if self.lease is None or self.lease.start != start:
            self.lease = self.open(start)
        return self.lease

    def open(self, start: int) -> Lease | None:
        """The lease of the window that begins at ``start``; None: there is no place for it."""
        window = self.window(start)
        for lease in self.leases:
            if lease.window == window:
                return lease
        made = self._lender.open(window, self)
        if made is not None:
            self.leases.append(made)
            self._look_at_counts()
        return made

    def used_since(self, moment: float) -> bool:
        """Whether calls admitted then or later have used something."""
        return self._used_at >= moment

    def dropped(self, lease: Lease) -> None:
        """A lease is no more."""
        self.leases.remove(lease)
        if self.lease is lease:
            self.lease = None
        self._look_at_counts()

    def window(self, start: int) -> Window:
        period = self.budget.period
        return Window(self.scope, period, start, window_end(period, start), self.cap.measure)

    def change(self, budget: Budget, began: bool) -> None:
        """Other settings hold from now on.

        :param began: calls run.  Processes that are gone may have used something that no lease has covered
        """
        self.budget, self.cap = budget, cap_of(budget, self._unit)
        if began:
            self._used_at = max(self._used_at, self._lender.now())
        self._windows = Windows(budget.period, self._lender.now())
        self.lease = None
        self._look_at_counts()
        if self.cap.enabled:
            self.at(self._lender.now())
        self._serve_within(0.0)

    def serve(self) -> None:
        """Answer those whose answer is known, and borrow for the next of the others."""
        self._serving_at = None
        for asked in list(self._asked):
            if asked in self._asked and (answer := self._answer(asked)) is not None:
                self._asked.remove(asked)
                asked.answered(answer)
        lease = self.lease
        if not self._asked or lease is None:
            return
        if lease.usable and not lease.busy:
            due = self._lender.monotonic() - ASK_EVERY
            asked_next = next((asked for asked in self._asked if asked.tried <= due), None)
            if asked_next is not None and self._borrow(lease, asked_next):
                return
        self._serve_within(ASK_EVERY if lease.known else READY_EVERY)

    # -- inside

    def _look_at_counts(self) -> None:
        others = {lease.window.measure for lease in self.leases} - {self.cap.measure, "usd"}
        self.other_counts = tuple(cast("set[Count]", others))

    def _answer(self, asked: _Asked) -> Answer | None:
        """None: it is not known yet."""
        lender = self._lender
        now = lender.now()
        standing = self.standing(now)
        lease = self.lease
        if not self.cap.enabled:
            return Answer(True, standing)
        if lease is None:
            return Answer(False, standing, available=False)
        if lender.ready(lease) and now < lease.until:
            if asked.amount <= lease.holding.free:
                return Answer(True, standing)
            if standing.used + asked.amount > standing.cap:
                return Answer(False, standing)
        if lender.unavailable or (not lease.known and lender.monotonic() - asked.since > PATIENCE):
            return Answer(False, standing, available=False)
        return None

    def _borrow(self, lease: Lease, asked: _Asked) -> bool:
        def result(done: Grant | LedgerUnavailable) -> None:
            if isinstance(done, Grant) and not done.fits:
                tried = self._lender.monotonic()
                for each in self._asked:
                    if each.amount >= asked.amount:
                        each.tried = tried
            self.serve()

        # What is called back from others, or wanted by them, is not hoarded.
        most = 0 if lease.wanted else TOKENS_MAX
        return self._lender.borrow(lease, self.cap.hard, asked.amount, most, result)

    def _borrow_ahead(self, lease: Lease) -> None:
        need = 2 * lease.low
        if lease.wanted or lease.committed + need > self.cap.hard:
            lease.low = 0
            return
        self._lender.borrow(lease, self.cap.hard, need, TOKENS_MAX, lambda _: self._served())

    def _served(self) -> None:
        if self._asked:
            self.serve()

    def _serve_within(self, seconds: float) -> None:
        due = self._lender.monotonic() + seconds
        if self._serving_at is None or due < self._serving_at:
            self._serving_at = due
            self._serve_no_later()  # two would both go on for ever
            self._serve_no_later = self._lender.later(seconds, self._serve_due)

    def _serve_due(self) -> None:
        if self._serving_at is not None:
            self.serve()
