"""How the ports of a process stop, on a clock: with a disk that works and with one that does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from awfproxy.server import ports as module
from awfproxy.server.client import HEAD_TIMEOUT, ClientConnection
from awfproxy.server.intake import Unwritten
from awfproxy.server.ports import FLUSH_SECONDS, HURRY_SECONDS, LAST_REQUESTS, SWEEP_SECONDS, Ports
from tests.conftest import LoggedFailures
from tests.server.stage import Stage

#: seconds, and those that a record may keep an end waiting
DRAIN, RECORD_WAIT = 30.0, 5.0
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n" b'{"model":"gpt-4o"}'


class Running:
    """Ports at work, with one call whose answer has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_keep_memory", lambda: None)
        self.stage = Stage(record_wait=RECORD_WAIT)
        self.clock = self.stage.clock
        self.ports = Ports(self.stage.shared.settings, self.clock, self.stage.shared)
        self.ports.ports = [self.stage.entrance]
        self.ports._sweeping.start(SWEEP_SECONDS, now=False)
        self.client = self.stage.client()
        self.client.receive(REQUEST)
        self.stage.turn()
        self.stage.upstream.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        self.stage.turn()
        assert b"hello" in self.client.take()

    def stop(self) -> Deferred[Unwritten]:
        """Begin to."""
        return Deferred.fromCoroutine(self.ports.stop())

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        for _ in range(round(seconds / SWEEP_SECONDS)):
            self.clock.advance(SWEEP_SECONDS)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """A call runs."""
    return Running(monkeypatch)


def ended(stopping: Deferred[Unwritten]) -> list[Unwritten]:
    """What stopping came to, if it has."""
    found: list[Unwritten] = []
    stopping.addCallback(found.append)
    return found


def test_a_call_that_ends_by_itself_is_waited_for(running: Running) -> None:
    """And no longer."""
    stopping = ended(running.stop())
    running.pass_(10)
    assert stopping == []
    running.stage.upstream.receive(b"0\r\n\r\n")
    running.pass_(1)
    assert stopping == [Unwritten(0, 0)]
    assert running.client.take().endswith(b"0\r\n\r\n")
    assert len(running.stage.journal.request_lines) == 1


def test_after_the_deadline_only_the_journal_is_waited_for(running: Running) -> None:
    """The records of calls that are cut are handed over: they do not wait for `record_wait` first."""
    running.stage.journal.stall("No space left on device")
    stopping = ended(running.stop())
    running.pass_(DRAIN)
    assert running.stage.journal.queue_records == 1
    running.pass_(FLUSH_SECONDS - SWEEP_SECONDS)
    assert stopping == []
    running.pass_(1)
    ((records, tokens),) = [(each.records, each.tokens) for each in stopping]
    assert records == 1
    assert tokens > 0


def test_a_second_signal_cuts_and_is_over_at_once(running: Running) -> None:
    """With a disk that works nothing is lost."""
    stopping = ended(running.stop())
    running.pass_(5)
    running.ports.end_drain()
    running.stage.turn()
    assert stopping == [Unwritten(0, 0)]
    (line,) = running.stage.journal.request_lines
    assert b'"outcome":"drained"' in line


@pytest.mark.parametrize("after", [5.0, DRAIN + 2])
def test_a_second_signal_does_not_wait_for_a_disk_that_hangs(running: Running, after: float) -> None:
    """While calls run, and while the journal is written."""
    running.stage.journal.stall("No space left on device")
    stopping = ended(running.stop())
    running.pass_(after)
    assert stopping == []
    running.ports.end_drain()
    running.pass_(HURRY_SECONDS - SWEEP_SECONDS)
    assert stopping == []
    running.pass_(SWEEP_SECONDS)
    assert [each.records for each in stopping] == [1]
    running.ports.end_drain()


def test_a_look_that_breaks_ends_no_time_limits(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    """Of a client, of what is told, of a pool, of the journal: each is told once, and the others are looked at."""

    def broken_at(name: str) -> Callable[..., None]:
        def breaks(*_: object) -> None:
            raise ValueError("a defect")

        breaks.__qualname__ = name
        return breaks

    broken, slow = running.stage.client(), running.stage.client()
    slow.receive(b"GET / HTTP/1.1\r\n")
    sweep = ClientConnection.sweep

    def sweep_or_break(client: ClientConnection, now: float) -> None:
        (broken_at("client") if client is broken.protocol else sweep)(client, now)

    with monkeypatch.context() as defect:
        defect.setattr(ClientConnection, "sweep", sweep_or_break)
        defect.setattr(type(running.stage.entrance.guests), "tell", broken_at("tell"))
        defect.setattr(type(running.stage.port.pool), "sweep", broken_at("pool"))
        defect.setattr(type(running.ports._watch), "look", broken_at("watch"))
        running.pass_(HEAD_TIMEOUT + 2 * SWEEP_SECONDS)
    assert broken.aborted, "its own limits do not hold any more"
    assert slow.aborted, "another one's do"
    assert running.ports._sweeping.running
    assert len(logged_failures.flush(ValueError)) == 4


def test_what_was_accepted_last_brings_its_request(running: Running) -> None:
    """It is a call as any other; who brings none by then is let go."""
    fresh, idle = running.stage.client(), running.stage.client()
    stopping = ended(running.stop())
    fresh.receive(REQUEST)
    running.stage.turn()
    assert fresh.take() == b""
    assert not idle.closed
    running.clock.advance(LAST_REQUESTS)
    assert idle.closed
    running.pass_(DRAIN)
    running.stage.turn()
    running.pass_(1)
    assert stopping == [Unwritten(0, 0)]
    outcomes = [b'"outcome":"drained"' in line for line in running.stage.journal.request_lines]
    assert outcomes == [True, True]


def test_where_every_connection_has_a_call_the_drain_begins_at_once(running: Running) -> None:
    """There is nobody to wait for."""
    running.stop()
    assert running.ports.reflect()["draining"] and all(port.draining for port in running.ports.ports)
    running.ports.end_drain()
    running.stage.turn()
