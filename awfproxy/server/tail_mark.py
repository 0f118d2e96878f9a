"""Until when the journal is in the ledger: one number, in memory that the processes of a host share.

`Bookkeeper` writes it; whoever is about to have an account opened from rows reads it, and waits until it has passed the
moment up to which rows are needed.  The time is the machine's monotonic clock, which its processes have in common.
"""

from __future__ import annotations

from typing import Final

#: bytes that it takes
SIZE: Final = 8


class TailMark:
    """The number.

    :param memory: `SIZE` bytes, zeros at first, shared with the other processes where there are some
    """

    def __init__(self, memory: memoryview | bytearray) -> None:
        self._words = memoryview(memory).cast("q")

    @property
    def at(self) -> float:
        """Everything that was in the journal's files before is in the ledger; seconds, 0.0: nothing is known yet."""
        return self._words[0] / 1e9

    @at.setter
    def at(self, seconds: float) -> None:
        self._words[0] = int(seconds * 1e9)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
