"""Server-sent events, as they pass: which to read, what may go on, where the stream ends.

Rules of https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in LF, CR or CRLF, mixed as they
like; a blank line ends an event; of its lines only ``data`` matters here, several are joined; a space after the colon
is not part of the value.  Unlike the standard, an event that the end of the stream cuts off is read too: its tokens
were spent.

* The steady state is a gate: a piece that ends with a blank line and holds none of the dialect's needles is done after
  two or three `find`.  Otherwise only the open event is kept; each byte is kept once and searched once.
* An event longer than `EVENT_MAX` is not kept but read by the finder.
* What may not go on yet (`safe`): the terminal event, from its start, as far as it is recognised; and, when the usage
  event is to be taken out, the first `EVENT_HOLD` bytes of any open event.
* Reading is the same for every split of the stream, but for one thing: clients that read lines stop at a terminal
  event's data line, so where a piece shows the end of that line before the blank one, the stream ends there.  More
  lines of that event, which no server writes, are not read then.
"""

from __future__ import annotations

import re

from .dialects import DONE, ERROR, MODEL, OTHER, USAGE, Dialect, recognise
from .document import read, read_part
from .events import event_data, last_blank, next_blank
from .longevent import LongEvent, LongLine
from .needles import Hits, Watch, last_error, says_finish, says_usage
from .outline import Outline, kind_of
from .snapshots import Snapshot, pass_over
from .usage import TERMINAL, USAGE_ONLY, Reading

#: An event up to this long is kept and decoded at once; longer ones are read as they pass.
EVENT_MAX = 64 * 1024
#: Of an open event this much is held when the usage event is to be taken out (a usage event has about 500 bytes).
EVENT_HOLD = 4 * 1024
#: Of a terminal event this much is held at most: enough that its end is, little enough for 10,000 streams.
HOLD_MAX = 64 * 1024
#: Events decoded to learn the dialect, before the one for everything else is taken.
LEARN_MAX = 16
#: Early looks at an open terminal event whose data line is complete.
TRIES_MAX = 4
#: The finish reason is looked for only so far from a piece's end: a hint may be missed, time may not be lost.
FINISH_TAIL = 2 * 1024
#: Likewise an error: its event is short, and nearly the last.
ERROR_TAIL = 1024

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_CR = 0x0D
_LINE_ENDS = re.compile(rb"[\r\n]*")
_LONGEST_NEEDLE = 32
_NO_WATCH = Watch(None)


