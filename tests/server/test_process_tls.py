"""TLS and CONNECT to the upstream, with real sockets: who is trusted, what a cut looks like, who is asked for a tunnel.

The authorities are the test's own; the proxy is told of them by SSL_CERT_FILE.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import free_ports
from awfproxy.simulator.setting import Setting
from tests.certificates import Certificates, make_certificates
from tests.crowd import Client, Heard, run
from tests.far_end import FarEnd, Serve, always, answer, read_request, shut
from tests.processes import once, proxy_process

pytestmark = [once, pytest.mark.untidy("the providers are the module's: their connections outlive a test")]

ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":11}}'
OPEN_ENDED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER
REACTORS = ["uvloop", "epoll"]


def served_by(certificates: Certificates) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def write(directory: Path, upstreams: Mapping[str, str], environment: dict[str, str]) -> Setting:
    """A port for each upstream."""
    admin, *listen = free_ports(len(upstreams) + 1)
    lines = [
        "[service]", f'log_dir = "{directory}/logs"', f'state_dir = "{directory}/state"',
        f'admin = "tcp:{admin}:interface=127.0.0.1"',
    ]  # fmt: skip
    for (name, url), port in zip(upstreams.items(), listen, strict=True):
        lines += [
            f"[ports.{name}]", f'listen = "tcp:{port}:interface=127.0.0.1"', 'provider = "openai"',
            f'upstream = "{url}"', 'credential = { env = "KEY" }', "connect_timeout = 1.0",
        ]  # fmt: skip
    config = directory / "awfproxy.toml"
    config.write_text("\n".join(lines) + "\n")
    return Setting(
        config, directory / "logs", dict(zip(upstreams, listen, strict=True)), admin, {"KEY": "sk-real"} | environment
    )


class Proxy:
    """A proxy, and what it made of one call."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def call(self, port: str) -> tuple[Heard, dict[str, Any]]:
        """What the client heard, and the record."""

        async def main() -> Heard:
            client = Client(self._setting.ports[port])
            try:
                return await client.call("/v1/chat/completions", b'{"model":"m","messages":[]}', port)
            finally:
                client.close()

        heard = run(main)
        return heard, dict(self._setting.records("requests")[-1])


def twistd(reactor: str) -> tuple[str, ...]:
    """The options that choose a reactor."""
    return ("--reactor=epoll",) if reactor == "epoll" else ()


def truncate(talking: socket.socket) -> None:
    """An answer without a length, and then the bare end of TCP: no close_notify."""
    read_request(talking)
    talking.sendall(OPEN_ENDED)
    shut(talking)


def speak_plainly(talking: socket.socket) -> None:
    """No TLS at all."""
    talking.recv(65536)
    talking.sendall(answer(ANSWER))


def end_well(talking: socket.socket) -> None:
    """The same, with close_notify."""
    read_request(talking)
    talking.sendall(OPEN_ENDED)
    assert isinstance(talking, ssl.SSLSocket)
    with contextlib.suppress(OSError):
        talking.unwrap()


