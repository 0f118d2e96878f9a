"""What the workers of a supervisor were asked and have not answered yet.

A question is answered when every worker that it was put to has, or has died, or when nobody waits any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed


class Questions:
    """See the module.  Slots are named by their numbers."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._number = 0
        #: by number of the question: the slots that have not answered, and who waits
        self._open: dict[int, tuple[set[int], Deferred[None]]] = {}

    def put(
        self,
        slots: Iterable[int],
        send: Callable[[int], None],
        seconds: float | None = None,
        late: Callable[[int], None] | None = None,
    ) -> Deferred[None]:
        """Ask these.

        :param send: sends them the question of this number
        :param seconds: after which ``late`` is called with the number, or nobody waits any longer; None: as long as it
            takes
        :returns: fires when it is answered
        """
        self._number = number = self._number + 1
        asked = set(slots)
        if not asked:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._open[number] = (asked, waiting)
        if seconds is not None:
            deadline = self._reactor.callLater(seconds, late or self.give_up, number)

            def done(_: None) -> None:
                if deadline.active():
                    deadline.cancel()

            waiting.addCallback(done)
        send(number)
        return waiting

    def missing(self, number: int) -> list[int]:
        """The slots that have not answered."""
        return sorted(self._open.get(number, (set[int](), None))[0])

    def answered(self, slot: int, number: int) -> None:
        """By the worker of this slot."""
        asked, _ = self._open.get(number, (set[int](), None))
        asked.discard(slot)
        if not asked:
            self.give_up(number)

    def died(self, slot: int) -> None:
        """The worker of this slot, which answers nothing any more."""
        for number in list(self._open):
            self.answered(slot, number)

    def give_up(self, number: int) -> None:
        """Nobody waits for it any longer."""
        _, waiting = self._open.pop(number, (None, None))
        if waiting is not None:
            waiting.callback(None)
