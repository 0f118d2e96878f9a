"""Which record ids have been met: a million in 16 MB.

Rules: ids are kept as 64 bits of a hash with a key of this process (Python's own, SipHash), in one array with open
addressing, at most two thirds full.  So two different ids are taken for one with a chance of 1 in 37 million over a
million records, and nobody can make ids for which it happens.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

#: places in the first table: 512 KB
FIRST: Final = 1 << 16
#: places in the largest table that is made on a guess: 16 MB
LARGEST_FIRST: Final = 1 << 21


class Seen:
    """A set of texts that only grows.

    :param expected: how many texts are likely to come; a wrong guess costs time or memory, and nothing else
    """

    def __init__(self, expected: int = 0) -> None:
        size = FIRST
        while _places(size) < expected and size < LARGEST_FIRST:
            size *= 2
        self._table = array("q", bytes(8 * size))
        self._mask = size - 1
        self._left = _places(size)

    def add(self, text: str) -> bool:
        """Whether the text is new; it is not any more."""
        return not self.repeated((text,))

    def repeated(self, texts: Iterable[str | None]) -> list[int]:
        """Which of the texts are not new, by their places, counted from 0; afterwards none is.  None is always new."""
        table, mask, left = self._table, self._mask, self._left
        again = []
        for number, text in enumerate(texts):
            if text is None:
                continue
            # 0 is an empty place: the one hash in 2^64 that is 0 stands for its neighbour.
            value = hash(text) or 1
            place = value & mask
            while found := table[place]:
                if found == value:
                    again.append(number)
                    break
                place = (place + 1) & mask
            else:
                table[place] = value
                left -= 1
                if not left:
                    self._grow()
                    table, mask, left = self._table, self._mask, self._left
        self._left = left
        return again

    def _grow(self) -> None:
        old = self._table
        size = 2 * len(old)
        table, mask = array("q", bytes(8 * size)), size - 1
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
