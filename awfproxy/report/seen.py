"""Which record ids have been met: a million in 16 MB.

Rules: ids are kept as 64 bits of a hash with a key of this process (Python's own, SipHash), in one array with open
addressing, at most two thirds full.  So two different ids are taken for one with a chance of 1 in 37 million over a
million records, and nobody can make ids for which it happens.
"""

from __future__ import annotations

from array import array
from typing import Final

#: places in the first table: 512 KB
FIRST: Final = 1 << 16
#: places in the largest table that is made on a guess: 16 MB
LARGEST_FIRST: Final = 1 << 21
_ALL: Final = (1 << 64) - 1


class Seen:
    """A set of texts that only grows.

    :param expected: how many texts are likely to come; a wrong guess costs time or memory, and nothing else
    """

    def __init__(self, expected: int = 0) -> None:
        size = FIRST
        while _places(size) < expected and size < LARGEST_FIRST:
            size *= 2
        self._table = array("Q", bytes(8 * size))
        self._mask = size - 1
        self._left = _places(size)

    def add(self, text: str) -> bool:
        """Whether the text is new; it is not any more."""
        # 0 is an empty place: the one hash in 2^64 that is 0 stands for its neighbour.
        value = hash(text) & _ALL or 1
        table, mask = self._table, self._mask
        place = value & mask
        while found := table[place]:
            if found == value:
                return False
            place = (place + 1) & mask
        table[place] = value
        self._left -= 1
        if not self._left:
            self._grow()
        return True

    def _grow(self) -> None:
        old = self._table
        size = 2 * len(old)
        table, mask = array("Q", bytes(8 * size)), size - 1
        for value in old:
            if value:
                place = value & mask
                while table[place]:
                    place = (place + 1) & mask
                table[place] = value
        self._table, self._mask = table, mask
        self._left = _places(size) - _places(len(old))


def _places(size: int) -> int:
    """How many places of a table are filled before it grows."""
    return size * 2 // 3