class EventStream:
    """The body of one answer, from its first event on."""

    __slots__ = (
        "_dialect",
        "_finish",
        "_learned",
        "_long",
        "_needles",
        "_open",
        "_snapshot",
        "_spaced",
        "_start",
        "_take_out",
        "_terminal_open",
        "_tries",
        "_watch",
        "cut",
        "ended",
        "hold",
        "position",
        "reading",
    )

    framing = "sse"
    #: what a piece ends with when no event is open after it
    ends: tuple[bytes, ...] | bytes = _EVENT_ENDS

    def __init__(self, reading: Reading, position: int, take_out: bool) -> None:
        self.reading = reading
        #: absolute offset of what was fed
        self.position = position
        #: absolute offset from where on nothing may go on; -1: all may
        self.hold = -1
        #: absolute range of the usage event that is to be taken out
        self.cut: tuple[int, int] | None = None
        #: the terminal event was read
        self.ended = False
        self._take_out = take_out
        self._dialect: Dialect | None = None
        #: None: every event is decoded, to learn the dialect
        self._needles: tuple[bytes, ...] | None = None
        self._finish: bytes | None = None
        #: of the dialect, once the model is known
        self._snapshot: Snapshot | None = None
        self._learned = 0
        #: its JSON is written with spaces after the colons
        self._spaced = False
        #: the open event; empty but not None while a long one is open
        self._open: bytearray | None = None
        #: absolute offset of the open event
        self._start = 0
        self._long: LongLine | None = None
        #: whether the long event would have been decoded, had it come in one piece
        self._watch = _NO_WATCH
        self._terminal_open = False
        self._tries = TRIES_MAX

    def feed(self, data: bytes) -> bool:
        """Read the next piece; True when everything fed so far may go on."""
        size = len(data)
        base = self.position
        self.position = base + size
        if self._open is None:
            needles = self._needles
            if needles is not None and not self.ended and data.endswith(self.ends):
                find = data.find  # quicker than `in`
                for needle in needles:
                    if find(needle) >= 0 and (needle is not USAGE or says_usage(data, 0, size)):
                        break
                else:
                    name = self._finish
                    if name is not None and find(name, -FINISH_TAIL) >= 0 and says_finish(data, name, -FINISH_TAIL):
                        self._finish = None
                        self.reading.finish_seen = True
                    if data.rfind(ERROR, -ERROR_TAIL) >= 0:
                        self._look_for_error(data, size)
                    self.hold = -1
                    return True
                if self._snapshot is not None and self._skim(data, 0, size) == size:
                    self.hold = -1
                    return True
            return self._feed(data, base, 0)
        return self._feed_open(data, base)

    def _feed_open(self, data: bytes, base: int) -> bool:
        """An event was open before this piece."""
        if self._long is not None:
            return self._feed_long(data, base)
        buffer = self._open
        assert buffer is not None
        known = len(buffer)
        buffer += data
        return self._feed(buffer, self._start, max(0, known - 2))

    def _feed(self, buffer: bytes | bytearray, base: int, searched: int) -> bool:
        """Read `buffer`, which begins with an event at offset `base`; no blank line ends before `searched`."""
        size = len(buffer)
        if self.ended:
            return False
        # A CR at the very end may be half of a CRLF, which belongs to the event that is taken out.
        sought = size - 1 if self._take_out and size and buffer[-1] == _CR else size
        end = self._last(buffer, searched, sought)
        cut = self.cut
        if end > 0:
            self._read_events(buffer, end, base)
            if buffer.rfind(ERROR, max(0, end - ERROR_TAIL), end) >= 0:
                self._look_for_error(buffer, end)
            if self.ended:
                return False
            if end == size:
                self._open = None
                self.hold = -1
                return self.cut is cut
            self._begin(bytearray(memoryview(buffer)[end:]), base + end)
            searched = 0
        elif self._open is None:
            self._begin(bytearray(buffer), base)
        return self._mind_open(searched) and self.cut is cut

    def _begin(self, event: bytearray, start: int) -> None:
        """The beginning of an event, at offset `start`."""
        self._open = event
        self._start = start
        self._terminal_open = False
        self._tries = TRIES_MAX

    def _mind_open(self, searched: int) -> bool:
        """An event is open at the end of the piece; its bytes before `searched` were seen before."""
        opened = self._open
        assert opened is not None
        size = len(opened)
        if size > EVENT_MAX:
            self._long = self._new_long()
            self._watch = Watch(self._needles)
            self._pass_long(bytes(opened))
            self._open = bytearray()
            return self._mind_long()
        if not self._terminal_open:
            sought = max(0, searched - _LONGEST_NEEDLE)
            for needle in (self._dialect or OTHER).terminal_needles:
                if opened.find(needle, sought) >= 0:
                    self._terminal_open = True
        if self._terminal_open:
            if self._tries and opened[-1] in b"\r\n":
                self._tries -= 1
                self._read_early(bytes(opened))
            self.hold = self._start
            return False
        self.hold = self._start if self._take_out and self.cut is None and size <= EVENT_HOLD else -1
        return self.hold < 0

    def _read_early(self, event: bytes) -> None:
        """The data line of what may be the terminal event is complete: clients that read lines stop here."""
        data = event_data(event)
        if data.strip() != DONE:
            outline = read(data)
            if outline is None or kind_of(outline) not in OTHER.terminal:
                return
        self._read_event(event, self._start, self._start + len(event))

    def _read_events(self, buffer: bytes | bytearray, end: int, base: int) -> None:
        """Decode those of the complete events in ``buffer[:end]`` that may matter."""
        at = 0
        has_cr = buffer.find(b"\r", 0, end) >= 0
        hits = Hits(buffer, end)
        while at < end and not self.ended:
            if self._snapshot is not None:
                at = self._skim(buffer, at, end)
                if at == end:
                    return
            if self._needles is None:
                start = hit = _LINE_ENDS.match(buffer, at, end).end()  # type: ignore[union-attr]
            else:
                hit = hits.first(self._needles, at)
                if hit >= end:
                    return
                start = max(at, self._last(buffer, at, hit))
            stop = self._next(buffer, hit, end, has_cr)
            if stop < 0:
                stop = end
            self._read_event(bytes(buffer[start:stop]), base + start, base + stop)
            at = stop

    def _skim(self, buffer: bytes | bytearray, at: int, end: int) -> int:
        """Pass over the events from `at` on that are a snapshot of the usage and no more; where the first other is."""
        assert self._snapshot is not None
        at, usage = pass_over(buffer, at, end, self._snapshot, self.reading.finish_seen)
        if usage is not None:
            self.reading.take_snapshot(usage)
        return at

    def _read_event(self, event: bytes, start: int, stop: int) -> None:
        """One event, from its offset to the end of its blank line."""
        start += len(event) - len(event.lstrip(b"\r\n"))  # blank lines before it are not its own
        if len(event) > EVENT_MAX:
            long = self._new_long()
            long.feed(event)
            self._take(long.finish(), start, stop)
            return
        data = self._data(event)
        if data.strip() == DONE:
            self.reading.end()
            self._end(start)
        elif data and not data.isspace():
            outline = read(data)
            if outline is None:
                self.reading.count_error("bad-json")
                self._learn(None)
            else:
                if self._dialect is None:
                    self._spaced = b'": ' in data
                self._take(outline, start, stop)

    def _look_for_error(self, buffer: bytes | bytearray, end: int) -> None:
        """The last event that names an error, in ``buffer[:end]``: is it one?"""
        at = last_error(buffer, end)
        if at < 0:
            return
        start = max(0, self._last(buffer, 0, at))
        stop = self._next(buffer, at, end, True)
        if stop - start <= EVENT_MAX and (outline := read(self._data(bytes(buffer[start:stop])))) is not None:
            self.reading.note_error(outline, kind_of(outline))

    def _take(self, outline: Outline | None, start: int, stop: int) -> None:
        if outline is None:
            self._learn(None)
            return
        was = self.reading.take(outline)
        if was & TERMINAL:
            self._end(start)
        elif was & USAGE_ONLY and self._take_out and self.cut is None and stop - start <= EVENT_HOLD:
            self.cut = (start, stop)
        self._learn(outline)

    def _end(self, start: int) -> None:
        self.ended = True
        self.hold = start
        self._open = None
        self._long = None

    def _learn(self, outline: Outline | None) -> None:
        """Settle the dialect and its needles."""
        if self._dialect is None:
            self._learned += 1
            self._dialect = recognise(outline) if outline is not None else None
            if self._dialect is None:
                if self._learned < LEARN_MAX:
                    return
                self._dialect = OTHER
            self._needles = (MODEL, *self._dialect.needles)
            if self._dialect.finish is not None and not self.reading.finish_seen:
                self._finish = self._dialect.finish[self._spaced]
        if self._needles is not None and self._needles[0] is MODEL and self.reading.model is not None:
            self._needles = self._needles[1:]
            self._snapshot = self._dialect.snapshot

    def _feed_long(self, data: bytes, base: int) -> bool:
        """A long event is open."""
        long = self._long
        assert long is not None
        end = long.end_in(data)
        if end < 0:
            self._pass_long(data)
            return self._mind_long()
        self._pass_long(data[:end])
        self._long = None
        self._open = None
        if self._watch.matters:
            self._take(long.finish(), self._start, base + end)
        if self.ended:
            return False
        self.position = base + end
        return self.feed(data[end:]) if end < len(data) else self._released()

    def _pass_long(self, data: bytes) -> None:
        assert self._long is not None
        self._watch.look(data)
        self._long.feed(data)

    def _released(self) -> bool:
        self.hold = -1
        return True

    def _mind_long(self) -> bool:
        """A long event is open at the end of the piece: if it is the terminal one, hold its latest bytes."""
        assert self._long is not None
        if kind_of(self._long.finder.outline) in OTHER.terminal:
            self.hold = max(self._start, self.position - HOLD_MAX)
            return False
        return self._released()

    def finish(self) -> None:
        """The stream is over, here or in the middle of an event."""
        opened, long = self._open, self._long
        self._open = self._long = None
        if self.ended:
            return
        self.hold = -1
        if long is not None:
            outline = long.finish()
            if outline is not None:
                self.reading.take(outline, long.whole)
        elif opened:
            self._read_rest(bytes(opened))

    def _read_rest(self, event: bytes) -> None:
        """An event that no blank line ends."""
        data = self._data(event)
        if data.strip() == DONE:
            self.reading.end()
            return
        outline = read(data)
        if outline is not None:
            self._take(outline, self._start, self.position)
            return
        for outline in read_part(data):
            self.reading.take(outline, False)

    # What another framing of the same kind does differently.

    @staticmethod
    def _last(data: bytes | bytearray, start: int, end: int) -> int:
        return last_blank(data, start, end)

    @staticmethod
    def _next(data: bytes | bytearray, start: int, end: int, has_cr: bool) -> int:
        return next_blank(data, start, end, has_cr)

    @staticmethod
    def _data(event: bytes) -> bytes:
        return event_data(event)

    @staticmethod
    def _new_long() -> LongLine:
        return LongEvent()
