"""The admin listener, over real sockets."""

import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from awfproxy.core.origin import foreign
from awfproxy.server.admin import CONNECTIONS_MAX, AdminPages, AdminSite, admin_service
from awfproxy.server.exposition import Exposition
from awfproxy.server.health import READY, Health
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.tallies import Tallies


class Answer:
    """One HTTP answer, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        self.status = int(status.split()[1])
        self.fields = {name.lower(): value for name, value in (field.split(b": ", 1) for field in fields)}

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


class Admin:
    """A running listener."""

    def __init__(self, in_thread: Callable[..., Any] = maybeDeferred) -> None:
        from twisted.internet import reactor

        self.health = Health(lambda: 100.0, lambda: None)
        exposition = Exposition(Tallies(), MemoryJournal(Clock()))
        pages = AdminPages(
            self.health,
            exposition,
            lambda: {"ports": {}},
            lambda head: foreign(head, frozenset(), None),
            in_thread,
        )
        self.service = admin_service("tcp:0:interface=127.0.0.1", AdminSite(pages, reactor), reactor)

    async def start(self) -> None:
        """Listen."""
        self.service.privilegedStartService()
        self.service.startService()
        waiting: Any = self.service._waitingForPort
        listening = await waiting
        self.port: int = listening.getHost().port

    async def ask(
        self, target: str, method: str = "GET", *fields: str, body: bytes = b"", host: str = "localhost"
    ) -> Answer:
        """One request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""]
        return Answer(await self.send("\r\n".join(lines).encode() + body))

    async def send(self, raw: bytes) -> bytes:
        """Raw bytes, and all that comes back."""
        port = self.port

        def talk() -> bytes:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(raw)
                pieces = []
                while piece := connection.recv(65536):
                    pieces.append(piece)
                return b"".join(pieces)

        return await deferToThread(talk)


@asynccontextmanager
async def running(in_thread: Callable[..., Any] = maybeDeferred) -> AsyncIterator[Admin]:
    """A listener for the length of a test."""
    admin = Admin(in_thread)
    await admin.start()
    try:
        yield admin
    finally:
        await maybeDeferred(admin.service.stopService)


@pytest_twisted.ensureDeferred
async def test_health_is_200_also_when_degraded() -> None:
    """It works; restarting it would not help."""
    async with running() as admin:
        assert (await admin.ask("/health")).json()["status"] == "ok"
        admin.health.watch("journal", lambda: "disk full")
        answer = await admin.ask("/health")
    assert answer.status == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["reasons"] == {"journal": "disk full"}
    assert answer.fields[b"content-type"] == b"application/json"
    assert answer.fields[b"cache-control"] == b"no-store"
    assert answer.fields[b"server"] == b"awfproxy"


@pytest_twisted.ensureDeferred
async def test_ready_follows_the_state() -> None:
    """503 before listening and while draining."""
    async with running() as admin:
        assert (await admin.ask("/ready")).status == 503
        admin.health.state = READY
        assert (await admin.ask("/ready")).status == 200


@pytest_twisted.ensureDeferred
async def test_reflect_shows_what_it_is_given() -> None:
    """A query is ignored."""
    async with running() as admin:
        assert (await admin.ask("/reflect?x=1")).json() == {"ports": {}}


@pytest_twisted.ensureDeferred
async def test_metrics_come_in_the_format_that_was_asked_for() -> None:
    """Rendered beside the reactor."""
    async with running(deferToThread) as admin:
        text = await admin.ask("/metrics")
        openmetrics = await admin.ask("/metrics", "GET", "Accept: application/openmetrics-text; version=1.0.0")
    assert text.status == 200
    assert text.fields[b"content-type"].startswith(b"text/plain")
    assert b"awfproxy_degraded 0" in text.body
    assert openmetrics.body.endswith(b"# EOF\n")


@pytest_twisted.ensureDeferred
async def test_metrics_that_fail_are_logged_and_answered(logged_failures: Any) -> None:
    """Without the error's text."""

    def broken(_render: Any) -> Deferred[Any]:
        return maybeDeferred(lambda: 1 / 0)

    async with running(broken) as admin:
        answer = await admin.ask("/metrics")
    assert answer.status == 500
    assert b"division" not in answer.body
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@pytest.mark.parametrize("page", ["/health", "/metrics"])
@pytest_twisted.ensureDeferred
async def test_head_is_get_without_the_body(page: str) -> None:
    """Probes use it."""
    async with running() as admin:
        answer = await admin.ask(page, "HEAD")
    assert answer.status == 200
    assert int(answer.fields[b"content-length"]) > 0
    assert answer.body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest_twisted.ensureDeferred
async def test_it_is_read_only(method: str) -> None:
    """Agents share the loopback."""
    async with running() as admin:
        answer = await admin.ask("/health", method, "Content-Length: 2", body=b"{}")
    assert answer.status == 405
    assert answer.fields[b"allow"] == b"GET, HEAD"


@pytest_twisted.ensureDeferred
async def test_other_paths_are_not_found() -> None:
    """With a hint."""
    async with running() as admin:
        assert (await admin.ask("/")).status == 404
        assert (await admin.ask("/metrics/")).status == 404
        assert (await admin.ask("//health")).status == 404


@pytest.mark.parametrize(
    ("host", "field"),
    [
        ("rebound.example", ""),
        ("localhost", "Origin: http://evil.example"),
        ("localhost", "Sec-Fetch-Site: cross-site"),
        ("localhost", "Host: rebound.example"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_web_pages_cannot_read_it(host: str, field: str) -> None:
    """Neither by a name of theirs that leads here nor across origins; two Hosts are refused as such."""
    async with running() as admin:
        answer = await admin.ask("/metrics", "GET", *([field] if field else []), host=host)
    assert answer.status in (400, 403)
    assert b"awfproxy_" not in answer.body


@pytest_twisted.ensureDeferred
async def test_large_bodies_are_thrown_away() -> None:
    """16 MB in, 405 out; nothing is kept in memory or on disk."""
    async with running() as admin:
        answer = await admin.ask("/health", "POST", "Content-Length: 16000000", body=b"x" * 16_000_000)
    assert answer.status == 405


@pytest_twisted.ensureDeferred
async def test_malformed_requests_are_refused() -> None:
    """400 and closed."""
    async with running() as admin:
        assert (await admin.send(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest_twisted.ensureDeferred
async def test_connections_are_bounded() -> None:
    """One more than allowed is closed unanswered; when one goes, the next is served."""
    async with running() as admin:

        def crowd() -> tuple[bytes, int]:
            held = [socket.create_connection(("127.0.0.1", admin.port), 5) for _ in range(CONNECTIONS_MAX)]
            try:
                request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
                held[-1].sendall(request)
                served = held[-1].recv(100)
                with socket.create_connection(("127.0.0.1", admin.port), 5) as extra:
                    return served, len(extra.recv(100))
            finally:
                for connection in held:
                    connection.close()

        served, refused = await deferToThread(crowd)
        assert served.startswith(b"HTTP/1.1 200")
        assert refused == 0
        await deferToThread(time.sleep, 0.1)  # until the ends of the others have been seen
        assert (await admin.ask("/health")).status == 200


@pytest_twisted.ensureDeferred
async def test_a_taken_address_is_raised_at_once() -> None:
    """Not logged and forgotten."""
    from twisted.internet import reactor

    async with running() as admin:
        pages: Any = object()
        site = AdminSite(pages, reactor)
        taken = admin_service(f"tcp:{admin.port}:interface=127.0.0.1", site, reactor)
        with pytest.raises(CannotListenError):
            taken.privilegedStartService()
