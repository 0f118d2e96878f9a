"""Requests as a client may send them, and as it may not."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.message import RequestHead
from awfproxy.wire.requests import CHUNK_ALLOWANCE, DIRECT_MIN, HEAD_MAX, HEADERS_MAX, RequestReader


class Transcript:
    """Writes down what a reader tells; answers every request at once if ``eager``."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.reader = RequestReader(self)
        self.head: RequestHead | None = None

    def request_head(self, head: RequestHead) -> None:
        self.head = head
        self.events.append((head.method, head.target, head.minor, head.content_length, head.chunked, head.keep_alive))

    def request_body(self, piece: bytes) -> None:
        if self.events and isinstance(self.events[-1], bytes):
            piece = self.events.pop() + piece  # type: ignore[operator]
        self.events.append(piece)

    def request_complete(self) -> None:
        self.events.append("complete")


def read(data: bytes, cuts: list[int]) -> tuple[list[object], str | None]:
    """What a reader tells of ``data`` fed in pieces, each request answered as soon as it is complete."""
    transcript = Transcript()
    reason = None
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        fault = transcript.reader.feed(data[start:stop])
        while fault is None and not transcript.reader.hungry:
            fault = transcript.reader.proceed()
        if fault is not None and reason is None:
            reason = fault.reason
    return transcript.events, reason


PIPELINED = (
    b"\r\nGET /a?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\na\r\n\r\n\r\n3;ext=1\r\nxyz\r\n0\r\nTrailer: 1\r\n\r\n"
    b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
    b"GET /d HTTP/1.0\r\nHost: y\r\n\r\n"
)
PIPELINED_EVENTS = [
    (b"GET", b"/a?x=1", 1, None, False, True), "complete",
    (b"POST", b"/b", 1, None, True, True), b"a\r\n\r\nxyz", "complete",
    (b"POST", b"/c", 1, 4, False, True), b"abcd", "complete",
    (b"GET", b"/d", 0, None, False, False), "complete",
]  # fmt: skip


@given(st.lists(st.integers(0, len(PIPELINED)), max_size=20))
def test_any_split_gives_the_same_requests(cuts: list[int]) -> None:
    """Pipelined requests of every framing come out one by one, however the bytes are cut."""
    assert read(PIPELINED, cuts) == (PIPELINED_EVENTS, None)


def test_byte_by_byte() -> None:
    """The finest split there is."""
    assert read(PIPELINED, list(range(len(PIPELINED)))) == (PIPELINED_EVENTS, None)


def test_large_bodies_and_what_follows_them() -> None:
    """Bodies that llhttp is not shown are counted right, and the request after them is read as ever."""
    large = b"POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (DIRECT_MIN + 1) + b"z" * (DIRECT_MIN + 1)
    data = large + b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n" + large
    expected = read(data, [])
    assert [event[1] for event in expected[0] if isinstance(event, tuple)] == [b"/l", b"/after", b"/l"]
    for step in (1000, 4096, 65_536, 65_537, 100_000):
        assert read(data, list(range(step, len(data), step))) == expected


def test_the_next_request_waits_until_the_first_is_answered() -> None:
    """Nothing of a pipelined request is told before `proceed`."""
    transcript = Transcript()
    transcript.reader.feed(PIPELINED)
    assert transcript.events == PIPELINED_EVENTS[:2]
    assert transcript.reader.waiting > 0
    transcript.reader.proceed()
    assert transcript.events == PIPELINED_EVENTS[:5]


