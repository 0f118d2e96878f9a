"""One connection, in memory: requests in, bytes out, and how it ends."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from awfproxy.simulator.connection import Connection
from awfproxy.simulator.site import Site

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
).encode()


class Transport(StringTransport):
    """A transport that writes down how it was ended."""

    ended: str | None = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def loseConnection(self) -> None:
        self.ended = "fin"
        super().loseConnection()

    def abortConnection(self) -> None:
        self.ended = "rst"


class Line:
    """A connection with its transport, clock and site."""

    def __init__(self) -> None:
        self.clock, self.site, self.transport = Clock(), Site(lambda: 0.0), Transport()
        self.closed: list[Connection] = []
        self.connection = Connection(self.site, self.clock, 1, "openai", self.closed.append)
        self.connection.makeConnection(self.transport)

    def ask(self, *headers: str, body: bytes = BODY, length: int | None = None, whole: bool = True) -> bytes:
        """Send a chat request; what was answered at once."""
        lines = ["POST /v1/chat/completions HTTP/1.1", "Host: sim", "Authorization: Bearer sim-openai-key", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(body) if length is None else length}", "", ""]).encode()
        self.connection.dataReceived(head + (body if whole else b""))
        return self.answered()

    def answered(self) -> bytes:
        """What was written since the last look."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


@pytest.fixture
def line() -> Line:
    """A fresh connection."""
    return Line()


def test_requests_are_answered_in_order(line: Line) -> None:
    """Pipelined ones too: the second waits until the first is through."""
    second = b"GET /_sim/ready HTTP/1.1\r\nHost: s\r\n\r\n"
    first = line.ask("x-sim-pace: 10", body=BODY + second, length=len(BODY))
    assert first.count(b"data:") == 1
    line.clock.pump([0.01] * 20)
    rest = line.answered()
    assert rest.index(b"[DONE]") < rest.index(b'{"ready":true}')
    assert line.site.ledger.calls[0].end == "complete"


def test_a_paced_stream(line: Line) -> None:
    """One event a tick, and the ledger knows how far it came."""
    first = line.ask("x-sim-pace: 10")
    assert first.count(b"data:") == 1
    line.clock.advance(0.01)
    assert line.answered().count(b"data:") == 1
    call = line.site.ledger.calls[0]
    assert (call.sent_events, call.end) == (2, "open")
    line.clock.pump([0.01] * 20)
    assert line.answered().endswith(b"0\r\n\r\n")
    assert (call.end, call.sent_events) == ("complete", 15)


def test_the_client_goes_away(line: Line) -> None:
    """The ledger says aborted; nothing is left to happen."""
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    line.ask("x-sim-pace: 10", "x-sim-endless: 1")
    line.connection.connectionLost(Failure(ConnectionLost()))
    assert line.site.ledger.calls[0].end == "aborted"
    assert line.clock.getDelayedCalls() == []
    assert line.closed == [line.connection]


def test_a_reader_that_pauses_stops_an_endless_stream(line: Line) -> None:
    """Back-pressure: not a byte while paused, on when resumed."""
    line.ask("x-sim-pace: 10", "x-sim-endless: 1")
    assert line.transport.producer is not None
    line.transport.producer.pauseProducing()
    line.clock.pump([0.01] * 5)
    assert line.answered() == b""
    line.transport.producer.resumeProducing()
    line.clock.advance(0.01)
    assert line.answered() != b""


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_cuts(line: Line, how: str) -> None:
    """What was sent first is given time to leave."""
    assert line.ask("x-sim-cut: 2", f"x-sim-cut-how: {how}").count(b"data:") == 2
    assert line.transport.ended is None
    line.clock.advance(1)
    assert line.transport.ended == how
    assert line.site.ledger.calls[0].end == "cut"


def test_an_early_answer(line: Line) -> None:
    """Begins with the head; the connection is usable again when the body came."""
    assert line.ask("x-sim-early: read", "x-sim-status: 413", whole=False).startswith(b"HTTP/1.1 413")
    line.connection.dataReceived(BODY)
    assert line.ask().startswith(b"HTTP/1.1 200")


def test_an_early_answer_that_closes(line: Line) -> None:
    """Without reading the body."""
    assert b"Connection: close" in line.ask("x-sim-early: close", "x-sim-status: 401", whole=False)
    assert line.transport.ended == "fin"


def test_idle_connections_close_unannounced(line: Line) -> None:
    """Right after the answer, after a while, or when the next request comes."""
    assert b"Connection: close" not in line.ask("x-sim-idle-close: 500")
    assert line.transport.ended is None
    line.clock.advance(0.5)
    assert line.transport.ended == "fin"
    other = Line()
    other.ask("x-sim-next: rst")
    assert other.ask() == b""
    assert other.transport.ended == "rst"
    assert len(other.site.ledger.calls) == 1


def test_interim_and_expect(line: Line) -> None:
    """A client that waits for 100 gets it before its body is there."""
    assert line.ask("Expect: 100-continue", whole=False) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.connection.dataReceived(BODY)
    assert line.answered().startswith(b"HTTP/1.1 200")


def test_slow_reading(line: Line) -> None:
    """The body is left unread for a while."""
    line.ask("x-sim-read-delay: 300", whole=False)
    assert line.transport.producerState == "paused"
    line.clock.advance(0.3)
    assert line.transport.producerState == "producing"


def test_websockets_are_refused(line: Line) -> None:
    """426, with the connection intact until the client leaves."""
    request = b"GET /v1/responses HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    line.connection.dataReceived(request)
    assert line.answered().startswith(b"HTTP/1.1 426")


def test_what_is_no_http(line: Line) -> None:
    """400 and the end."""
    line.connection.dataReceived(b"\x16\x03\x01 hello\r\n\r\n")
    assert line.answered().startswith(b"HTTP/1.1 400")
    assert line.transport.ended == "fin"
