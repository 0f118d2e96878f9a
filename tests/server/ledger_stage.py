"""Processes that spend from one ledger, in memory and by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.holdings import Holding
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Held, Holder, Window
from awfproxy.ledger.interface import Ledger
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.leased_allowances import LeasedAllowances
from awfproxy.server.tail_mark import SIZE, TailMark

#: 2026-01-15 00:00 UTC, a Thursday
START = 1_768_435_200
PORT = Scope("p")


class InlineThread:
    """`ledger_thread.LedgerThread` without a thread: an operation is done in a later turn of the clock."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.returned: list[Callable[[], None]] = []
        self.trouble: str | None = None
        self.made_anew = 0
        self.errors = 0
        self.running = True
        #: seconds that an operation takes
        self.slowness = 0.0
        self.operations = 0

    def do(self, operation: Callable[[Ledger], Any], result: Callable[[Any], None]) -> None:
        """As the thread's."""
        self.clock.callLater(self.slowness, self._run, operation, result)

    def lose(self) -> None:
        """It cannot be reached."""
        self.trouble = "gone fishing"

    def come_back(self, ledger: Ledger | None = None) -> None:
        """It can; with another ledger, or the same."""
        self.trouble = None
        if ledger is not None:
            self.ledger = ledger
            self.made_anew += 1
        for each in self.returned:
            each()

    def _run(self, operation: Callable[[Ledger], Any], result: Callable[[Any], None]) -> None:
        self.operations += 1
        if self.trouble is not None:
            result(LedgerUnavailable(self.trouble))
            return
        try:
            done = operation(self.ledger)
        except LedgerUnavailable as error:
            done = error
        result(done)


class MemoryHoldings:
    """`holdings_file.HoldingsFile` without a file."""

    numbers = 0

    def __init__(self) -> None:
        MemoryHoldings.numbers += 1
        self.number = MemoryHoldings.numbers
        self.held: dict[int, tuple[Window, Holding]] = {}
        self.closed = False

    def holding(self, window: Window) -> Holding:
        """As the file's."""
        made = Holding(memoryview(bytearray(64)).cast("q"), len(self.held), window.start)
        self.held[id(made)] = (window, made)
        return made

    def close_holding(self, holding: Holding) -> None:
        """As the file's."""
        holding.close()
        del self.held[id(holding)]

    def close(self) -> None:
        """As the file's."""
        self.closed = True

    def figures(self) -> list[Held]:
        """What another process would read in the file after a death."""
        return [
            Held(window, holding.granted, holding.spent, holding.reserved) for window, holding in self.held.values()
        ]


class Process:
    """One process with budgets."""

    def __init__(self, ledger: Ledger, clock: Clock, budgets: dict[Scope, Budget], read: bool = True) -> None:
        self.clock = clock
        self.thread = InlineThread(ledger, clock)
        self.mark = TailMark(bytearray(SIZE))
        self.holdings = MemoryHoldings()
        self.journal = MemoryJournal(clock)
        self.hurried = 0
        self.allowances = LeasedAllowances(
            self.thread,  # type: ignore[arg-type]
            self.mark,
            instance="host",
            open_holdings=lambda: self.holdings,  # type: ignore[arg-type,return-value]
            journal=self.journal,
            clock=clock,
            now=clock.seconds,
            monotonic=clock.seconds,
            hurry=self._hurry,
        )
        for scope, budget in budgets.items():
            self.allowances.set_budget(scope, budget)
        self._read = read
        self.allowances.start()
        self.turn(0.1)

    def _hurry(self) -> None:
        self.hurried += 1
        if self._read:
            self.mark.at = self.clock.seconds() + 0.001

    def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass; without any, what is to happen now."""
        for _ in range(8):
            self.clock.advance(0)
        while seconds > 0:
            self.clock.advance(min(0.05, seconds))
            seconds -= 0.05

    def die(self, ledger: Ledger) -> None:
        """Be killed, and be found by those who live on."""
        if self.allowances._beating.running:
            self.allowances._beating.stop()
        for timer in self.allowances._timers:
            timer.cancel()
        self.allowances._timers.clear()
        self.thread.do = lambda operation, result: None  # type: ignore[method-assign]
        self.thread._run = lambda operation, result: None  # type: ignore[method-assign]
        ledger.settle_dead(Holder("host", self.holdings.number), self.holdings.figures())


def budget(cap: int, **fields: Any) -> Budget:
    """A strict one, of a day."""
    settings: dict[str, Any] = {
        "enabled": True, "period": "day", "mode": "strict", "soft_cap_tokens": 0, "hard_cap_tokens": cap
    }  # fmt: skip
    return Budget(**settings | fields)
