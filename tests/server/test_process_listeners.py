"""Listeners of every kind that a port may have, with real sockets: who may connect, and what a killed proxy leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from awfproxy.simulator.processes import ProxyProcess, free_ports
from awfproxy.simulator.setting import Setting
from tests.far_end import FarEnd, always, answer
from tests.processes import once, proxy_process

pytestmark = [once, pytest.mark.untidy("the provider's connections end with the proxy")]

REQUEST = b"POST /v1/any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


def status(connected: socket.socket) -> bytes:
    """The status line of a call's answer."""
    with connected:
        connected.settimeout(30)
        connected.sendall(REQUEST)
        return connected.recv(65536).partition(b"\r\n")[0]


@contextmanager
def listening(directory: Path, listen: str, twistd: tuple[str, ...], service: str = "") -> Iterator[ProxyProcess]:
    """A proxy whose one port has this endpoint."""
    with FarEnd(always(answer(b"{}"))) as provider:
        (admin,) = free_ports(1)
        config = directory / "awfproxy.toml"
        config.write_text(
            f"""[service]
log_dir = {json.dumps(str(directory / "logs"))}
state_dir = {json.dumps(str(directory / "state"))}
admin = "tcp:{admin}:interface=127.0.0.1"
{service}
[ports.main]
listen = {json.dumps(listen)}
provider = "generic"
upstream = "http://127.0.0.1:{provider.port}"
"""
        )
        with proxy_process(directory, Setting(config, directory / "logs", {}, admin, {}), twistd) as proxy:
            assert isinstance(proxy, ProxyProcess)
            yield proxy
            assert "Traceback" not in proxy.output and "fast path" not in proxy.output


def over_ipv6(port: int) -> socket.socket:
    """A client of ::1."""
    return socket.create_connection(("::1", port), timeout=30)


def over_unix(path: Path) -> socket.socket:
    """A client of a socket in the file system."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def ipv6_port() -> int:
    """A free port of ::1; skips where there is none."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return int(probe.getsockname()[1])
    except OSError:
        pytest.skip("no IPv6 loopback here")


REACTORS = pytest.mark.parametrize("twistd", [(), ("--reactor=epoll",)], ids=["uvloop", "epoll"])


@pytest.mark.parametrize(
    "endpoint", [lambda port: f"tcp6:{port}", lambda port: rf"tcp:{port}:interface=\:\:1"], ids=["tcp6", "tcp"]
)
@REACTORS
def test_ipv6(tmp_path: Path, twistd: tuple[str, ...], endpoint: Callable[[int], str]) -> None:
    """The loopback by omission, and no other address."""
    port = ipv6_port()
    with listening(tmp_path, endpoint(port), twistd):
        assert status(over_ipv6(port)) == b"HTTP/1.1 200 OK"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=30)


@pytest.mark.parametrize("workers", [1, 2])
@REACTORS
def test_a_socket_in_the_file_system(tmp_path: Path, twistd: tuple[str, ...], workers: int) -> None:
    """With the permissions that were asked for; one that a killed proxy left behind does not stand in the way."""
    path = tmp_path / "s"
    for end in (signal.SIGKILL, signal.SIGTERM):
        with listening(tmp_path, f"unix:{path}:mode=660", twistd, f"workers = {workers}") as proxy:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert status(over_unix(path)) == b"HTTP/1.1 200 OK"
            if end == signal.SIGKILL:
                os.kill(proxy.pid, end)
                proxy.wait()
                assert path.exists()
