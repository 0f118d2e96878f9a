"""Requests of one client connection: llhttp for the framing, our own rules for the head.

One request at a time.  Bytes of the next one (pipelining, RFC 9112 section 9.3.2) stay in the reader until `proceed` is
called, so that answers go out in order.  Rules beyond llhttp's strict mode, because llhttp accepts what another parser
might read differently:

- the first line is three words with one space between them, of which the last is HTTP/1.0 or HTTP/1.1 (RFC 9112 section
  3); llhttp passes over more spaces, and takes RTSP and ICE
- no CONNECT: what follows it is no HTTP
- there is exactly one Host (RFC 9112 section 3.2; we ask it of 1.0 too, because the rule against web pages needs it)
- Transfer-Encoding is exactly ``chunked``, once, and never on 1.0 (RFC 9112 section 6.1)
- the target is in origin form and printable ASCII (no absolute form, no fragment)
- a head is at most `HEAD_MAX` bytes and `HEADERS_MAX` fields; the framing of a chunked body (sizes, extensions,
  trailers) stays near what its chunks need
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

from awfproxy.core.message import Header, RequestHead
from awfproxy.wire.faults import Fault

#: bytes of a request head; nginx allows 4 x 8 KB, Node 16 KB; agents send some long metadata headers
HEAD_MAX = 32 * 1024
#: fields of a head; as Apache's LimitRequestFields
HEADERS_MAX = 100
#: framing bytes of a chunked body that are allowed for each chunk (16 hex digits and two line ends)
CHUNK_FRAMING = 20
#: framing bytes allowed besides, for extensions and trailers together
CHUNK_ALLOWANCE = 8 * 1024

#: bytes of a body with a length from which llhttp is not shown it: there is nothing to parse in it, only to count, and
#: going through it copies each byte; below, a new parser for the next request costs more than the copy
DIRECT_MIN = 64 * 1024

_TARGET = re.compile(rb"/[!\"$-~]*")  # origin form: "/", then printable ASCII without "#"
_LINE = re.compile(rb"[!-~]+ [^\0-\x20\x7f]+ HTTP/1\.([01])\r\n")
#: where a reader is; `_BARE`: a head was told that is the whole request, and it has not been told that it is whole
_HEAD, _BODY, _CHUNKS, _BARE, _DONE, _DEAD = range(6)


class RequestSink(Protocol):
    """Who is told about requests."""

    def request_head(self, head: RequestHead) -> None:
        """A head was read; body pieces follow unless it has none."""

    def request_body(self, piece: bytes) -> None:
        """Decoded (de-chunked) bytes of the body."""

    def request_complete(self) -> None:
        """The request is whole.  Nothing more is told until `RequestReader.proceed`."""


class _Nobody:
    """Is told of nothing any more."""

    def request_head(self, head: RequestHead) -> None: ...
    def request_body(self, piece: bytes) -> None: ...
    def request_complete(self) -> None: ...


_NOBODY = _Nobody()


class RequestReader:
    """Turns a client's bytes into requests, one at a time."""

    __slots__ = (
        "_body_bytes", "_chunks", "_complete", "_headers", "_held", "_keep_alive", "_left", "_parser", "_sink",
        "_state", "_tail", "_target", "_wire_bytes",
    )  # fmt: skip

    def __init__(self, sink: RequestSink) -> None:
        self._sink: RequestSink = sink
        self._held = b""
        self._state = _HEAD
        self._parser: httptools.HttpRequestParser | None = None
        self._headers: list[Header] = []
        self._target = b""
        self._left = 0
        self._complete = False
        self._keep_alive = False
        self._body_bytes = self._wire_bytes = self._chunks = 0
        self._tail = b""

    @property
    def waiting(self) -> int:
        """Bytes kept for a later request."""
        return len(self._held)

    @property
    def between(self) -> bool:
        """Whether no byte of a request is under way."""
        return self._state == _HEAD and not self._held

    @property
    def hungry(self) -> bool:
        """Whether only more bytes can bring a request further; not so while one waits to be answered (`proceed`)."""
        return self._state not in (_BARE, _DONE)

    def feed(self, data: bytes) -> Fault | None:
        """Take ``data``; tell the sink of what is whole in it."""
        state = self._state
        if state == _BODY:
            return self._feed_length(data)
        if state == _CHUNKS:
            return self._feed_chunks(data)
        if state == _DEAD:
            return None
        self._held = self._held + data if self._held else data
        if state == _DONE:
            return None
        return self._feed_head(len(data))

    def proceed(self) -> Fault | None:
        """The request told last is answered: go on with what is kept."""
        if self.hungry:
            return None
        self._state = _HEAD
        if self._held:
            return self._feed_head(len(self._held))
        return None

    def stop(self) -> None:
        """Ignore everything from now on, and let go of what is kept."""
        self._state = _DEAD
        self._held = b""
        # Each of the two has the other: what they keep would wait for the garbage collector.
        self._parser = None
        self._sink = _NOBODY

    # -- the head

    def _feed_head(self, fresh: int) -> Fault | None:
        data = self._held
        if data.startswith(b"\r\n"):  # empty lines before a request are let pass: RFC 9112 section 2.2
            start = 2
            while data.startswith(b"\r\n", start):
                start += 2
            data = self._held = data[start:]
        # only what is new can hold the end; three bytes of it may have come before
        end = data.find(b"\r\n\r\n", max(0, len(data) - fresh - 3))
        if end < 0:
            if len(data) > HEAD_MAX:
                return self._fault("head too large")
            start = max(0, len(data) - fresh)
            if data.count(b"\n", start) != data.count(b"\r\n", max(0, start - 1)):
                return self._fault("bare line feed")  # llhttp would say so too, but only once the head is whole
            return None
        end += 4
        if end > HEAD_MAX:
            return self._fault("head too large")
        if data[0] in b"\r\n":  # llhttp would pass over it
            return self._fault("bare line end")
        self._held = data[end:]
        fault = self._parse_head(data[:end])
        if fault is not None:
            return fault
        rest, self._held = self._held, b""
        if self._state == _BODY:
            return self._feed_length(rest) if rest else None
        if self._state == _CHUNKS:
            return self._feed_chunks(rest) if rest else None
        self._held = rest
        if self._state == _BARE:  # else the sink has answered already, and is at a later request
            self._state = _DONE
            self._sink.request_complete()
        return None

    def _parse_head(self, data: bytes) -> Fault | None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        self._headers = []
        self._target = b""
        self._complete = False
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An offer that may be passed over (RFC 9110 section 7.8); llhttp believes that the connection has switched,
            # and reads no more of it
            self._parser = None
        except httptools.HttpParserError:
            return self._fault("malformed head")
        line = _LINE.match(data)
        if line is None:
            return self._fault("request line")
        minor = 1 if line[1] == b"1" else 0
        method = parser.get_method()
        if method == b"CONNECT":
            return self._fault("CONNECT")
        target = self._target
        if not _TARGET.fullmatch(target):
            return self._fault("request target not in origin form")
        headers = self._headers
        if len(headers) > HEADERS_MAX:
            return self._fault("too many headers")
        fields = {lower: value for lower, _, value in headers}
        if len(fields) != len(headers):
            for name in (b"host", b"transfer-encoding", b"content-length", b"content-type", b"content-encoding"):
                if sum(lower == name for lower, _, _ in headers) > 1:
                    return self._fault("repeated " + name.decode())
        if b"host" not in fields:
            return self._fault("no host")
        length: int | None = None
        chunked = False
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if not minor or coding.lower() != b"chunked":
                return self._fault("transfer-encoding")
            chunked = True
        else:
            value = fields.get(b"content-length")
            if value is not None:
                if not value.isdigit() or len(value) > 18:
                    return self._fault("content-length")
                length = int(value)
        head = RequestHead(
            method, target, minor, headers, fields, length, chunked, self._keep_alive,
            minor == 1 and fields.get(b"expect", b"").lower() == b"100-continue",
        )  # fmt: skip
        self._headers = []
        if chunked:
            if self._parser is None:
                return self._fault("upgrade with a chunked body")
            self._state = _CHUNKS
            self._body_bytes = self._wire_bytes = self._chunks = 0
            self._tail = b""
        elif length:
            self._state = _BODY
            self._left = length
            if length > DIRECT_MIN:
                self._parser = None
        else:
            self._state = _BARE
        self._sink.request_head(head)
        return None

    # -- the body

    def _feed_length(self, data: bytes) -> Fault | None:
        left = self._left
        if len(data) > left:
            self._held = data[left:]
            data = data[:left]
        self._left = left - len(data)
        parser = self._parser
        if parser is None:
            self.on_body(data)  # a large body, or one after an offer of an upgrade; a length needs no parser
        else:
            try:
                parser.feed_data(data)
            except httptools.HttpParserError:
                return self._fault("malformed body")
        if self._left == 0 and self._state == _BODY:
            self._state = _DONE
            self._sink.request_complete()
        return None

    def _feed_chunks(self, data: bytes) -> Fault | None:
        """Feed up to each empty line: a chunked body can only end at one, and llhttp must not see the next request."""
        assert self._parser is not None
        tail = self._tail
        start = 0
        joined = tail + data
        shift = len(tail)
        at = joined.find(b"\r\n\r\n")
        while start < len(data) and self._state == _CHUNKS:
            stop = at + 4 - shift if at >= 0 else len(data)
            piece = data[start:stop]
            self._wire_bytes += len(piece)
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserError:
                return self._fault("malformed chunked body")
            if self._wire_bytes - self._body_bytes > CHUNK_FRAMING * self._chunks + CHUNK_ALLOWANCE:
                return self._fault("chunk extensions or trailers too large")
            start = stop
            if self._complete and self._state == _CHUNKS:
                self._state = _DONE
                self._tail = b""
                self._held = data[start:]
                self._sink.request_complete()
                return None
            at = joined.find(b"\r\n\r\n", at + 1) if at >= 0 else -1
            while at >= 0 and at + 4 - shift <= start:
                at = joined.find(b"\r\n\r\n", at + 1)
        self._tail = joined[-3:]
        return None

    def _fault(self, reason: str) -> Fault:
        self.stop()
        return Fault(reason)

    # -- llhttp's callbacks

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailers, which are dropped: the body goes on with a length."""
        if self._state == _HEAD:
            # llhttp leaves the blanks behind a value; parsers differ in whether they are of it (RFC 9110 section 5.5)
            self._headers.append((name.lower(), name, value.rstrip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        self._body_bytes += len(piece)
        self._sink.request_body(piece)

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunks += 1

    def on_headers_complete(self) -> None:
        """The head is whole; later llhttp has forgotten what it said of the connection."""
        if self._parser is not None:
            self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """The message ended where the fed bytes end."""
        self._complete = True
