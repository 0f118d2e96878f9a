"""The pool of upstream connections: whose turn it is, what is kept, and what is told of a failure."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest
from twisted.internet.task import Clock

from awfproxy.core.message import ResponseHead
from awfproxy.core.settings import Upstream
from awfproxy.server import upstream as module
from awfproxy.server.outbound import Outbound
from awfproxy.server.upstream import IDLE_SECONDS, UpstreamConnection, UpstreamPool
from tests.server.stage import Wire, Wires

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class DummyExchange:
    """Writes down what its connection tells it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.answer = None

    def connected(self) -> None:
        self.told.append(("connected",))

    def connect_failed(self, why: str, timed_out: bool) -> None:
        self.told.append(("failed", why, timed_out))

    def upstream_lost(self, why: str, retryable: bool) -> None:
        self.told.append(("lost", why, retryable))

    def response_head(self, head: ResponseHead) -> None:
        self.told.append(("head", head.status))

    def response_body(self, data: bytes) -> None:
        self.told.append(("body", data))

    def response_begun(self) -> None:
        self.told.append(("begun",))

    def response_end(self, data: bytes, trailers: object) -> None:
        self.told.append(("end", data))


class Around:
    """A pool, its clock and its wires."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.outbound = Outbound()
        self.wires = Wires(self.clock)
        self.pool = UpstreamPool(
            self.wires, self.clock, self.clock.seconds, Upstream("http", "up.test", 80), None, None, 10.0, self.outbound
        )

    def attach(self, **wanted: bool) -> tuple[DummyExchange, UpstreamConnection]:
        """An exchange with its connection, which stands."""
        call = DummyExchange()
        connection = self.pool.attach(call, **wanted)  # type: ignore[arg-type]
        self.clock.advance(0)
        return call, connection

    def answer(self, connection: UpstreamConnection, reply: bytes = ANSWER) -> Wire:
        """One request and its answer."""
        connection.send(b"GET", b"GET / HTTP/1.1\r\n\r\n", b"")
        wire = connection.transport
        assert isinstance(wire, Wire)
        wire.receive(reply)
        return wire


@pytest.fixture
def around() -> Around:
    """A pool with nothing in it."""
    return Around()


def test_the_newest_idle_connection_is_taken(around: Around) -> None:
    """So that surplus ones grow old and go."""
    pairs = [around.attach() for _ in range(3)]
    assert around.pool.counts == {"idle": 0, "busy": 3}
    for _, connection in pairs:
        around.answer(connection)
    assert around.pool.counts == {"idle": 3, "busy": 0}
    again = [around.attach()[1] for _ in range(3)]
    assert again == [connection for _, connection in reversed(pairs)]
    assert len(around.wires.dialled) == 3
    assert all(connection.reused for connection in again)


def test_a_fresh_connection_when_asked_for(around: Around) -> None:
    """A second attempt must not meet another connection that is about to close."""
    _, first = around.attach()
    around.answer(first)
    _, second = around.attach(fresh=True)
    assert second is not first
    assert not second.reused
    assert around.pool.counts == {"idle": 1, "busy": 1}


def test_a_kept_connection_that_has_ended_is_passed_over(around: Around) -> None:
    """Where asked for: one on which something came since its answer, be it the end that was not read yet."""
    open_still, ended = (around.attach()[1] for _ in range(2))
    around.answer(open_still)
    wire = around.answer(ended)
    wire.speaks = True
    _, connection = around.attach(surely_open=True)
    assert connection is open_still and connection.reused
    assert wire.closed and around.pool.counts == {"idle": 0, "busy": 1}
    wire.end()
    _, another = around.attach(surely_open=True)
    assert not another.reused
    assert around.pool.counts == {"idle": 0, "busy": 2}


def test_else_it_is_not_looked_at(around: Around) -> None:
    """A look is a system call; what is lost there is sent again."""
    _, first = around.attach()
    around.answer(first).speaks = True
    assert around.attach()[1] is first


def test_old_connections_are_closed(around: Around) -> None:
    """Before a load balancer does it under us; younger ones stay."""
    _, old = around.attach()
    _, young = around.attach()
    old_wire = around.answer(old)
    around.clock.advance(IDLE_SECONDS / 2)
    young_wire = around.answer(young)
    around.clock.advance(IDLE_SECONDS / 2)
    around.pool.sweep(around.clock.seconds())
    assert (old_wire.closed, young_wire.closed) == (True, False)
    assert around.pool.counts == {"idle": 1, "busy": 0}
    assert around.attach()[1] is young


def test_the_pool_is_bounded(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound an answered connection is closed instead of kept."""
    monkeypatch.setattr(module, "IDLE_MAX", 2)
    wires = [around.answer(connection) for _, connection in [around.attach() for _ in range(3)]]
    assert [wire.closed for wire in wires] == [False, False, True]
    assert around.pool.counts == {"idle": 2, "busy": 0}


