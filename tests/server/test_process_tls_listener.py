"""Ports with TLS, with real sockets, on both kinds of transports and with several workers."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from awfproxy.simulator.processes import ProxyProcess, free_ports
from awfproxy.simulator.setting import Setting
from tests.certificates import Certificates, make_certificates
from tests.far_end import FarEnd, always, answer
from tests.processes import once, proxy_process

pytestmark = [once, pytest.mark.untidy("the provider is the module's: its connections outlive a test")]

#: more than one record of TLS, and than a socket takes at once
ANSWER = b'{"text":"' + b"x" * 500_000 + b'"}'
REQUEST = b"POST /v1/any HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
#: a body that nobody waits for: refused by its head
REFUSED = b"POST /v1/any HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000


class AtWork(msgspec.Struct):
    """A proxy, and what its clients need."""

    port: int
    certificates: Certificates
    proxy: ProxyProcess
    config: Path
    kind: str


@pytest.fixture(
    scope="module",
    params=[("ssl", (), 1), ("ssl", ("--reactor=epoll",), 1), ("ssl", (), 2), ("tls", (), 1)],
    ids=["uvloop", "epoll", "two workers", "a folder"],
)
def at_work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    """A port with TLS in front of a provider without."""
    kind, twistd, workers = request.param
    directory = tmp_path_factory.mktemp("tls")
    certificates = make_certificates(directory)
    admin, port = free_ports(2)
    if kind == "ssl":
        listen = certificates.endpoint(port)
    else:
        folder = directory / "folder"
        folder.mkdir()
        (folder / "a.pem").write_bytes(certificates.key.read_bytes() + certificates.certificate.read_bytes())
        listen = f"tls:{folder}:port={port}:interface=127.0.0.1"
    with FarEnd(always(answer(ANSWER))) as provider:
        config = directory / "awfproxy.toml"
        config.write_text(
            f"""[service]
log_dir = {json.dumps(str(directory / "logs"))}
state_dir = {json.dumps(str(directory / "state"))}
admin = "tcp:{admin}:interface=127.0.0.1"
workers = {workers}
[ports.main]
listen = {json.dumps(listen)}
provider = "generic"
upstream = "http://127.0.0.1:{provider.port}"
"""
        )
        setting = Setting(config, directory / "logs", {"main": port}, admin, {})
        with proxy_process(directory, setting, twistd) as proxy:
            assert isinstance(proxy, ProxyProcess)
            yield AtWork(port, certificates, proxy, config, kind)
            assert "Traceback" not in proxy.output


def connected(at_work: AtWork) -> ssl.SSLSocket:
    """A client that trusts the test's authority."""
    context = ssl.create_default_context(cafile=str(at_work.certificates.authority))
    context.set_alpn_protocols(["h2", "http/1.1"])
    raw = socket.create_connection(("127.0.0.1", at_work.port), timeout=30)
    return context.wrap_socket(raw, server_hostname="localhost")


def test_calls_on_one_connection(at_work: AtWork) -> None:
    """HTTP/1.1, whatever else a client offers; and no warning that it is slow."""
    with connected(at_work) as client:
        assert client.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            client.sendall(REQUEST)
            data = b""
            while not data.endswith(ANSWER[-2:]) or len(data) < len(ANSWER):
                data += client.recv(65536)
            assert data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(ANSWER)
    assert "fast path" not in at_work.proxy.output


def test_a_refusal_arrives_before_its_body_is_through(at_work: AtWork) -> None:
    """The connection is not reset over what the client still sends."""
    with connected(at_work) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(REFUSED)
        data = b""
        while piece := client.recv(65536):
            data += piece
    assert data.startswith(b"HTTP/1.1 403 ") and data.endswith(b"}")


def test_a_client_without_tls(at_work: AtWork) -> None:
    """It is told by an alert, and closed; the next one is served."""
    with socket.create_connection(("127.0.0.1", at_work.port), timeout=30) as client:
        client.sendall(REQUEST)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(65536):
                got += piece
    assert b"HTTP" not in got
    test_calls_on_one_connection(at_work)


def test_a_client_that_does_not_trust_it(at_work: AtWork) -> None:
    """Its own matter: nothing in the log, and the next one is served."""
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", at_work.port), timeout=30) as raw,
        pytest.raises(ssl.SSLCertVerificationError),
        context.wrap_socket(raw, server_hostname="localhost"),
    ):
        pass
    test_calls_on_one_connection(at_work)
