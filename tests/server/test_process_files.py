"""Few open files: the proxy says so, lives on, and is itself again once there are some."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.server.guests import connections_for
from awfproxy.simulator.processes import START_TIMEOUT, Process, free_ports, get, twistd_command
from tests.far_end import FarEnd, always, answer
from tests.processes import cpu_seconds, once, running

pytestmark = [once, pytest.mark.untidy("the provider's connections end with the proxy")]

#: what `ulimit -n` says
FILES = 256
REQUEST = b"POST /v1/any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
#: seconds that anything may take; nothing is decided by it
PATIENCE = 30.0


class Limited:
    """A proxy that may open few files."""

    def __init__(self, directory: Path, provider: int, twistd: tuple[str, ...]) -> None:
        self.admin, self.port = free_ports(2)
        self.logs = directory / "logs"
        config = directory / "awfproxy.toml"
        config.write_text(
            f"""[service]
log_dir = {json.dumps(str(self.logs))}
state_dir = {json.dumps(str(directory / "state"))}
admin = "tcp:{self.admin}:interface=127.0.0.1"
[ports.main]
listen = "tcp:{self.port}:interface=127.0.0.1"
provider = "generic"
upstream = "http://127.0.0.1:{provider}"
"""
        )
        command = [*twistd_command(), "-n", "--pidfile=", *twistd, "awfproxy", "--config", str(config)]
        self.process = Process("proxy", ["sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", *command], directory, {})

    def wait_until_ready(self) -> None:
        """It serves."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            self.process.expect_running()
            with contextlib.suppress(OSError):
                if get(self.admin, "/ready")[0] == 200:
                    return
            time.sleep(0.02)
        raise TimeoutError(self.process.output)

    def files(self) -> int:
        """That it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self) -> socket.socket:
        """A client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def call(self) -> bytes:
        """A status line, or nothing if the connection was closed."""
        with self.connect() as client, contextlib.suppress(ConnectionError):
            client.sendall(REQUEST)
            return client.recv(65536).partition(b"\r\n")[0]
        return b""

    def call_until_answered(self) -> None:
        """It takes calls again."""
        deadline = time.monotonic() + PATIENCE
        while self.call() != b"HTTP/1.1 200 OK":
            assert time.monotonic() < deadline, self.process.output
            time.sleep(0.05)

    def busy(self, seconds: float) -> float:
        """The share of a core that it uses in so many seconds."""
        before = cpu_seconds(self.process.pid)
        time.sleep(seconds)
        return (cpu_seconds(self.process.pid) - before) / seconds


@pytest.fixture(params=[(), ("--reactor=epoll",)], ids=["uvloop", "epoll"])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Limited]:
    """One that is ready."""
    with FarEnd(always(answer(b"{}"))) as provider:
        proxy = Limited(tmp_path, provider.port, request.param)
        with running(proxy.process):
            proxy.wait_until_ready()
            yield proxy
            proxy.process.expect_running()


def test_connections_that_are_only_held(limited: Limited) -> None:
    """More than there are files: calls are taken all the while, with files to spare for the journal."""
    assert (
        f"this process may open {FILES} files: at most about {connections_for(FILES)} calls" in limited.process.output
    )
    with contextlib.ExitStack() as held:
        for _ in range(3):
            for number in range(FILES):
                client = held.enter_context(limited.connect())
                if number % 2:
                    with contextlib.suppress(ConnectionError):  # it may have made room already
                        client.sendall(b"GET / HTTP/1.1\r\nX: ")
            limited.call_until_answered()  # Twisted accepts many in one turn, and closes in the next
            assert limited.files() < FILES
            os.rename(limited.logs / "requests.jsonl", limited.logs / "rotated.jsonl")
            deadline = time.monotonic() + PATIENCE
            while not (limited.logs / "requests.jsonl").exists():  # a rename is noticed with a record
                assert time.monotonic() < deadline
                limited.call_until_answered()
        assert limited.busy(1.0) < 0.5
        assert get(limited.admin, "/health")[0] == 200
    assert "closed for new ones (a process with so many open files takes" in limited.process.output
    assert "Traceback" not in limited.process.output


def test_no_file_is_left_at_all(limited: Limited) -> None:
    """Accepting fails: it neither spins nor dies, and goes on once there are files."""
    limited.call_until_answered()
    resource.prlimit(limited.process.pid, resource.RLIMIT_NOFILE, (limited.files(), FILES))
    with contextlib.ExitStack() as held:
        for _ in range(20):
            held.enter_context(limited.connect())
        assert limited.busy(2.0) < 0.5
        resource.prlimit(limited.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        limited.call_until_answered()
    limited.call_until_answered()
    assert len(limited.process.output) < 200_000