def test_all_pools_together_are_bounded() -> None:
    """By the process's files: what has been idle longest makes way for a new one, of whatever upstream; no call waits."""
    first, second = Around(), Around()
    second.pool._outbound = outbound = first.outbound
    outbound.most = 3
    wires = [first.answer(connection) for _, connection in [first.attach() for _ in range(3)]]
    _, busy = second.attach()
    assert [wire.closed for wire in wires] == [True, False, False]
    assert (first.pool.counts, second.pool.counts) == ({"idle": 2, "busy": 0}, {"idle": 0, "busy": 1})
    assert first.attach()[1].transport is wires[2], "one that is kept takes no file"
    assert [wire.closed for wire in wires] == [True, False, False]
    second.answer(busy)
    for _ in range(5):
        second.attach()
    assert first.pool.counts["idle"] == 0 and outbound.busy == 6 and len(outbound.idle) == 0
    first.pool.close()
    second.pool.close()


def test_what_is_gone_is_counted_out_of_all() -> None:
    """However it went: taken, old, ended by the upstream, or with its pool."""
    around = Around()
    for how in ("old", "ended", "pool"):
        _, connection = around.attach()
        wire = around.answer(connection)
        assert list(around.outbound.idle) == [connection]
        if how == "old":
            around.pool.sweep(around.clock.seconds() + IDLE_SECONDS)
        elif how == "ended":
            wire.end()
        else:
            around.pool.close()
        assert (around.outbound.busy, len(around.outbound.idle)) == (0, 0), how


def test_a_held_connection_is_let_go_before_it_is_kept(around: Around) -> None:
    """Paused for a slow client, it would hang the next call."""
    _, connection = around.attach()
    connection.pause()
    wire = around.answer(connection)
    assert not wire.paused
    assert around.attach()[1] is connection


@pytest.mark.parametrize(
    "reply",
    [
        ANSWER + b"surplus",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_what_is_not_kept(around: Around, reply: bytes) -> None:
    """Bytes after the answer, or an end that was announced."""
    call, connection = around.attach()
    wire = around.answer(connection, reply)
    assert call.told[-1] == ("end", b"ok")
    assert wire.closed
    assert around.pool.counts["idle"] == 0
    wire.end()
    assert around.pool.counts == {"idle": 0, "busy": 0}


def test_an_answer_before_the_request_was_sent_out(around: Around) -> None:
    """The rest of that request would be read as the next one's beginning."""
    call, connection = around.attach()
    wire = connection.transport
    assert isinstance(wire, Wire)
    wire.queued = 1
    around.answer(connection)
    assert call.told[-1] == ("end", b"ok")
    assert wire.closed


def test_bytes_that_nobody_asked_for(around: Around) -> None:
    """On an idle connection: it is aborted and forgotten."""
    _, connection = around.attach()
    wire = around.answer(connection)
    wire.receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire.aborted
    wire.end(clean=False)
    assert around.pool.counts == {"idle": 0, "busy": 0}
    assert around.attach()[1] is not connection


def test_a_call_that_left_while_it_was_dialled_for(around: Around) -> None:
    """The connection that then stands serves the next one."""
    around.wires.slow = True
    call, connection = around.attach()
    connection.abandon()
    around.wires.finish()
    assert call.told == []
    assert around.pool.counts == {"idle": 1, "busy": 0}
    assert around.attach()[1] is connection


def test_connecting_takes_too_long(around: Around) -> None:
    """Told once, as a timeout."""
    around.wires.slow = True
    call, _ = around.attach()
    around.clock.advance(10)
    assert call.told == [("failed", "timed out", True)]
    assert around.pool.counts == {"idle": 0, "busy": 0}
    assert not around.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "10.1.2.3:443 refused"), os.strerror(errno.ECONNREFUSED)),
        (OSError(errno.ENETUNREACH, "net"), os.strerror(errno.ENETUNREACH)),
        (socket.gaierror(socket.EAI_NONAME, "secret-host.internal"), "name not resolved"),
        (RuntimeError("10.1.2.3"), "RuntimeError"),
    ],
)
def test_connecting_fails(around: Around, error: Exception, words: str) -> None:
    """The reason for the record, without address or name."""
    around.wires.refuse = error
    call, _ = around.attach()
    assert call.told == [("failed", words, False)]
    assert around.pool.counts == {"idle": 0, "busy": 0}
    assert not around.clock.getDelayedCalls()


def test_whether_trying_again_makes_sense(around: Around) -> None:
    """Only on a connection that had answered before, and only while nothing came back."""
    call, connection = around.attach()
    connection.send(b"GET", b"", b"")
    wire = connection.transport
    assert isinstance(wire, Wire)
    wire.end()
    assert call.told[-1] == ("lost", "connection closed", False)
    _, connection = around.attach()
    wire = around.answer(connection)
    call, again = around.attach()
    assert again is connection
    again.send(b"GET", b"", b"")
    wire.end(clean=False)
    assert call.told[-1] == ("lost", "connection lost", True)
    _, connection = around.attach()
    wire = around.answer(connection)
    call, again = around.attach()
    again.send(b"GET", b"", b"")
    wire.receive(b"HTTP/1.1 2")
    wire.end()
    assert call.told[-1][0::2] == ("lost", False)


def test_closing_the_pool(around: Around) -> None:
    """Idle connections go at once, busy ones after their answer."""
    _, idle = around.attach()
    _, busy = around.attach()
    idle_wire = around.answer(idle)
    around.pool.close()
    assert idle_wire.closed
    busy_wire = around.answer(busy)
    assert busy_wire.closed
    assert around.pool.counts["idle"] == 0
