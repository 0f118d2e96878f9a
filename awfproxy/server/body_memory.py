"""The one bound for all request bodies of a process together.

A body asks for all its bytes before the first is read, in order of arrival: a body that is partly read never waits for
another one's memory, so the readers cannot starve each other.  A body without a length asks for the most that it may
have, and gives back what it did not need when it is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class BodyMemory:
    """Lends ``limit`` bytes; one body larger than that is let through when nothing else is lent."""

    __slots__ = ("_queue", "lent", "limit")

    def __init__(self, limit: int) -> None:
        #: another one holds from the next asking or giving on
        self.limit = limit
        #: bytes lent out
        self.lent = 0
        self._queue: deque[tuple[int, Callable[[], bool]]] = deque()

    @property
    def waiting(self) -> int:
        """Bodies that wait."""
        return len(self._queue)

    def ask(self, count: int, granted: Callable[[], bool]) -> bool:
        """Borrow ``count`` bytes: True if at once, else ``granted`` is called when they are there.

        ``granted`` answers whether the bytes are still wanted.
        """
        if self.spare(count):
            return True
        self._queue.append((count, granted))
        return False

    def spare(self, count: int) -> bool:
        """Borrow ``count`` bytes if nobody has to wait for it; False: not lent."""
        if self._queue or not self._fits(count):
            return False
        self.lent += count
        return True

    def take(self, count: int) -> None:
        """Borrow bytes that are here already, whatever the limit: others wait the longer."""
        self.lent += count

    def give(self, count: int) -> None:
        """Return bytes; whoever waits longest gets them."""
        self.lent -= count
        while self._queue and self._fits(self._queue[0][0]):
            wanted, granted = self._queue.popleft()
            self.lent += wanted
            if not granted():
                self.lent -= wanted

    def _fits(self, count: int) -> bool:
        return self.lent + count <= self.limit or self.lent == 0
