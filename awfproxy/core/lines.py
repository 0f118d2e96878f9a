"""Newline-delimited JSON (Ollama, Cohere v1): the gate of the event streams over lines.

A line may be a document of any length.  Nothing is held: such a body has no terminal event of its own, its last piece
is held by the framing.
"""

from __future__ import annotations

from .dialects import LINES, MODEL
from .longevent import LongLine
from .sse import EventStream
from .usage import Reading


class LineStream(EventStream):
    """The body of one answer, from its first line on."""

    __slots__ = ()

    framing = "ndjson"
    ends = b"\n"

    def __init__(self, reading: Reading, position: int) -> None:
        super().__init__(reading, position, take_out=False)
        self._dialect = LINES
        self._needles = (MODEL, *LINES.needles)

    def _end(self, start: int) -> None:
        """The last line is no reason to stop reading."""

    @staticmethod
    def _last(data: bytes | bytearray, start: int, end: int) -> int:
        return data.rfind(b"\n", start, end) + 1 or -1

    @staticmethod
    def _next(data: bytes | bytearray, start: int, end: int, has_cr: bool) -> int:
        return data.find(b"\n", start, end) + 1 or -1

    @staticmethod
    def _data(event: bytes) -> bytes:
        return event

    @staticmethod
    def _new_long() -> LongLine:
        return LongLine()
