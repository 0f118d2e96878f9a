"""One answer on its way from the upstream to the client: the path that every chunk takes.

Each piece of the body goes to the scanner and on to the client in the turn in which it came.  Two things are held until
the call's record is in the kernel: the terminal event of a stream (the scanner says where it begins), or else the last
piece of the body; so a client that has seen the end has left its record.

The body is framed anew, one chunk a read: its bytes are untouched, and nothing of the upstream's framing (extensions,
odd sizes) reaches a parser that might read it differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import txaio

from awfproxy.core.holdback import Holdback
from awfproxy.core.message import Header
from awfproxy.core.records import BodyFraming
from awfproxy.core.scanner import Scanner

if TYPE_CHECKING:
    from awfproxy.server.call import Call

log = txaio.make_logger()

#: sizes of chunks whose lines are kept ready: an event is seldom longer, and formatting costs more than the rest of it
_SIZES_MAX = 4096
_SIZES: Final = [b"%x\r\n" % size for size in range(_SIZES_MAX)]
#: bytes held after the terminal event, while its record is being written, at which the upstream is paused
HELD_MAX = 64 * 1024

#: how the client is shown the end of the body
LENGTH: Final = "content-length"
CHUNKED: Final = "chunked"
CLOSE: Final = "close"
NO_BODY: Final = "none"


class _Passing:
    """In place of a scanner where there is nothing to read: everything may pass."""

    def feed(self, data: bytes) -> bool:
        return True


class _Holding:
    """In place of a scanner while the record is being written: nothing may pass."""

    def feed(self, data: bytes) -> bool:
        return False


_PASSING = _Passing()
_HOLDING = _Holding()


class Answer:
    """What has come of an answer, and what of it has gone on."""

    __slots__ = (
        "_back", "_call", "_chunked", "_committed", "_finished", "_gate", "_head", "_read", "_recorded", "_rest",
        "_tail", "broken", "bytes",
        "framing", "quiet", "scanner", "unplugged", "write",
    )  # fmt: skip

    def __init__(
        self, call: Call, head: bytes, framing: BodyFraming, scanner: Scanner | None, write: Callable[[bytes], None]
    ) -> None:
        self._call = call
        #: the head for the client, until it has gone
        self._head = head
        #: how the client is shown the end: one of the words above
        self.framing = framing
        self._chunked = framing == CHUNKED
        self.scanner = scanner
        #: who is fed; asked for its ``feed`` each time, because a scanner changes its own as it learns what it reads
        self._gate: Scanner | _Passing | _Holding = _PASSING if scanner is None else scanner
        #: where the client's bytes go; replaced when the client has left
        self.write = write
        self._back: Holdback | None = None
        #: the last piece, held whole: what `_back` is for an answer that is not a stream
        self._rest = b""
        #: body bytes received, as transferred
        self.bytes = 0
        #: sweeps since the last byte came
        self.quiet = 0
        #: the scanner's part is over
        self._read = False
        #: the end is known, and the record is being made
        self._committed = False
        self._recorded = False
        self._finished = False
        self._tail = b""
        #: the end did not come: the client is to be cut
        self.broken = False
        #: the scanner raised, and the bytes flow on without it
        self.unplugged = False

    @property
    def finished(self) -> bool:
        """The upstream's message is whole."""
        return self._finished

    def begun(self) -> None:
        """A read ended with the head: let it go."""
        head, self._head = self._head, b""
        if head:
            self.write(head)

    def body(self, data: bytes) -> None:
        """A piece of the body that is not known to be the last."""
        self.quiet = 0
        self.bytes += len(data)
        try:
            untouched = self._gate.feed(data)
        except Exception:
            untouched = self._unplug()
        if untouched and self._back is None:
            if self._chunked:
                size = len(data)
                data = (_SIZES[size] if size < _SIZES_MAX else b"%x\r\n" % size) + data + b"\r\n"
            if self._head:
                data = self._head + data
                self._head = b""
            self.write(data)
        else:
            self._part(data)

    def finish(self, data: bytes, trailers: list[Header]) -> None:
        """The last piece, perhaps empty; the message is whole."""
        self._finished = True
        self._tail = _last_chunk(trailers) if self._chunked else b""
        self.bytes += len(data)
        if self._committed:
            if self._recorded:  # at the terminal event, which has gone
                self._send(data, self._tail)
                self._call.delivered()
            elif data:
                self._hold(len(data)).take(data, 0, None)
            return
        ended = self._read_last(data)
        if data:
            if ended or self._back is not None:
                scanner = self.scanner
                back = self._hold(len(data))
                if scanner is not None and ended:
                    self._send(back.take(data, scanner.safe, scanner.cut), b"")
                else:
                    back.take(data, 0, None)
            else:
                self._rest = data
        self._committed = True
        self._gate = _HOLDING
        self._call.completed()

    def release(self) -> None:
        """The record is in the kernel, or has been waited for long enough: what is held may go."""
        self._recorded = True
        rest, back = self._rest, self._back
        if back is not None:
            self._back = None
            rest = back.rest(None if self.scanner is None else self.scanner.cut)
        self._rest = b""
        self._gate = _PASSING
        self._send(rest, self._tail if self._finished else b"")
        if self._finished or self.broken:
            self._call.delivered()
        else:
            self._call.let_upstream_go_on()

    def cut(self) -> None:
        """The end will not come: nothing more is read; what is held goes at `release`, and then the client is cut."""
        self.broken = True
        self._committed = True
        self._gate = _HOLDING
        self.stop_reading()

    def stop_reading(self) -> None:
        """The scanner's part is over (idempotent)."""
        if self.scanner is not None and not self._read:
            self._read = True
            try:
                self.scanner.finish()
            except Exception:
                self._unplug()

    # -- parts

    def _part(self, data: bytes) -> None:
        """A piece of which some may not go yet."""
        scanner = self.scanner
        back = self._hold(len(data))
        if self._committed or scanner is None:
            back.take(data, 0, None)
            if len(back) > HELD_MAX:
                self._call.hold_upstream()
            return
        passed = back.take(data, self.bytes if self.unplugged else scanner.safe, scanner.cut)
        if not back:
            self._back = None
        if passed or not scanner.ended:
            self._send(passed, b"")
        if scanner.ended:
            self._committed = True
            self._gate = _HOLDING
            self.stop_reading()
            self._call.completed()

    def _hold(self, fresh: int) -> Holdback:
        back = self._back
        if back is None:
            back = self._back = Holdback(self.bytes - fresh)
        return back

    def _read_last(self, data: bytes) -> bool:
        """Whether the terminal event is complete with this last piece."""
        if self.scanner is None or self.unplugged:
            return False
        if data:
            try:
                self._gate.feed(data)
            except Exception:
                self._unplug()
                return False
        self.stop_reading()
        return self.scanner.ended

    def _send(self, data: bytes, tail: bytes) -> None:
        if data and self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        data = self._head + data + tail
        self._head = b""
        if data:
            self.write(data)

    def _unplug(self) -> bool:
        """The scanner is broken: loud, and the bytes flow on without it."""
        self.unplugged = self._read = True
        self._gate = _PASSING
        kind = self._call.request.route.kind
        log.failure("the usage scanner failed on a {kind} answer: unplugged", kind=kind.name if kind else "unknown")
        return True


