"""The body of one request as it comes in: its pieces, its limit, and the memory that is lent for it."""

from __future__ import annotations

from collections.abc import Callable

from awfproxy.server.body_memory import BodyMemory

#: pieces of a body after which they are joined: one of two bytes takes fifty
PIECES_MAX = 1024


class RequestBody:
    """Gathers a body.  Memory for all of it is asked for before its first byte is read (`BodyMemory`).

    :param wanted: bytes it may have: its length, or the port's ``max_request_body`` where it has none
    :param limit: bytes above which it is too large
    """

    __slots__ = ("_granted", "_joined", "_lent", "_limit", "_memory", "_pieces", "_wanted", "size")

    def __init__(self, memory: BodyMemory, wanted: int, limit: int) -> None:
        self._memory = memory
        self._wanted = wanted
        self._limit = limit
        self._granted: Callable[[], None] | None = None
        self._lent = 0
        self._pieces: list[bytes] = []
        #: leading pieces that are joined ones
        self._joined = 0
        #: bytes that came
        self.size = 0

    @property
    def waiting(self) -> bool:
        """Its memory is asked for, and not lent yet."""
        return self._granted is not None

    def ask(self, granted: Callable[[], None]) -> bool:
        """Ask for the memory: True if it is lent at once, else ``granted`` is called when it is."""
        if self._memory.ask(self._wanted, self._now_granted):
            self._lent = self._wanted
            return True
        self._granted = granted
        return False

    def _now_granted(self) -> bool:
        granted, self._granted = self._granted, None
        if granted is None:
            return False  # the call has ended, or went on without
        self._lent = self._wanted
        granted()
        return True

    def add(self, piece: bytes) -> bool:
        """A piece came: False if the body is too large now."""
        self.size += len(piece)
        if self.size > self._limit:
            return False
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) - self._joined > PIECES_MAX:
            pieces[self._joined :] = [b"".join(pieces[self._joined :])]
            self._joined += 1
        return True

    def whole(self) -> bytes:
        """All of it came: the body.  Memory that it did not need is given back."""
        if self._granted is not None:  # all came in the read of its head: there is nothing left to wait for
            self._granted = None
            self._memory.take(self.size)
            self._lent = self.size
        elif self._lent > self.size:
            self._memory.give(self._lent - self.size)
            self._lent = self.size
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def spare(self, count: int) -> bool:
        """Memory for ``count`` bytes more, if there is some to spare."""
        if not self._memory.spare(count):
            return False
        self._lent += count
        return True

    def let_go(self) -> None:
        """Nothing of it is needed any longer (idempotent)."""
        self._pieces = []
        self._granted = None
        lent, self._lent = self._lent, 0
        if lent:
            self._memory.give(lent)
