"""Processes that spend from one ledger, in memory and by a clock that the test turns.

What calls use stands in a `Journal`, which a real `Bookkeeper` reads into the ledger where the process is on a `Host`;
else the process reads it whenever it is in a hurry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from awfproxy.core.budgets import Budget, Scope
from awfproxy.core.holdings import Holding
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Held, Holder, Position, Window
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.rows import UNPRICED, Row
from awfproxy.server.allowance import Allowance, Reservation
from awfproxy.server.bookkeeper import Bookkeeper
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.journal_tail import Batch
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
        #: operations that are done, and only their answer gets lost
        self.answers_lost = 0
        self._next: Ledger | None = None
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

    def vanish(self, ledger: Ledger) -> None:
        """The ledger is gone, as the next operation finds, and this one takes its place."""
        self._next = ledger

    def _run(self, operation: Callable[[Ledger], Any], result: Callable[[Any], None]) -> None:
        self.operations += 1
        if self._next is not None and self.trouble is None:
            self.ledger, self._next = self._next, None
            self.made_anew += 1
            result(LedgerUnavailable("it is gone"))
            for each in self.returned:
                each()
            return
        if self.trouble is not None:
            result(LedgerUnavailable(self.trouble))
            return
        try:
            done = operation(self.ledger)
        except LedgerUnavailable as error:
            done = error
        if self.answers_lost:
            self.answers_lost -= 1
            done = LedgerUnavailable("the answer got lost")
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
            Held(window, holding.granted, holding.spent, holding.reserved, agreed=holding.expires > 0)
            for window, holding in self.held.values()
        ]


class Journal:
    """`journal_tail.Tail` of rows in memory."""

    def __init__(self, instance: str) -> None:
        self.rows: list[Row] = []
        self.skipped = 0
        self._instance = instance
        self._at = 0

    def add(self, tokens: int, admitted: float) -> None:
        """A call has ended."""
        number = f"{self._instance}-{len(self.rows)}"
        self.rows.append(
            Row(number, self._instance, PORT.port, int(admitted * 1000), "openai", "m", "reported",
                input_tokens=tokens, output_tokens=0, total_tokens=tokens)
        )  # fmt: skip

    def begin(self, position: Position | None) -> None:
        """As the file's."""
        self._at = position.offset if position is not None else 0

    def read(self) -> Batch:
        """As the file's."""
        rows, self._at = self.rows[self._at :], len(self.rows)
        return Batch(rows, Position(self._instance, "file", self._at) if self._at else None, True)

    def behind(self) -> int:
        """As the file's."""
        return len(self.rows) - self._at

    def close(self) -> None:
        """Nothing is open."""


class Grave:
    """`holdings_file.Dead` of `MemoryHoldings`."""

    def __init__(self, number: int, helds: list[Held], graves: list[Grave]) -> None:
        self.number = number
        self.helds = helds
        self._graves = graves

    def settled(self) -> None:
        """As the file's."""
        self._graves.remove(self)

    def close(self) -> None:
        """As the file's."""


class Host:
    """What the processes of an installation share; `graves` must be what `bookkeeper.dead` finds."""

    def __init__(self, ledger: Ledger, clock: Clock, instance: str) -> None:
        self.instance = instance
        self.thread = InlineThread(ledger, clock)
        self.mark = TailMark(bytearray(SIZE))
        self.journal = Journal(instance)
        self.graves: list[Grave] = []
        self.keeper = Bookkeeper(
            self.thread,  # type: ignore[arg-type]
            self.journal,  # type: ignore[arg-type]
            self.mark,
            instance=instance,
            state_dir=instance,
            price=lambda record, model, at: UNPRICED,
            clock=clock,
            now=clock.seconds,
            monotonic=clock.seconds,
        )
        self.keeper.start()


class Process:
    """One process with budgets.

    :param read: the journal is read when it is in a hurry; where there is no ``host``
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, budgets: dict[Scope, Budget], read: bool = True, host: Host | None = None
    ) -> None:
        self.clock = clock
        self.host = host
        self.thread = InlineThread(ledger, clock)
        self.mark = TailMark(bytearray(SIZE)) if host is None else host.mark
        self.rows = Journal("host") if host is None else host.journal
        self.holdings = MemoryHoldings()
        self.journal = MemoryJournal(clock)
        self.hurried = 0
        self.allowances = LeasedAllowances(
            self.thread,  # type: ignore[arg-type]
            self.mark,
            instance=self.instance,
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

    @property
    def instance(self) -> str:
        return "host" if self.host is None else self.host.instance

    def _hurry(self) -> None:
        self.hurried += 1
        if self._read and self.host is None:
            self.thread.ledger.record(self.rows.rows)
            self.mark.at = self.clock.seconds() + 0.001

    def settle(self, allowance: Allowance, reservation: Reservation, used: int, admitted: float | None = None) -> None:
        """A call ends, and leaves its record.

        :param admitted: seconds since the epoch; None: now
        """
        allowance.settle(reservation, used)
        self.rows.add(used, self.clock.seconds() if admitted is None else admitted)

    def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass; without any, what is to happen now."""
        for _ in range(8):
            self.clock.advance(0)
        while seconds > 0:
            self.clock.advance(min(0.05, seconds))
            seconds -= 0.05

    def die(self, ledger: Ledger) -> None:
        """Be killed, and be found by those who live on: its bookkeeper, if it has one, or now."""
        for call in self.clock.getDelayedCalls():
            if getattr(getattr(call, "func", None), "__self__", None) is self.thread:
                call.cancel()  # what it was about to do
        if self.allowances._beating.running:
            self.allowances._beating.stop()
        for timer in self.allowances._timers:
            timer.cancel()
        self.allowances._timers.clear()
        self.thread.do = lambda operation, result: None  # type: ignore[method-assign]
        if self.host is None:
            ledger.settle_dead(Holder("host", self.holdings.number), self.holdings.figures(), self.clock.seconds())
        elif self.allowances._places._file is not None:
            self.host.graves.append(Grave(self.holdings.number, self.holdings.figures(), self.host.graves))


def budget(cap: int, **fields: Any) -> Budget:
    """A strict one, of a day."""
    settings: dict[str, Any] = {
        "enabled": True, "period": "day", "mode": "strict", "soft_cap_tokens": 0, "hard_cap_tokens": cap
    }  # fmt: skip
    return Budget(**settings | fields)
