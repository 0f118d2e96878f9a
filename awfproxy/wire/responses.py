"""Responses of one upstream connection: llhttp for the framing, our own rules for the head.

Fed one read at a time, it gathers what that read held: perhaps a head, body bytes (de-chunked, joined), perhaps the
end.
Interim answers (1xx) are passed over.  Rules beyond llhttp's strict mode:

- Transfer-Encoding is exactly ``chunked`` or absent (a transfer coding we do not decode cannot be forwarded)
- a head is at most `HEAD_MAX` bytes and `HEADERS_MAX` fields, trailers at most `TRAILERS_MAX` fields, and between two
  pieces of a body, or behind the last, is at most `FRAMING_MAX` of framing
- no control characters in the reason phrase (RFC 9112 section 4)
- 101 is a fault: we never ask for an upgrade
- bytes after the end of the answer make the connection unusable (``surplus``): nothing was asked.  Line ends alone are
  passed over, as llhttp does with those in the same read
"""

from __future__ import annotations

import re

import httptools

from awfproxy.core.message import Header, ResponseHead
from awfproxy.core.records import BodyFraming
from awfproxy.wire.faults import Fault

#: bytes of a response head; large policies and cookies occur
HEAD_MAX = 64 * 1024
#: fields of a response head
HEADERS_MAX = 200
#: trailer fields; providers send none, gRPC-like gateways a few
TRAILERS_MAX = 32
#: bytes in which no byte of a body is: a chunk's extensions, or trailers; llhttp keeps a trailer until it is whole
FRAMING_MAX = 64 * 1024
#: interim responses before a final one; RFC 9110 section 15.2 sets no bound
INTERIM_MAX = 16
#: of a body: what every client's integers hold; requests are held to as many digits
_LENGTH_MAX = 10**18 - 1
_LINE_ENDS = b"\r\n"
_reason = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch


