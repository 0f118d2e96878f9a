"""AWS's binary event stream (``application/vnd.amazon.eventstream``), as it passes: Bedrock's streams.

* ConverseStream has events of its own, of which ``metadata`` is the last and has the usage.
  InvokeModelWithResponseStream has ``chunk`` events, each with one document of the model's own stream, and Bedrock's
  metrics in the last one.
* Each message is walked by its length, which a checksum guards: a wrong one ends the reading.  A message that is to be
  read must have its own checksum right.  Both are counted as ``bad-frame``.
* Messages that cannot matter are not decoded: text events by their name, chunks by the needles of `dialects.AWS`.
* A message longer than `MESSAGE_MAX` is not kept but read as it passes.  One that is cut off is not believed.
* What may not go on: the piece that completes the last message, from where that message begins.
* Reading is the same for every split of the stream.
"""

from __future__ import annotations

from zlib import crc32

from .awslong import LongMessage
from .awsmessage import CHECKSUM, CONTENT, FAILURE, LAST, ODD, PRELUDE, UNKNOWN, WRAPPED, lengths, unwrap, worth
from .dialects import AWS, BEDROCK_METRICS, MODEL
from .document import read
from .outline import Outline
from .usage import TERMINAL, Reading

#: A message up to this long is kept until it is whole (recorded ones have 5 KB at most); longer ones are not.
MESSAGE_MAX = 64 * 1024


class AwsEventStream:
    """The body of one answer, from its first message on."""

    __slots__ = ("_broken", "_long", "_needles", "_open", "_start", "_total", "ended", "hold", "position", "reading")

    cut = None
    message_max = MESSAGE_MAX

    def __init__(self, reading: Reading, position: int) -> None:
        self.reading = reading
        #: absolute offset of what was fed
        self.position = position
        #: absolute offset from where on nothing may go on; -1: all may
        self.hold = -1
        #: the last message was read
        self.ended = False
        #: the open message, and its length as soon as that is known
        self._open: bytearray | None = None
        self._total = 0
        #: absolute offset of the open message
        self._start = 0
        self._long: LongMessage | None = None
        self._broken = False
        self._needles = (MODEL, *AWS.needles)

    def feed(self, data: bytes) -> bool:
        """Read the next piece; True when everything fed so far may go on."""
        base = self.position
        self.position = base + len(data)
        if self.ended:
            return False
        if self._broken:
            return True
        if self._long is not None:
            end = self._long.left
            self._feed_long(data[:end], base)
            if end >= len(data) or self.ended or self._broken:
                return not self.ended
            data = data[end:]
            base += end
        elif self._open is not None:
            self._open += data
            if len(self._open) < self._total:
                return True
            opened, self._open = self._open, None
            return self._walk(opened, self._start, base)
        return self._walk(data, base, base)

    def _walk(self, data: bytes | bytearray, base: int, fresh: int) -> bool:
        """Read the messages in `data`, which begins with one at offset `base` and is new from offset `fresh` on."""
        at, size = 0, len(data)
        total = PRELUDE
        while size - at >= PRELUDE:
            told = lengths(data, at)
            if told is None:
                self._broken = True
                self.reading.count_error("bad-frame")
                return True
            total, headers = told
            end = at + total
            if total > self.message_max:
                self._long = LongMessage(total, headers)
                self._start = base + at
                self._feed_long(bytes(data[at:end]), fresh)
                if end > size:
                    return True
            elif end > size:
                break
            else:
                self._read(data, at, end, headers, max(base + at, fresh))
            if self.ended:
                return False
            at = end
            total = PRELUDE
        if at < size:
            self._open = bytearray(memoryview(data)[at:])
            self._start = base + at
            self._total = total
        return True

    def _read(self, data: bytes | bytearray, at: int, end: int, headers: int, start: int) -> None:
        """A whole message in ``data[at:end]``; if it is the last, `start` is held."""
        payload_at = at + PRELUDE + headers
        kind = worth(bytes(data[at + PRELUDE : payload_at]))
        if kind == CONTENT or self._failed(kind):
            return
        payload: bytes | None = bytes(data[payload_at : end - CHECKSUM])
        if kind == WRAPPED:
            payload = unwrap(payload)  # type: ignore[arg-type]
        if payload is not None and kind in (WRAPPED, UNKNOWN):
            find = payload.find
            for needle in self._needles:
                if find(needle) >= 0:
                    break
            else:
                return
        if crc32(memoryview(data)[at : end - CHECKSUM]) != int.from_bytes(data[end - CHECKSUM : end], "big"):
            self.reading.count_error("bad-frame")
        else:
            self._take(None if payload is None else read(payload), kind, start)

    def _failed(self, kind: int) -> bool:
        """Is the message an error, or none that can be read?"""
        if kind == FAILURE:
            self.reading.error_seen = True
        elif kind == ODD:
            self.reading.count_error("bad-frame")
        return kind >= FAILURE

    def _feed_long(self, data: bytes, fresh: int) -> None:
        """A long message is open; `data` is its next part."""
        long = self._long
        assert long is not None
        long.feed(data)
        if long.left:
            return
        self._long = None
        if self._failed(long.kind) or not long.read:
            return
        if not long.sound:
            self.reading.count_error("bad-frame")
        else:
            self._take(long.finish(), long.kind, max(self._start, fresh))

    def _take(self, outline: Outline | None, kind: int, start: int) -> None:
        if outline is None:
            self.reading.count_error("bad-json")
            return
        was = self.reading.take(outline)
        if self._needles[0] is MODEL and self.reading.model is not None:
            self._needles = self._needles[1:]
        if was & TERMINAL or kind == LAST or BEDROCK_METRICS in outline:
            self.reading.end()
            self.ended = True
            self.hold = start

    def finish(self) -> None:
        """The stream is over, here or in the middle of a message, which is not believed then."""
        self._open = self._long = None
