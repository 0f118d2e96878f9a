"""The unfinished works of a port that several workers serve: one table in memory that all of them map.

Work is begun through one worker and asked about through another, and two of them may be shown its end at the same
moment: it must be counted by exactly one.  So the table is one for all, and taking a name out of it is done under a
lock: whoever took it out counts.  What was begun is known to all before the client that began it can see its answer.

Names are the keyed hashes of `core.keyed`, of one length.  The table is a ring, in which the newest takes the place of
the oldest, as in `core.background.Works`.
"""

from __future__ import annotations

import struct
from typing import Final

from awfproxy.core.background import WORKS_MAX
from awfproxy.core.keyed import HASH_BYTES
from awfproxy.server.shared_memory import Area

#: name of the area that holds the tables of all ports
WORKS: Final = "works"
#: bytes of a name
NAME: Final = HASH_BYTES * 2
#: before the names: how many were ever begun
_BEGUN: Final = struct.Struct("q")
_NAMES: Final = 64
#: bytes of a port's table
TABLE: Final = _NAMES + WORKS_MAX * NAME
_NOBODY: Final = bytes(NAME)


class SharedWorks:
    """As `core.background.Works`.

    :param index: the port's number, the same in all workers
    """

    __slots__ = ("_area", "_start")

    def __init__(self, area: Area, index: int) -> None:
        self._area = area
        self._start = index * TABLE

    def __contains__(self, name: str) -> bool:
        return self._find(name.encode()) is not None

    def __len__(self) -> int:
        """How many there may be: of those that have ended some are still counted."""
        return min(self._begun(), WORKS_MAX)

    def began(self, name: str) -> None:
        """Work goes on under this name."""
        raw = name.encode()
        with self._area.lock(self._start, TABLE):
            if self._find(raw) is None:
                begun = self._begun()
                self._put(begun % WORKS_MAX, raw)
                _BEGUN.pack_into(self._area.bytes, self._start, begun + 1)

    def ended(self, name: str) -> bool:
        """It was counted: whether it is for the caller to count it."""
        with self._area.lock(self._start, TABLE):
            place = self._find(name.encode())
            if place is not None:
                self._put(place, _NOBODY)
        return place is not None

    def _begun(self) -> int:
        (begun,) = _BEGUN.unpack_from(self._area.bytes, self._start)
        return int(begun)

    def _find(self, raw: bytes) -> int | None:
        first = self._start + _NAMES
        end = self._start + TABLE
        at = self._area.bytes.find(raw, first, end)
        while at >= 0 and (at - first) % NAME:
            at = self._area.bytes.find(raw, at + 1, end)
        return None if at < 0 else (at - first) // NAME

    def _put(self, place: int, raw: bytes) -> None:
        at = self._start + _NAMES + place * NAME
        self._area.bytes[at : at + NAME] = raw
