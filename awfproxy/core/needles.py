"""Finding the needles of `dialects` where they mean something: ``"usage":null`` and ``"error":null`` are none.

Servers write the first in each event of a stream but the last, and some the second in each.
"""

from __future__ import annotations

import re

from .dialects import ERROR, USAGE

_USAGE_NULL = (b'"usage":null', b'"usage": null')
# One pass of 1 GB/s; counting both and comparing takes half as long again.
_says_usage = re.compile(rb'"usage(?!": ?null)').search
_ERROR_NULL = (b'"error":null', b'"error": null')
#: What follows a finish needle, which ends in a quote, where there is no reason: "" and "null" are none either.
_FINISH_NONE = (b'"', b'null"')
#: Bytes from a needle's beginning that tell whether it is one.
_NULL_TOLD = 13
#: More than a needle's length, and what tells it.
_OVERLAP = 64


def says_usage(data: bytes | bytearray, start: int, end: int) -> bool:
    """Is there a `USAGE` in it that is not null?"""
    return _says_usage(data, start, end) is not None


def next_hit(data: bytes | bytearray, needle: bytes, start: int, end: int) -> int:
    """Where the needle is next; `end`: nowhere."""
    at = data.find(needle, start, end)
    if needle is USAGE:
        while at >= 0 and data.startswith(_USAGE_NULL, at):
            at = data.find(needle, at + 1, end)
    return at if at >= 0 else end


def last_error(data: bytes | bytearray, end: int) -> int:
    """Where the last `ERROR` before `end` is; -1: nowhere, or it is null."""
    at = data.rfind(ERROR, 0, end)
    return -1 if data.startswith(_ERROR_NULL, at) else at


def says_finish(data: bytes, needle: bytes, start: int) -> bool:
    """Has the last finish reason from `start` on (negative: from the end) one?  `needle`: of `Dialect.finish`."""
    at = data.rfind(needle, start)
    return at >= 0 and not data.startswith(_FINISH_NONE, at + len(needle))


class Hits:
    """Where needles are in whole events, from the first event to the last; each byte is searched once for each."""

    __slots__ = ("_buffer", "_end", "_hits", "_needles")

    def __init__(self, buffer: bytes | bytearray, end: int) -> None:
        """The events are ``buffer[:end]``."""
        self._buffer = buffer
        self._end = end
        self._needles: tuple[bytes, ...] = ()
        #: by needle: the next one; before what is asked for: not sought yet
        self._hits: list[int] = []

    def first(self, needles: tuple[bytes, ...], at: int) -> int:
        """Where the first of them is, from `at` on, which only grows; the end: nowhere."""
        buffer, end, hits = self._buffer, self._end, self._hits
        if needles is not self._needles:
            self._needles = needles
            self._hits = hits = [
                -1 if needle is not USAGE or says_usage(buffer, at, end) else end for needle in needles
            ]
        for index, needle in enumerate(needles):
            if hits[index] < at:
                hits[index] = next_hit(buffer, needle, at, end)
        return min(hits, default=end)


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
