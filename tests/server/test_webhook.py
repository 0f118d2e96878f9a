"""A webhook against real sockets: what is sent, what an answer may be, and that its URL is told to nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from awfproxy.core.alerts import Reply
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Proxy
from awfproxy.server import webhook as module
from awfproxy.server.webhook import Webhook
from tests.certificates import Certificates, make_certificates
from tests.far_end import FarEnd, read_request

BODY = b'{"event":"soft_cap_passed"}'
PATH = "/T0/a%2Fb;c?sig=x%3D%2f+y&key=sesame"
#: parts of the URL that must not come out anywhere
SECRETS = ("sesame", "T0", "sig=")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """All that is logged."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        failure = event.get("log_failure")
        lines.append(formatEvent(event) + ("" if failure is None else failure.getTraceback()) + repr(event))

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def webhook(port: int, scheme: str = "http", host: str = "127.0.0.1", proxy: Proxy | None = None) -> Webhook:
    """One for a far end."""
    from twisted.internet import reactor

    return Webhook(Secret(f"{scheme}://{host}:{port}{PATH}"), proxy, reactor)


def answering(answer: bytes, seen: list[tuple[bytes, bytes]] | None = None) -> Callable[[Any], None]:
    """Reads a request, and answers it."""

    def serve(talking: Any) -> None:
        request = read_request(talking)
        assert request is not None
        if seen is not None:
            seen.append(request[:2])
        talking.sendall(answer)

    return serve


async def replied(answer: bytes) -> Reply:
    """How a far end's answer is understood."""
    with FarEnd(answering(answer)) as far:
        return await webhook(far.port).post(BODY)


@pytest_twisted.ensureDeferred
async def test_what_is_sent(told: list[str]) -> None:
    """The URL to the letter, JSON, who sends it, and nothing of an earlier answer's cookies."""
    seen: list[tuple[bytes, bytes]] = []
    answer = OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n")
    with FarEnd(answering(answer, seen)) as far:
        one = webhook(far.port)
        assert await one.post(BODY) == Reply(200)
        assert await one.post(BODY) == Reply(200)
        assert far.accepted == 2
    assert not any("Starting factory" in line for line in told)
    for head, body in seen:
        line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        assert line == f"POST {PATH} HTTP/1.1"
        assert json.loads(body) == {"event": "soft_cap_passed"}
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("awfproxy/")
        assert headers["host"] == f"127.0.0.1:{far.port}"
        assert headers["connection"] == "close"
        assert "cookie" not in headers
    assert not any(secret in line for line in told for secret in SECRETS)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Reply(204)),
        (b"HTTP/1.0 200 OK\r\n\r\nfine", Reply(200)),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Reply(200)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", Reply(503, "17")),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", Reply(301)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", Reply(200)),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\nzzz", Reply(200)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_head_of_an_answer_is_what_counts(answer: bytes, reply: Reply) -> None:
    """Its body need not come, and a redirect is not followed."""
    assert await replied(answer) == reply


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 100])
@pytest_twisted.ensureDeferred
async def test_no_answer_has_a_reason(answer: bytes, told: list[str]) -> None:
    """In words that have nothing of the URL."""
    reply = await replied(answer)
    assert reply.status is None
    assert reply.why
    assert not any(secret in line for line in (*told, reply.why) for secret in SECRETS)


def endless(piece: bytes, sent: list[int]) -> Callable[[Any], None]:
    """Sends for as long as somebody takes it."""

    def serve(talking: Any) -> None:
        read_request(talking)
        talking.sendall(b"HTTP/1.1 200 OK\r\n")
        sent.append(0)
        for _ in range(200_000):
            sent[0] += talking.send(piece)

    return serve


@pytest.mark.parametrize(
    ("piece", "status"),
    [(b"X-A: b\r\n" * 500, None), (b"a" * 4096, None), (b"\r\nbody" * 700, 200)],
    ids=["head", "line", "body"],
)
@pytest_twisted.ensureDeferred
async def test_an_endless_answer_is_cut(piece: bytes, status: int | None) -> None:
    """Soon, wherever it has no end."""
    sent: list[int] = []
    began = time.monotonic()
    with FarEnd(endless(piece, sent)) as far:
        reply = await webhook(far.port).post(BODY)
    assert reply.status == status
    assert time.monotonic() - began < 5
    assert sent[0] < 32 * 1024 * 1024  # what the kernel's buffers took, and not what it would have sent


