"""Allowances without a ledger, for tests: one process, whose caps are all there is to spend.

Same rules as `leased_allowance`, by the same contract test (tests/server/test_allowance.py).  Others can be played:
`MemoryAllowance.used_elsewhere`, `.reserved_elsewhere` and `.lent_elsewhere` are what other processes have; and
`MemoryAllowances.available` False is a ledger that cannot be reached, with what `MemoryAllowance.at_hand` says left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.interfaces import IReactorTime

from awfproxy.core.budgets import Budget, Count, Measure, Scope, Unit, cap_of
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.core.windows import Windows, window_end
from awfproxy.server.allowance import NO_COUNTS, Allowance, Answer, Answered, Cancel, Reservation, Standing


class _Window:
    """What one window has."""

    def __init__(self) -> None:
        self.used = 0
        self.reserved = 0


class _Reservation:
    __slots__ = ("amount", "settled", "start")

    def __init__(self, amount: int, start: int) -> None:
        self.amount = amount
        self.start = start
        self.settled = False


class MemoryAllowance:
    """See `allowance.Allowance`."""

    def __init__(self, scope: Scope, budget: Budget, allowances: MemoryAllowances, unit: Unit = "tokens") -> None:
        self.scope = scope
        self.budget = budget
        self.cap = cap_of(budget, unit)
        self.dollars = None if unit == "usd" else MemoryAllowance(scope, budget, allowances, "usd")
        self.other_counts: Sequence[Count] = ()
        self.used_elsewhere = 0
        self.reserved_elsewhere = 0
        self.lent_elsewhere = 0
        #: tokens that can be reserved while the ledger cannot be reached
        self.at_hand = 0
        self._allowances = allowances
        self._windows = Windows(budget.period, 0)
        self._open: dict[int, _Window] = {}
        self._asked: list[tuple[int, Answered]] = []

    @property
    def counts(self) -> bool:
        return self.cap.enabled

    def reserve(self, amount: int, now: float) -> Reservation | None:
        start = self._windows.at(now)
        if not self.cap.enabled:
            return _Reservation(0, start)
        if amount > self._free(start):
            return None
        self._window(start).reserved += amount
        if not self._allowances.available:
            self.at_hand -= amount
        return _Reservation(amount, start)

    def overdraw(self, now: float) -> Reservation:
        return _Reservation(0, self._windows.at(now))

    def settle(self, reservation: Reservation, used: int, otherwise: Mapping[Measure, int] = NO_COUNTS) -> None:
        assert isinstance(reservation, _Reservation)
        if reservation.settled:
            raise ValueError("settled before")
        reservation.settled = True
        window = self._window(reservation.start)
        window.reserved -= reservation.amount
        if self.cap.enabled:
            window.used += used
        if self._asked:
            self._allowances.clock.callLater(0, self._answer)

    def ask(self, amount: int, answered: Answered) -> Cancel:
        asked = (amount, answered)
        self._asked.append(asked)
        timer = self._allowances.clock.callLater(0, self._answer)

        def cancel() -> None:
            if asked in self._asked:
                self._asked.remove(asked)
            if timer.active():
                timer.cancel()

        return cancel

    def standing(self, now: float) -> Standing:
        start = self._windows.at(now)
        window = self._window(start)
        return Standing(
            used=window.used + self.used_elsewhere,
            reserved=window.reserved + self.reserved_elsewhere,
            lent=self.lent_elsewhere,
            cap=self.cap.hard,
            soft_cap=self.cap.soft,
            window_start=start,
            window_end=window_end(self.budget.period, start),
        )

    def changed(self) -> None:
        """Something a test has set may let those who wait be answered."""
        self._answer()

    def _window(self, start: int) -> _Window:
        return self._open.setdefault(start, _Window())

    def _free(self, start: int) -> int:
        if not self._allowances.available:
            return self.at_hand
        standing = self.standing(start)
        return standing.cap - standing.used - standing.hindering

    def _answer(self) -> None:
        for asked in list(self._asked):
            amount, answered = asked
            if asked not in self._asked:
                continue  # cancelled by a callback
            standing = self.standing(self._allowances.clock.seconds())
            available = self._allowances.available
            fits = not self.cap.enabled or amount <= self._free(standing.window_start)
            if fits or not available or standing.used + amount > standing.cap:
                self._asked.remove(asked)
                answered(Answer(fits, standing, available))


class MemoryAllowances:
    """See `allowance.Allowances`.

    :param clock: its seconds are the epoch's
    """

    def __init__(self, budgets: Mapping[Scope, Budget], clock: IReactorTime) -> None:
        self.clock = clock
        self.available = True
        self.all = {scope: MemoryAllowance(scope, budget, self) for scope, budget in budgets.items()}

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        listed = Scope(port, "feature", feature)
        wanted = [
            Scope(port),
            Scope(port, "user", user or ""),
            listed if listed in self.all else Scope(port, "feature", OTHER_FEATURES),
        ]
        return tuple(self.all[scope] for scope in wanted if scope in self.all)
