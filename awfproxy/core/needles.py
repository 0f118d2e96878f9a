"""Finding the needles of `dialects` where they mean something: ``"usage":null`` and ``"error":null`` are none.

Servers write the first in each event of a stream but the last, and some the second in each.
"""

from __future__ import annotations

from .dialects import ERROR, USAGE

_USAGE_NULL = (b'"usage":null', b'"usage": null')
_ERROR_NULL = (b'"error":null', b'"error": null')
#: Bytes from a needle's beginning that tell whether it is one.
_NULL_TOLD = 13
#: More than a needle's length, and what tells it.
_OVERLAP = 64


def says_usage(data: bytes | bytearray, start: int, end: int) -> bool:
    """Is there a `USAGE` in it that is not null?"""
    count = data.count(USAGE, start, end)
    return count != data.count(_USAGE_NULL[0], start, end) and count != data.count(_USAGE_NULL[1], start, end)


def next_hit(data: bytes | bytearray, needle: bytes, start: int, end: int) -> int:
    """Where the needle is next; `end`: nowhere."""
    at = data.find(needle, start, end)
    if needle is USAGE:
        while at >= 0 and data[at : at + 13].startswith(_USAGE_NULL):
            at = data.find(needle, at + 12, end)
    return at if at >= 0 else end


def last_error(data: bytes | bytearray, end: int) -> int:
    """Where the last `ERROR` before `end` is; -1: nowhere, or it is null."""
    at = data.rfind(ERROR, 0, end)
    return -1 if data[at : at + 14].startswith(_ERROR_NULL) else at


class Watch:
    """Do the needles occur in an event that comes in pieces?  The answer is that for the event in one piece."""

    __slots__ = ("_found", "_needles", "_tail")

    def __init__(self, needles: tuple[bytes, ...] | None) -> None:
        """None: every event matters."""
        self._needles = needles or ()
        self._found = needles is None
        #: the end of what was looked at: needles may lie across it
        self._tail = b""

    def look(self, data: bytes) -> None:
        """The next piece."""
        if not self._found:
            window = self._tail + data
            told = len(window) - _NULL_TOLD
            self._found = any(next_hit(window, needle, 0, len(window)) <= told for needle in self._needles)
            self._tail = window[-_OVERLAP:]

    @property
    def matters(self) -> bool:
        """They do; asked at the event's end."""
        tail = self._tail
        return self._found or any(next_hit(tail, needle, 0, len(tail)) < len(tail) for needle in self._needles)
