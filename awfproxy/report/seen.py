"""Which record ids have been met: a million in 20 MB.

Rules: ids are kept as 64 bits of a hash with a key of this process (Python's own, SipHash), in one array with open
addressing, at most two thirds full.  So two different ids are taken for one with a chance of 1 in 37 million over a
million records, and nobody can make ids for which it happens.  Of what each came with `MARK_BITS` bits are kept, by
which lines that share an id and tell different things are known from one line that stands in two files.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import count, repeat
from typing import Final

#: places in the first table: 512 KB
FIRST: Final = 1 << 16
#: places in the largest table that is made on a guess: 16 MB
LARGEST_FIRST: Final = 1 << 21


#: bits by which what ids came with is compared: one difference in 65,536 is not told
MARK_BITS: Final = 16
_MARK: Final = (1 << MARK_BITS) - 1


class Seen:
    """A set of texts that only grows.

    :param expected: how many texts are likely to come; a wrong guess costs time or memory, and nothing else
    """

    def __init__(self, expected: int = 0) -> None:
        size = FIRST
        while _places(size) < expected and size < LARGEST_FIRST:
            size *= 2
        self._table, self._marks = _tables(size)
        self._mask = size - 1
        self._left = _places(size)
        #: texts that were not new and came with something else than the first time
        self.differing = 0

    def add(self, text: str, came_with: int = 0) -> bool:
        """Whether the text is new; it is not any more.

        :param came_with: a hash of it
        """
        return not self.repeated((text,), (came_with,))

    def repeated(self, texts: Sequence[str | None], came_with: Sequence[int] = ()) -> list[int]:
        """Which of the texts are not new, by their places, counted from 0; afterwards none is.  None is always new.

        :param came_with: a hash of what each came with; empty: that is not compared
        """
        while self._left <= len(texts):
            self._grow()
        table, mask, marks = self._table, self._mask, self._marks
        again = []
        nothing = 0
        for number, text, hashed, mark in zip(count(), texts, map(hash, texts), came_with or repeat(0), strict=False):
            if text is None:
                nothing += 1
                continue
            # 0 is an empty place: the one hash in 2^64 that is 0 stands for its neighbour.
            value = hashed or 1
            place = value & mask
            while found := table[place]:
                if found == value:
                    again.append(number)
                    self.differing += marks[place] != mark & _MARK
                    break
                place = (place + 1) & mask
            else:
                table[place] = value
                marks[place] = mark & _MARK
        self._left -= len(texts) - nothing - len(again)
        return again

    def _grow(self) -> None:
        old, came_with = self._table, self._marks
        size = 2 * len(old)
        (table, marks), mask = _tables(size), size - 1
        for value, mark in zip(old, came_with, strict=True):
            if value:
                place = value & mask
                while table[place]:
                    place = (place + 1) & mask
                table[place], marks[place] = value, mark
        self._table, self._marks, self._mask = table, marks, mask
        self._left += _places(size) - _places(len(old))


def _tables(size: int) -> tuple[array[int], array[int]]:
    """Empty ones, for hashes and for marks."""
    return array("q", bytes(8 * size)), array("H", bytes(2 * size))


def _places(size: int) -> int:
    """How many places of a table are filled before it grows."""
    return size * 2 // 3