@pytest_twisted.ensureDeferred
async def test_an_answer_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes with the attempt; so it does where the attempt is cancelled."""
    monkeypatch.setattr(module, "ATTEMPT_SECONDS", 0.2)
    gone = threading.Semaphore(0)

    def silent(talking: Any) -> None:
        read_request(talking)
        with contextlib.suppress(ConnectionError):
            talking.recv(1)
        gone.release()

    with FarEnd(silent) as far:
        one = webhook(far.port)
        assert await one.post(BODY) == Reply(None, why="no answer within 0.2 s")
        assert await soon(lambda: gone.acquire(blocking=False))
        posting = one.post(BODY)
        assert await soon(lambda: far.accepted == 2)
        posting.cancel()
        assert (await posting).status is None
        assert await soon(lambda: gone.acquire(blocking=False))


@pytest_twisted.ensureDeferred
async def test_nobody_there(told: list[str]) -> None:
    """A refused connection, a name that there is not."""
    with FarEnd(answering(OK)) as far:
        port = far.port
    assert "refused" in (await webhook(port).post(BODY)).why
    reply = await webhook(1, host="no-such-host.invalid").post(BODY)
    assert reply.status is None
    assert not any(secret in line for line in (*told, reply.why) for secret in SECRETS)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """An authority that is trusted."""
    made = make_certificates(tmp_path)
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(made.authority))
    return made


def context(certificates: Certificates) -> ssl.SSLContext:
    """A server's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificates.certificate, certificates.key)
    return made


@pytest_twisted.ensureDeferred
async def test_tls_is_checked(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By authority and name; the request goes to nobody else."""
    seen: list[tuple[bytes, bytes]] = []
    with FarEnd(answering(OK, seen), tls=context(certificates)) as far:
        assert await webhook(far.port, "https", "localhost").post(BODY) == Reply(200)
        assert await webhook(far.port, "https", "127.0.0.1").post(BODY) == Reply(200)
        assert len(seen) == 2
        (tmp_path / "other").mkdir()
        other = make_certificates(tmp_path / "other", names=("elsewhere.test",))
        monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(other.authority))
        assert "certificate" in (await webhook(far.port, "https", "localhost").post(BODY)).why
    with FarEnd(answering(OK, seen), tls=context(other)) as far:
        why = (await webhook(far.port, "https", "localhost").post(BODY)).why
        assert why == "certificate not accepted: Hostname mismatch, certificate is not valid for 'localhost'."
    assert len(seen) == 2


def tunnelling(to: int, asked: list[bytes]) -> Callable[[Any], None]:
    """A CONNECT proxy, for one connection at a time."""
    def serve(talking: Any) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += talking.recv(1)
        asked.append(head)
        if to == 0:
            talking.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", to)) as far:
            talking.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {talking: far, far: talking}
            while True:
                for each in select.select(list(ends), [], [], 10)[0]:
                    try:
                        data = each.recv(65536)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    ends[each].sendall(data)

    return serve


@pytest_twisted.ensureDeferred
async def test_through_a_proxy(certificates: Certificates) -> None:
    """As upstreams go: CONNECT with the name, TLS with the host behind it, and the password for the proxy alone."""
    seen: list[tuple[bytes, bytes]] = []
    asked: list[bytes] = []
    with FarEnd(answering(OK, seen), tls=context(certificates)) as far, FarEnd(tunnelling(far.port, asked)) as way:
        proxy = Proxy("127.0.0.1", way.port, Secret("Basic bWU6cHc="))
        assert await webhook(far.port, "https", "localhost", proxy).post(BODY) == Reply(200)
    assert asked[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % far.port)
    assert b"Proxy-Authorization: Basic bWU6cHc=\r\n" in asked[0]
    assert len(seen) == 1
    assert b"Basic" not in seen[0][0]


@pytest_twisted.ensureDeferred
async def test_a_proxy_that_refuses(certificates: Certificates, told: list[str]) -> None:
    """Is named as the reason."""
    asked: list[bytes] = []
    with FarEnd(tunnelling(0, asked)) as way:
        reply = await webhook(1, "https", "localhost", Proxy("127.0.0.1", way.port)).post(BODY)
    assert (reply.status, reply.why) == (None, "the upstream proxy answered CONNECT with 407")
    assert not any(secret in line for line in told for secret in SECRETS)


async def soon(true: Callable[[], bool]) -> bool:
    """Whether it comes to be true within seconds."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    end = time.monotonic() + 5
    while not true():
        if time.monotonic() > end:
            return False
        await deferLater(reactor, 0.02)
    return True