class ResponseReader:
    """Turns an upstream's bytes into one response after another.

    After each `feed` look at ``head`` (take it and set it to None), `body`, ``complete``.  `expect` begins the next.
    """

    __slots__ = (
        "_awaiting", "_barren", "_headers", "_interim", "_no_body", "_own", "_parser", "_pieces", "_reason", "_wire",
        "complete", "fault", "framing", "head", "keep_alive", "on_body", "started", "surplus", "trailers",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self.surplus = False
        self._forget(False)

    def _forget(self, no_body: bool) -> None:
        self._headers: list[Header] = []
        self._reason = b""
        self._wire = 0
        self._barren = 0
        self._own = 0
        self._interim = 0
        self._no_body = no_body
        self._awaiting = True
        #: the head that the last feed completed
        self.head: ResponseHead | None = None
        #: the answer is whole
        self.complete = False
        #: what was wrong with the last `more`
        self.fault: Fault | None = None
        #: a byte of the answer came
        self.started = False
        #: the connection may carry another call
        self.keep_alive = False
        #: content-length | chunked | close | none
        self.framing: BodyFraming = "none"
        self.trailers: list[Header] = []

    def expect(self, method: bytes) -> None:
        """A request was sent: its answer comes next."""
        self._forget(method == b"HEAD")
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)

    def stop(self) -> None:
        """Nothing more comes.  Reader and parser have each other, and would wait for the garbage collector."""
        self._parser = None

    def feed(self, data: bytes) -> Fault | None:
        """Take one read."""
        parser = self._parser
        if parser is None or self.complete:
            self.surplus = self.surplus or bool(data.strip(_LINE_ENDS))
            return None
        self.started = True
        if self._awaiting:
            return self._feed_head(parser, data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            return self._broken()
        return None

    def more(self, data: bytes) -> bytes | None:
        """Take one read in the middle of a body, where nearly all reads are: its bytes; None: look as after `feed`.

        One step instead of two; ``fault`` holds what `feed` would have returned.
        """
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserError:
            self.fault = self._broken()
            return None
        if self.complete:
            return None
        pieces = self._pieces
        if len(pieces) == 1:
            self._barren = 0
            return pieces.pop()
        body = self.body()
        self._barren = 0 if body else self._barren + len(data)
        if self._barren > FRAMING_MAX:
            self._parser = None
            self.fault = Fault("chunk extensions or trailers too large")
            return None
        return body

    def body(self) -> bytes:
        """Body bytes since the last call."""
        pieces = self._pieces
        if self.surplus:
            del pieces[self._own :]
        if len(pieces) == 1:
            return pieces.pop()
        if not pieces:
            return b""
        joined = b"".join(pieces)
        pieces.clear()
        return joined

    def end_of_stream(self) -> bool:
        """The connection ended in order: whether that completes an answer without a length."""
        if not self._awaiting and not self.complete and self.framing == "close":
            self.complete = True
            return True
        return False

    # -- parts

    def _feed_head(self, parser: httptools.HttpResponseParser, data: bytes) -> Fault | None:
        self._wire += len(data)
        try:
            if self._no_body:
                # llhttp has no HEAD mode: it is given the head alone, and a new parser next time
                for line in data.splitlines(keepends=True):
                    if self.complete:
                        self.surplus = self.surplus or bool(line.strip(_LINE_ENDS))
                        continue
                    parser.feed_data(line)
            else:
                parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._parser = None
            return Fault("unexpected upgrade")
        except httptools.HttpParserCallbackError:
            return self._broken()
        except httptools.HttpParserError:
            return self._broken()
        if self._awaiting and (self._wire > HEAD_MAX or len(self._headers) > HEADERS_MAX):
            self._parser = None
            return Fault("response head too large")
        return None

    def _broken(self) -> Fault | None:
        self._parser = None
        if self.complete:
            self.surplus = True  # the answer was whole; what follows it is nobody's
            return None
        return Fault("malformed response")

    # -- llhttp's callbacks

    def on_message_begin(self) -> None:
        """A message begins; after a complete one it was not asked for."""
        if self.complete:
            self.surplus = True

    def on_status(self, reason: bytes) -> None:
        """A piece of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head or of the trailers."""
        if self._awaiting:
            # llhttp leaves the blanks behind a value; parsers differ in whether they are of it (RFC 9110 section 5.5)
            self._headers.append((name.lower(), name, value.rstrip(b" \t")))
            if len(self._headers) > HEADERS_MAX:
                raise ValueError("too many headers")
        elif not self.complete:
            self.trailers.append((name.lower(), name, value.rstrip(b" \t")))
            if len(self.trailers) > TRAILERS_MAX:
                raise ValueError("too many trailers")

    def on_headers_complete(self) -> None:
        """A head is whole: an interim one is dropped."""
        parser = self._parser
        if parser is None or self.complete:
            return
        status = parser.get_status_code()
        headers = self._headers
        self._headers = []
        reason, self._reason = self._reason, b""
        if not _reason(reason):
            raise ValueError("reason phrase")
        if not 100 <= status <= 599:  # none is valid: RFC 9110 section 15
            raise ValueError("status")
        if (status < 200 or status == 204) and any(lower == b"transfer-encoding" for lower, _, _ in headers):
            raise ValueError("transfer-encoding")  # must not be there (RFC 9112 section 6.1); llhttp would read a body
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > INTERIM_MAX:
                raise ValueError("interim response")
            return
        fields = {lower: value for lower, _, value in headers}
        coding = fields.get(b"transfer-encoding")
        length: int | None = None
        if coding is not None:
            if coding.lower() != b"chunked" or sum(h[0] == b"transfer-encoding" for h in headers) > 1:
                raise ValueError("transfer-encoding")
        elif b"content-length" in fields:
            length = int(fields[b"content-length"])
            if length > _LENGTH_MAX:
                raise ValueError("content-length")
        if self._no_body or status in (204, 304):
            self.framing = "none"
        elif coding is not None:
            self.framing = "chunked"
        elif length is not None:
            self.framing = "content-length"
        else:
            self.framing = "close"
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ValueError("version")
        self.keep_alive = parser.should_keep_alive() and self.framing != "close"
        self._awaiting = False
        self.head = ResponseHead(
            status, reason, 1 if version == "1.1" else 0, headers, fields, length, coding is not None, self.keep_alive
        )
        if self._no_body:
            self.complete = True
            self._parser = None

    def on_message_complete(self) -> None:
        """The message ended."""
        if not self._awaiting and not self.complete:
            self.complete = True
            self._own = len(self._pieces)