H = b"Host: x\r\n"
BAD = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no host on 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "two different lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two equal lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "list of lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1, 1\r\n\r\na",
    "signed length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +1\r\n\r\na",
    "hex length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x1\r\n\r\na",
    "empty length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: \r\n\r\na",
    "endless length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 30 + b"\r\n\r\na",
    "length and chunked": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "chunked on 1.0": b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, gzip": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in a way": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with vertical tab": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "identity": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "bare LF ends lines": b"GET / HTTP/1.1\nHost: x\n\n",
    "bare LF in one line": b"GET / HTTP/1.1\r\nX: a\nHost: x\r\n\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n",
    "bare CR ends a line": b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n" + H + b"X\x00: a\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\n" + H + b": a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\n" + H + b"nonsense\r\n\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n",
    "absolute form": b"GET http://x/ HTTP/1.1\r\n" + H + b"\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "RTSP": b"GET / RTSP/1.0\r\n" + H + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n",
    "high bytes in target": b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n",
    "bare LF before the request": b"\nGET / HTTP/1.1\r\n" + H + b"\r\n",
    "bare CR before the request": b"\rGET / HTTP/1.1\r\n" + H + b"\r\n",
    "bare LF between two empty lines": b"\r\n\n\r\nGET / HTTP/1.1\r\n" + H + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "version 0.9": b"GET / HTTP/0.9\r\n" + H + b"\r\n",
    "version 2": b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + H + b"\r\n",
    "lower-case protocol": b"GET / http/1.1\r\n" + H + b"\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\n" + H + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "chunk size with sign": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "chunk size in 0x": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk size too large": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\na",
    "chunk size empty": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n",
    "chunk size then space": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    "chunk ends in LF": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "chunk longer than its size": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "huge chunk extension": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1;"
    + b"x" * (CHUNK_ALLOWANCE + 100) + b"\r\na\r\n0\r\n\r\n",
    "huge trailers": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"X: y\r\n" * (CHUNK_ALLOWANCE // 5) + b"\r\n",
    "two content types": b"POST / HTTP/1.1\r\n" + H + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
    "head too large": b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * HEAD_MAX + b"\r\n\r\n",
    "endless head": b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * HEAD_MAX,
    "too many headers": b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * (HEADERS_MAX + 1) + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_two_parsers_could_read_in_two_ways_is_refused(name: str) -> None:
    """Whole or in small pieces, it is a fault, and nothing is ever told as complete."""
    for step in (len(BAD[name]), 700, 7):
        events, reason = read(BAD[name], list(range(step, len(BAD[name]), step)))
        assert reason, name
        assert "complete" not in events, name


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_raise(data: bytes, cuts: list[int]) -> None:
    """Whatever a client sends, the reader returns."""
    read(data, cuts)
    read(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + data, cuts)


def test_after_a_fault_nothing_is_read() -> None:
    """A connection that was refused stays refused."""
    transcript = Transcript()
    assert transcript.reader.feed(BAD["two hosts"]) is not None
    assert transcript.reader.feed(PIPELINED) is None
    assert transcript.events == []


@pytest.mark.parametrize("data", [b"1\r\n\n\r@", b"GET / HTTP/1.1\n", b"\n", b"G\r\n\r\r\n\n"])
def test_a_bare_line_feed_is_told_at_once_whatever_the_split(data: bytes) -> None:
    """Before the head is whole, and also where the cut goes through a line's end."""
    for at in range(len(data) + 1):
        transcript = Transcript()
        first = transcript.reader.feed(data[:at])
        assert (first or transcript.reader.feed(data[at:])) is not None, at


def test_an_upgrade_is_told_and_nothing_after_it_is_read_as_http() -> None:
    """Its request can be answered; what follows is not a request."""
    transcript = Transcript()
    transcript.reader.feed(b"GET /w HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x85")
    assert transcript.events[1:] == ["complete"]


def test_a_sink_may_stop_the_reader_at_the_head() -> None:
    """A refusal by head leaves the body unread, also when it came in the same bytes."""
    transcript = Transcript()
    transcript.request_head = lambda head: transcript.reader.stop()  # type: ignore[method-assign]
    assert transcript.reader.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") is None
    assert transcript.events == []


def test_a_reader_that_is_stopped_leaves_nothing_to_the_garbage_collector() -> None:
    """In the middle of a request: neither its parser, nor who was told."""
    gc.collect()
    transcript = Transcript()
    transcript.reader.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    transcript.reader.stop()
    del transcript
    assert gc.collect() == 0
