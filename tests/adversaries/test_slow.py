"""Slowness as a weapon, by a clock that the tests move: each has a limit that sending now and then does not lift.

Connections that are only held: `tests/server/test_guests.py` and `test_process_files.py`.
"""

from __future__ import annotations

import gzip
import ssl
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from awfproxy.server.client import HEAD_TIMEOUT, KEEP_ALIVE
from awfproxy.server.client_request import BODY_TIMEOUT
from awfproxy.server.tls import TlsServer
from awfproxy.wire.requests import HEAD_MAX
from awfproxy.wire.responses import FRAMING_MAX
from tests.adversaries.playing import stage
from tests.server.stage import Stage, Wire
from tests.server.test_call import requests

#: seconds between two bytes of one who drips
DRIP = 2.0


def drip(staged: Stage, wire: Wire, piece: bytes, seconds: float) -> float:
    """Send ``piece`` over and over; seconds until the proxy had enough, or all of them."""
    passed = 0.0
    while passed < seconds and not wire.closed and not wire.half_closed:
        wire.receive(piece)
        staged.wait(DRIP)
        passed += DRIP
    return passed


@pytest.mark.parametrize("piece", [b"a", b"X-A: y\r\n", b"\r\n"], ids=["a line", "fields", "line ends"])
def test_a_head_that_drips(piece: bytes) -> None:
    """Sixty seconds from its first byte; line ends before a request are none of it, and an idle connection ends too."""
    staged = stage()
    client = staged.client()
    if piece != b"\r\n":
        client.receive(b"GET /")
    if piece.startswith(b"X"):
        client.receive(b"a HTTP/1.1\r\n")
    passed = drip(staged, client, piece, 1000)
    assert passed <= (KEEP_ALIVE if piece == b"\r\n" else HEAD_TIMEOUT) + DRIP
    assert client.closed and requests(staged) == []


def test_halves_of_line_ends_that_drip() -> None:
    """Nor does a request begin with a carriage return whose line feed comes later."""
    staged = stage()
    client = staged.client()
    passed = 0.0
    while passed < 1000 and not client.closed:
        client.receive(b"\r")
        staged.wait(DRIP)
        client.receive(b"\n")
        staged.wait(DRIP)
        passed += 2 * DRIP
    assert client.closed and passed <= KEEP_ALIVE + 2 * DRIP


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_body_that_drips(framing: bytes) -> None:
    """It holds memory that others wait for: 408."""
    staged = stage()
    client = staged.client()
    client.receive(b"POST /a HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % framing)
    passed = drip(staged, client, b"1\r\na\r\n" if b"chunked" in framing else b"a", 1000)
    assert passed <= BODY_TIMEOUT + DRIP
    assert client.take().startswith(b"HTTP/1.1 408 ") and staged.shared.body_memory.lent == 0
    assert [record["status"] for record in requests(staged)] == [408]


def test_a_handshake_that_drips() -> None:
    """Its time is that of a head: it holds some 40 KB."""
    staged = stage()
    layer = TlsServer(staged.entrance.accept(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    wire = Wire(layer)
    layer.makeConnection(wire)
    hello = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"
    wire.receive(hello)
    assert drip(staged, wire, b"\0", 1000) <= HEAD_TIMEOUT + DRIP
    assert wire.closed


def asked(staged: Stage) -> Wire:
    """A client that waits for its answer."""
    client = staged.client()
    client.receive(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    staged.turn()
    return client


def test_an_answer_whose_head_drips() -> None:
    """The first byte is not an answer: 504 when its time is over."""
    staged = Stage(first_byte_timeout=30.0)
    client = asked(staged)
    staged.upstream.receive(b"HTTP/1.1 200 OK\r\n")
    assert drip(staged, staged.upstream, b"X: y\r\n", 1000) <= 30 + DRIP
    assert client.take().startswith(b"HTTP/1.1 504 ")


def test_interim_answers_that_drip() -> None:
    """They are counted; and no answer is none, however many come."""
    staged = Stage(first_byte_timeout=30.0)
    client = asked(staged)
    drip(staged, staged.upstream, b"HTTP/1.1 103 Early Hints\r\n\r\n", 1000)
    assert client.take().startswith((b"HTTP/1.1 504 ", b"HTTP/1.1 502 "))


@pytest.mark.parametrize("piece", [b"a", b"aa;"], ids=["an extension", "another"])
def test_framing_that_drips(piece: bytes) -> None:
    """What is no byte of the body is silence."""
    staged = Stage(idle_timeout=30.0)
    client = asked(staged)
    staged.upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;")
    assert drip(staged, staged.upstream, piece, 1000) <= 30 + DRIP
    assert client.closed and [record["outcome"] for record in requests(staged)] == ["timed_out"]


# -- much of it


def grown(feed: Callable[[], object], times: int) -> int:
    """Bytes of memory at the most beyond those before, while this is called so often."""
    tracemalloc.start()
    try:
        for _ in range(times):
            feed()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"X: yyyy\r\n" * 1000, b"y" * 9000], ids=["fields", "a value"])
def test_a_head_without_end_takes_no_more_than_its_bound(piece: bytes) -> None:
    """Whatever comes after the refusal is counted and thrown away."""
    staged = stage()
    client = staged.client()
    client.receive(b"GET /a HTTP/1.1\r\nX: ")

    def more() -> None:
        if not client.closed:
            client.receive(piece)
            staged.turn()

    assert grown(more, 200) < 20 * HEAD_MAX
    assert client.take().startswith(b"HTTP/1.1 400 ") and client.aborted


@pytest.mark.parametrize("start", [b"1;", b"0\r\nX: "], ids=["an extension", "a trailer"])
def test_framing_without_end_takes_no_more_than_its_bound(start: bytes) -> None:
    """llhttp keeps a trailer until it is whole: a gigabyte of one must not be kept."""
    staged = stage()
    client = asked(staged)
    upstream = staged.upstream
    upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + start)
    piece = b"y" * 16_384

    def more() -> None:
        if not upstream.closed:
            upstream.receive(piece)

    assert grown(more, 200) < 20 * FRAMING_MAX
    staged.turn()
    assert upstream.closed and client.closed


def nested(size: int, times: int) -> bytes:
    """Nothing, compressed over and over."""
    data = b"\0" * size
    for _ in range(times):
        data = gzip.compress(data)
    return data


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", nested(300_000_000, 1)),
        (b"gzip, gzip", nested(300_000_000, 2)),
        (b"deflate", zlib.compress(b"\0" * 300_000_000)),
        (b"gzip, gzip, gzip, gzip", nested(300_000_000, 4)),
        (b"gzip, " * 50 + b"gzip", nested(1_000, 51)),
    ],
    ids=["gzip", "gzip of gzip", "deflate", "four", "many"],
)
def test_a_compressed_request_that_is_a_bomb(coding: bytes, body: bytes) -> None:
    """It is looked into up to the bound of a body, and goes on as it came."""
    staged = stage()
    client = staged.client()
    sent = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: %b\r\n"
        % coding
    )
    sent += b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert grown(lambda: client.receive(sent), 1) < 3 * staged.port.settings.max_request_body
    staged.turn()
    assert staged.upstream.take().endswith(body)
