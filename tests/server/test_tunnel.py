"""CONNECT through a proxy, in memory: asked for rightly, believed only when the answer is clear."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.server.tunnel import Tunnel, TunnelRefused
from tests.server.stage import Wire


class Above(Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reason: Failure | None = None

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data.decode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append("lost")
        self.reason = reason


def asked(authorization: bytes = b"") -> tuple[Above, Wire]:
    """A tunnel that has been asked for."""
    above = Above()
    tunnel = Tunnel(above, b"api.example.com:443", authorization)
    wire = Wire(tunnel)
    tunnel.makeConnection(wire)
    return above, wire


def test_the_request() -> None:
    """RFC 9110 section 9.3.6: authority form, and the same in Host."""
    _, wire = asked()
    assert wire.take() == b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"


def test_a_password() -> None:
    """As the settings have it."""
    _, wire = asked(b"Basic bWU6cHc=")
    assert wire.take().endswith(b"\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nVia: 1.1 squid\r\n\r\n",
        b"HTTP/1.1 204 Yes\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_tunnel_that_stands(reply: bytes, step: int) -> None:
    """From the end of the answer's head on, all that comes is for the protocol above."""
    above, wire = asked()
    for start in range(0, len(reply), step):
        assert above.told == []
        wire.receive(reply[start : start + step])
    assert above.told == ["made"]
    wire.receive(b"from the far end")
    wire.end()
    assert above.told == ["made", "from the far end", "lost"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied", "answered CONNECT with 403"),
        (b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndenied\r\n0\r\n\r\n", "with 403"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered CONNECT with 407"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.example\r\n\r\n", "answered CONNECT with 302"),
        (b"HTTP/1.1 200 OK\r\n\r\nspeaks first", "did not answer CONNECT in HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer CONNECT in HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "did not answer CONNECT in HTTP"),
    ],
)
def test_no_tunnel(reply: bytes, words: str) -> None:
    """The connection is dropped and the reason told, without a word of what the proxy sent."""
    above, wire = asked()
    wire.receive(reply)
    assert wire.aborted
    wire.end(clean=False)
    assert above.told == ["lost"]
    assert above.reason is not None
    assert above.reason.check(TunnelRefused)
    assert words in str(above.reason.value)


def test_a_proxy_that_closes() -> None:
    """Without an answer: the loss is told as it is."""
    above, wire = asked()
    wire.receive(b"HTTP/1.1 2")
    wire.end()
    assert above.told == ["lost"]
    assert above.reason is not None
    assert not above.reason.check(TunnelRefused)