def _last_chunk(trailers: list[Header]) -> bytes:
    """The end of a chunked body, with the trailers that may pass (RFC 9110 section 6.5.1)."""
    if not trailers:
        return b"0\r\n\r\n"
    passed = b"".join(b"%b: %b\r\n" % (name, value) for lower, name, value in trailers if _may_trail(lower))
    return b"0\r\n" + passed + b"\r\n"


def _may_trail(name: bytes) -> bool:
    """What does not pass in a head (`core.heads`) does not behind a body, whether written with `-` or `_`."""
    dashed = name.replace(b"_", b"-")
    return dashed not in NOT_IN_TRAILERS and not dashed.startswith((b"x-forwarded-", b"x-awf-"))


#: fields that frame, route, authenticate or steer a message mean nothing after it: RFC 9110 section 6.5.1
NOT_IN_TRAILERS = frozenset({
    b"alt-svc", b"authorization", b"cache-control", b"connection", b"content-encoding", b"content-length",
    b"content-range", b"content-type", b"forwarded", b"host", b"keep-alive", b"location", b"max-forwards",
    b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization", b"proxy-connection", b"set-cookie",
    b"set-cookie2", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"vary", b"via", b"www-authenticate",
    b"x-request-id", b"x-upstream-request-id",
})  # fmt: skip
