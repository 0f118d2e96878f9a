"""A journal that keeps its lines in memory: for tests, and for a look at what a call would have written.

Same rules as `journal.Journal`, by the same contract test (tests/server/test_journal_contract.py): lines are
acknowledged in a later turn, in order, never inside `append`.  `stall` plays the full disk.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.server.intake import Intake, Item, Unwritten


class MemoryJournal(Intake):
    """Lines in two lists, `usage_lines` and `request_lines`."""

    def __init__(self, clock: IReactorTime, **limits: int) -> None:
        super().__init__(clock, **limits)
        self.usage_lines: list[bytes] = []
        self.request_lines: list[bytes] = []
        self.reopened = 0
        self._pending: list[Item] = []
        self._turn: IDelayedCall | None = None
        self._stalled: str | None = None
        self._stopped: Deferred[Unwritten] | None = None
        self._deadline: IDelayedCall | None = None
        self._started = False

    def start(self) -> None:
        """Lines are written from here on."""
        self._started = True
        self._wake()

    def stop(self, deadline: float) -> Deferred[Unwritten]:
        """See `journal.Journal.stop`."""
        if not self._started:
            return succeed(self.unwritten())
        if self._stopped is None:
            self._stopped = Deferred()
            self._deadline = self.clock.callLater(deadline, self._finish)
            self._wake()
        return self._stopped

    def hurry(self, deadline: float) -> None:
        """See `journal.Journal.hurry`."""
        timer = self._deadline
        if timer is not None and timer.active() and timer.getTime() > self.clock.seconds() + deadline:
            timer.reset(deadline)

    def reopen(self) -> None:
        """Counted in `reopened`."""
        self.reopened += 1

    def stall(self, reason: str | None) -> None:
        """Write nothing, for that reason, until called again with None."""
        self._stalled = reason
        if reason is not None:
            self.errors += 1
            self.last_error = reason
        else:
            self._wake()

    @property
    def degraded(self) -> str | None:
        """See `intake.Intake`."""
        return self._stalled

    def _hand_over(self, item: Item) -> None:
        self._pending.append(item)
        self._wake()

    def _wake(self) -> None:
        if self._turn is None and self._started and self._stalled is None:
            self._turn = self.clock.callLater(0, self._write)

    def _write(self) -> None:
        self._turn = None
        if self._stalled is not None:
            return
        batch, self._pending = self._pending, []
        self.usage_lines += [item[0] for item in batch if item[0] is not None]
        self.request_lines += [item[1] for item in batch]
        if batch:
            self.last_write = self.clock.seconds()
            self._acknowledge(len(batch))
        if self._stopped is not None and not self._pending:
            self._finish()

    def _finish(self) -> None:
        for timer in (self._deadline, self._turn):
            if timer is not None and timer.active():
                timer.cancel()
        stopped, self._stopped = self._stopped, None
        self._started, self.closed = False, True
        if stopped is not None:
            stopped.callback(self.unwritten())
