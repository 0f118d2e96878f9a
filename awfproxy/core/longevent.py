"""One event too long to be kept: its data goes to the finder as it passes, its lines are told apart in fixed memory."""

from __future__ import annotations

from .events import next_blank
from .finder import Finder
from .outline import Outline

_CR, _LF = b"\r\n"


class LongLine:
    """A document that takes the whole of what is fed: a line of NDJSON."""

    __slots__ = ("_outlines", "finder", "whole")

    def __init__(self) -> None:
        self._outlines: list[Outline] = []
        #: the document was complete; known after `finish`
        self.whole = False
        self.finder = Finder(self._found)

    def _found(self, outline: Outline, whole: bool) -> None:
        self.whole = whole
        # The first is enough to know that there is one too many.
        if len(self._outlines) < 2:
            self._outlines.append(outline)

    def end_in(self, data: bytes) -> int:
        """Where in `data`, the next piece, the line ends; -1: not here."""
        return data.find(b"\n") + 1 or -1

    def feed(self, data: bytes) -> None:
        """The next piece, up to the end of the event."""
        self.finder.feed(data)

    def finish(self) -> Outline | None:
        """The event is over, or cut off; None when its data is not one JSON object."""
        self.finder.finish()
        return self._outlines[0] if len(self._outlines) == 1 else None


class LongEvent(LongLine):
    """A server-sent event."""

    __slots__ = ("_in_data", "_last", "_name")

    def __init__(self) -> None:
        super().__init__()
        #: the last byte fed: a line end may lie before the next piece
        self._last = -1
        #: the field's name so far; None: past its colon
        self._name: bytes | None = b""
        self._in_data = False

    def end_in(self, data: bytes) -> int:
        """Where in `data`, the next piece, the blank line ends that ends the event; -1: not here."""
        first = data[0] if data else -1
        if first in (_CR, _LF) and self._last in (_CR, _LF) and (self._last, first) != (_CR, _LF):
            return 2 if data.startswith(b"\r\n") else 1
        return next_blank(data, 0, len(data), b"\r" in data)

    def feed(self, data: bytes) -> None:
        """The next piece, up to the end of the event."""
        at, size = 0, len(data)
        if size:
            self._last = data[-1]
        # the next of each from `at` on; each is sought once for each line that it ends
        line_feed = carriage_return = -1
        while at < size:
            if self._name is not None:
                at = self._read_name(data, at)
                continue
            if line_feed < at:
                line_feed = _next(data, b"\n", at)
            if carriage_return < at:
                carriage_return = _next(data, b"\r", at)
            end = min(line_feed, carriage_return)
            if self._in_data:
                self.finder.feed(data[at:end])
            if end < size:
                self._name = b""
                if self._in_data:
                    self.finder.feed(b"\n")
            at = end + 1

    def _read_name(self, data: bytes, at: int) -> int:
        """At the beginning of a line: the field's name, up to its colon or the line's end."""
        assert self._name is not None
        if not self._name and data.startswith(b"data:", at):
            self._in_data = True
            self._name = None
            return at + 5
        byte = data[at]
        if byte in b"\r\n":
            self._name = b""
        elif byte == 0x3A:
            self._in_data = self._name == b"data"
            self._name = None
        elif len(self._name) < 5:
            self._name += data[at : at + 1]
        else:
            self._in_data = False
            self._name = None
            return at
        return at + 1


def _next(data: bytes, byte: bytes, at: int) -> int:
    """Where the byte is next; the length of `data`: nowhere."""
    found = data.find(byte, at)
    return found if found >= 0 else len(data)
