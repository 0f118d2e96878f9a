"""`awf health`: what answers, what it says, and what a check is told of it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awfproxy.cli import awf
from awfproxy.simulator.processes import free_ports
from tests.far_end import FarEnd, always, answer

REASONS = {"journal": "No space left on device: requests.jsonl"}


def page(state: str, **reasons: str) -> bytes:
    """What the proxy answers."""
    return answer(json.dumps({"status": "degraded" if reasons else "ok", "state": state, "reasons": reasons}).encode())


def asked(*words: str, **environment: str) -> Result:
    """The command, with nothing else in its environment."""
    clean = {"AWFPROXY_CONFIG": None, "AWFPROXY_ADMIN": None} | environment
    return CliRunner().invoke(awf, ["health", *words], env=clean)


@contextmanager
def at(reply: bytes) -> Iterator[str]:
    """Somebody who always answers so; the address."""
    with FarEnd(always(reply)) as end:
        yield f"http://127.0.0.1:{end.port}"


@pytest.mark.parametrize(
    ("reply", "strict", "code", "said"),
    [
        (page("ready"), False, 0, "ready\n"),
        (page("ready"), True, 0, "ready\n"),
        (page("ready", **REASONS), False, 0, "ready and degraded\n"),
        (page("ready", **REASONS), True, 1, "ready and degraded\n"),
        (page("starting"), False, 1, "starting\n"),
        (page("draining"), False, 1, "draining\n"),
    ],
)
def test_what_the_page_says_is_told(reply: bytes, strict: bool, code: int, said: str) -> None:
    """The state on standard output, why it is degraded on standard error, and an exit code for checks."""
    with at(reply) as url:
        result = asked("--url", url, *(["--strict"] if strict else []))
    assert (result.exit_code, result.stdout) == (code, said)
    assert ("journal: No space left on device" in result.stderr) == ("degraded" in said)


@pytest.mark.parametrize(
    "reply",
    [answer(b"{}"), answer(b"hello"), answer(b'{"state":"ready"}', status="404 Not Found"), b"SSH-2.0-x\r\n\r\n"],
    ids=["nothing", "no JSON", "no page", "no HTTP"],
)
def test_something_else_is_not_well(reply: bytes) -> None:
    """Whatever listens there instead."""
    with at(reply) as url:
        result = asked("--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("The proxy does not answer: ")


def test_nobody_there_is_not_well() -> None:
    """The address of the environment's configuration, where nothing listens."""
    (port,) = free_ports(1)
    result = asked(AWFPROXY_ADMIN=f"tcp:{port}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Connection refused" in result.stderr


@pytest.mark.parametrize("place", ["environment", "file", "all addresses"])
def test_it_is_found_as_the_proxy_finds_it(place: str, tmp_path: Path) -> None:
    """By AWFPROXY_ADMIN before the file; the keys that the file names need not be there."""
    with at(page("ready")) as url:
        port = url.rpartition(":")[2]
        config = tmp_path / "awfproxy.toml"
        config.write_text(f"""
            [service]
            admin = "tcp:{1 if place == "environment" else port}"
            [ports.openai]
            listen = "tcp:10000"
            provider = "openai"
            credential = {{ systemd = "openai" }}
            """)
        environment = {"AWFPROXY_CONFIG": str(config)}
        if place != "file":
            interface = "0.0.0.0" if place == "all addresses" else "127.0.0.1"
            environment["AWFPROXY_ADMIN"] = f"tcp:{port}:interface={interface}"
        result = asked(**environment)
    assert (result.exit_code, result.stdout) == (0, "ready\n")


def test_a_socket_in_the_file_system_is_asked(tmp_path: Path) -> None:
    """``unix:`` is an address too."""
    path = str(tmp_path / "admin")
    result = asked(AWFPROXY_ADMIN=f"unix:{path}")
    assert (result.exit_code, result.stdout) == (1, "")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(20)
        def serve() -> None:
            talking, _ = listening.accept()
            with talking:
                talking.recv(4096)
                talking.sendall(page("ready"))

        thread = threading.Thread(target=serve)
        thread.start()
        result = asked(AWFPROXY_ADMIN=f"unix:{path}")
        thread.join()
    assert (result.exit_code, result.stdout) == (0, "ready\n")


@pytest.mark.parametrize("text", ["127.0.0.1:10009", "https://127.0.0.1:1", "http://127.0.0.1:x", "http://h/health"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    """As a mistake of whoever typed it."""
    assert asked("--url", text).exit_code == 2


@pytest.mark.parametrize("text", ["systemd:domain=INET:name=admin", "tcp:0", "nonsense:"])
def test_an_address_that_cannot_be_told_is_said(text: str) -> None:
    """With what to do about it."""
    result = asked(AWFPROXY_ADMIN=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "admin listener" in result.stderr
