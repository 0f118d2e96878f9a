"""A JSON body: one document, an array of them (Gemini's stream without ``alt=sse``), or lines of them.

* Up to `BODY_MAX` bytes are kept in pieces and decoded once at the end; a longer body goes to the finder.
* Whether it is NDJSON shows at the end of its first line, if within `BODY_MAX`: that line closes an object and another
  one begins.
* A sample for an estimate (`sample`) is taken of lines as they pass; of a document at its end, if it told no usage; of
  a longer one from its beginning.
* Nothing is held here: the end of such a body is its last piece, which is the framing's to hold.
"""

from __future__ import annotations

from .document import elements, read
from .finder import Finder
from .lines import LineStream
from .outline import Outline
from .sample import WINDOW, Sample
from .usage import Reading

#: Kept in pieces; decoding it at once costs 0.3 ms.
BODY_MAX = 256 * 1024
#: The beginning of a longer body in which text is looked for: a search costs 4 µs a KB, and most of these are numbers.
BEGINNING = 4 * WINDOW
_SPACE = b" \t\r\n"


class JsonBody:
    """The body of one answer, from its first bracket on."""

    __slots__ = (
        "_array",
        "_documents",
        "_finder",
        "_first_line_ended",
        "_lines",
        "_pieces",
        "_sample",
        "_sampling",
        "_size",
        "_undecided",
        "position",
        "reading",
    )

    hold = -1
    cut = None
    ended = False

    def __init__(self, reading: Reading, position: int, array: bool, sample: Sample) -> None:
        self.reading = reading
        self._sample = sample
        #: of the lines; more is wanted
        self._sampling = False
        self.position = position
        self._array = array
        self._pieces: list[bytes] | None = []
        self._size = 0
        self._finder: Finder | None = None
        self._lines: LineStream | None = None
        #: whether these are lines is not decided; after the first line's end: the byte after it decides
        self._undecided = not array
        self._first_line_ended = False
        self._documents = 0

    @property
    def framing(self) -> str:
        """What it is, as far as seen."""
        if self._array:
            return "json-array"
        return "ndjson" if self._lines is not None or self._documents > 1 else "json"

    def feed(self, data: bytes) -> bool:
        """Read the next piece; always True: nothing is held."""
        self.position += len(data)
        if self._pieces is not None:
            self._pieces.append(data)
            fresh = data[: BODY_MAX - self._size]
            self._size += len(data)
            if self._undecided and (self._first_line_ended or b"\n" in fresh):
                self._look_for_lines(fresh)
            if self._size > BODY_MAX and self._pieces is not None:
                self._finder = Finder(self._found)
                kept, self._pieces = self._pieces, None
                for piece in kept:
                    self._finder.feed(piece)
                self._sample.take(b"".join(kept)[:BEGINNING])
        elif self._finder is not None:
            self._finder.feed(data)
        elif self._lines is not None:
            if self._sampling:
                self._sampling = self._sample.take(data)
            self._lines.feed(data)
        return True

    def _look_for_lines(self, data: bytes) -> None:
        """The first line has ended: is there another document after it?"""
        if not self._first_line_ended:
            self._first_line_ended = True
            line, _, data = b"".join(self._pieces or ())[:BODY_MAX].partition(b"\n")
            if not line.rstrip(_SPACE).endswith(b"}"):
                self._undecided = False
                return
        data = data.lstrip(_SPACE)
        if data:
            self._undecided = False
            if data.startswith(b"{"):
                body = b"".join(self._pieces or ())
                self._pieces = None
                self.reading.framing = "ndjson"
                self._lines = LineStream(self.reading, 0)
                self._lines.feed(body)
                self._sampling = self._sample.take(body)

    def _found(self, outline: Outline, whole: bool) -> None:
        self._documents += 1
        if self._documents == 2:
            self.reading.framing = self.framing
        self.reading.take(outline, whole)

    def finish(self) -> None:
        """The body is over, whole or cut off."""
        if self._lines is not None:
            self._lines.finish()
        elif self._finder is not None:
            if self._finder.broken:
                self.reading.count_error("bad-json")
            self._finder.finish()
        elif self._pieces:
            body = b"".join(self._pieces)
            self._read(body)
            if not self.reading.came:
                self._sample.take(body)
        self._pieces = self._finder = self._lines = None

    def _read(self, body: bytes) -> None:
        if self._array:
            documents = elements(body)
            if documents is not None:
                for document in documents:
                    if document[:1] == b"{" and (outline := read(document)) is not None:
                        self.reading.take(outline)
                return
        else:
            outline = read(body)
            if outline is not None:
                self.reading.take(outline)
                return
        finder = Finder(self._found)  # cut off, or several documents without line ends
        finder.feed(body)
        if finder.broken:
            self.reading.count_error("bad-json")
        finder.finish()