@pytest.fixture(scope="module", params=REACTORS)
def trusting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Providers with all kinds of certificates, and a proxy in front of each."""
    base = tmp_path_factory.mktemp("tls")

    def certificates(kind: str, *names: str, days: int = 1) -> Certificates:
        folder = base / kind
        folder.mkdir()
        return make_certificates(folder, names or ("localhost",), datetime.timedelta(days=days))

    good, stranger = certificates("good"), certificates("stranger")
    other, expired = certificates("other", "elsewhere.test"), certificates("expired", days=-1)
    trusted = base / "trusted.pem"
    trusted.write_bytes(b"".join(each.authority.read_bytes() for each in (good, other, expired)))
    whole = always(answer(ANSWER, "Content-Type: application/json"))
    ends: dict[str, tuple[Serve, Certificates | None]] = {
        "good": (whole, good),
        "stranger": (whole, stranger),
        "other": (whole, other),
        "expired": (whole, expired),
        "plain": (speak_plainly, None),
        "truncating": (truncate, good),
        "ending": (end_well, good),
    }
    with contextlib.ExitStack() as stack:
        upstreams = {}
        for name, (serve, shown) in ends.items():
            far_end = stack.enter_context(FarEnd(serve, tls=served_by(shown) if shown else None))
            upstreams[name] = f"https://localhost:{far_end.port}"
        setting = write(base, upstreams, {"SSL_CERT_FILE": str(trusted)})
        stack.enter_context(proxy_process(base, setting, twistd(request.param)))
        yield Proxy(setting)


def test_a_private_authority(trusting: Proxy) -> None:
    """Trusted by SSL_CERT_FILE: the call goes through, twice over one connection."""
    for _ in range(2):
        heard, record = trusting.call("good")
        assert (heard.status, heard.body, heard.whole) == (200, ANSWER, True)
        assert (record["outcome"], record["usage_source"]) == ("complete", "reported")
    assert record.get("connect_ms") is None, "the second call made a connection of its own"


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("stranger", "certificate not accepted: unable to get local issuer certificate"),
        ("other", "certificate not accepted: Hostname mismatch"),
        ("expired", "certificate not accepted: certificate has expired"),
        ("plain", "TLS failed: "),
    ],
)
def test_who_is_not_trusted(trusting: Proxy, port: str, reason: str) -> None:
    """Answered 502 without details; the record has the reason; nothing was sent, so nothing is estimated."""
    heard, record = trusting.call(port)
    assert heard.status == 502
    assert json.loads(heard.body)["error"]
    assert b"certificate" not in heard.body.lower()
    assert record["outcome"] == "upstream_failed"
    assert record["reason"].startswith("connect: " + reason)
    assert (record["usage_source"], record["usage_reason"]) == ("none", "not-sent")


def test_a_truncated_answer(trusting: Proxy) -> None:
    """TCP ended without close_notify: anybody on the way could have done that, so the answer is not passed off as whole."""
    heard, record = trusting.call("truncating")
    assert (heard.status, heard.whole) == (200, False)
    assert (record["outcome"], record["framing"]) == ("upstream_cut", "close")


def test_an_answer_that_ends_with_the_connection(trusting: Proxy) -> None:
    """With close_notify it is whole."""
    heard, record = trusting.call("ending")
    assert (heard.status, heard.body, heard.whole) == (200, ANSWER, True)
    assert (record["outcome"], record["framing"]) == ("complete", "close")


# -- through a proxy


class Squid:
    """An HTTP proxy that knows one name, and says no in several ways to others."""

    def __init__(self, port: int, authorization: bytes) -> None:
        self._port = port
        self._authorization = authorization
        #: the heads it was sent
        self.heads: list[bytes] = []

    def serve(self, talking: socket.socket) -> None:
        """One connection."""
        request = read_request(talking)
        if request is None:
            return
        head = request[0]
        self.heads.append(head)
        authority = head.split(b" ")[1].partition(b":")[0]
        if authority == b"silent.test":
            talking.recv(1)
        elif authority == b"garbage.test":
            talking.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        elif authority == b"forbidden.test":
            talking.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied")
        elif b"\r\nProxy-Authorization: " + self._authorization not in head + b"\r\nProxy-Authorization: \r\n":
            talking.sendall(b'HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
        else:
            talking.sendall(b"HTTP/1.1 200 Connection established\r\nVia: squid\r\n\r\n")
            self._through(talking)

    def _through(self, talking: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as far:
            back = threading.Thread(target=pump, args=(far, talking))
            back.start()
            pump(talking, far)
            back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until one of both ends."""
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    shut(source)
    shut(sink)


NAMES = ("up.test", "silent.test", "garbage.test", "forbidden.test", "direct.test")


@pytest.fixture(params=REACTORS)
def tunnelled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Proxy, Squid]]:
    """A proxy that goes through another one, with a password."""
    certificates = make_certificates(tmp_path, ("up.test",))
    password = "Basic " + base64.b64encode(b"me:pass word").decode()
    with FarEnd(always(answer(ANSWER)), tls=served_by(certificates)) as provider:
        squid = Squid(provider.port, password.encode())
        with FarEnd(squid.serve) as proxy:
            setting = write(
                tmp_path,
                {name.partition(".")[0]: f"https://{name}" for name in NAMES},
                {
                    "SSL_CERT_FILE": str(certificates.authority),
                    "HTTPS_PROXY": f"http://me:pass%20word@127.0.0.1:{proxy.port}",
                    "NO_PROXY": "elsewhere.test,direct.test",
                },
            )
            with proxy_process(tmp_path, setting, twistd(request.param)):
                yield Proxy(setting), squid


def test_a_tunnel(tunnelled: tuple[Proxy, Squid]) -> None:
    """The provider's certificate is checked at the far end; the key is not shown to the proxy; connections are kept."""
    proxy, squid = tunnelled
    for _ in range(2):
        heard, record = proxy.call("up")
        assert (heard.status, heard.body) == (200, ANSWER)
        assert record["outcome"] == "complete"
    (head,) = squid.heads
    assert head.startswith(b"CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n")
    assert b"sk-real" not in head


@pytest.mark.parametrize(
    ("port", "status", "reason"),
    [
        ("forbidden", 502, "connect: the upstream proxy answered CONNECT with 403"),
        ("garbage", 502, "connect: the upstream proxy did not answer CONNECT in HTTP"),
        ("silent", 504, "connect"),
        ("direct", 502, "connect: name not resolved"),
    ],
)
def test_no_tunnel(tunnelled: tuple[Proxy, Squid], port: str, status: int, reason: str) -> None:
    """A refusal, nonsense, silence; a name in NO_PROXY is not even asked for."""
    proxy, squid = tunnelled
    heard, record = proxy.call(port)
    assert heard.status == status
    assert (record["outcome"], record["reason"]) == ("timed_out" if status == 504 else "upstream_failed", reason)
    assert bool(squid.heads) is (port != "direct")


def test_no_password(tmp_path: Path) -> None:
    """A proxy that wants one and gets none."""
    squid = Squid(0, b"Basic c2VjcmV0")
    with FarEnd(squid.serve) as proxy:
        environment = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
        setting = write(tmp_path, {"up": "https://up.test"}, environment)
        with proxy_process(tmp_path, setting):
            heard, record = Proxy(setting).call("up")
    assert heard.status == 502
    assert record["reason"] == "connect: the upstream proxy answered CONNECT with 407"
    assert b"Proxy-Authorization" not in squid.heads[0]
