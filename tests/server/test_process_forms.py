"""The ways to start: by environment alone as AWF does it, on every reactor, and where uvloop is missing."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import Process, ProxyProcess, SimulatorProcess, free_ports, get, twistd_command
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.processes import once, proxy_process, running, simulator_process

pytestmark = once

STREAM = json.dumps({"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "a b c"}]}).encode()
MESSAGE = json.dumps({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "a b c"}]}).encode()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


def call(port: int, path: str = "/v1/chat/completions", body: bytes = STREAM, host: str = "127.0.0.1") -> Heard:
    """One call."""

    async def main() -> Heard:
        client = Client(port, host)
        try:
            return await client.call(path, body, "form")
        finally:
            client.close()

    return run(main)


def reflected(admin_port: int) -> dict[str, Any]:
    """What the proxy says of itself."""
    told: dict[str, Any] = json.loads(get(admin_port, "/reflect")[1])
    return told


@pytest.mark.parametrize(
    ("options", "transports"),
    [
        ((), "uvloop"),
        (("--reactor=uvloop",), "uvloop"),
        (("--reactor=asyncio",), "twisted"),
        (("--reactor=epoll",), "twisted"),
        (("--reactor=poll",), "twisted"),
        (("--reactor=select",), "twisted"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_every_reactor(simulator: SimulatorProcess, tmp_path: Path, options: tuple[str, ...], transports: str) -> None:
    """The fast one without being asked; all of them carry a stream and stop with 0."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"])
    with proxy_process(tmp_path, setting, options) as process:
        assert reflected(setting.admin_port)["transports"] == transports
        heard = call(setting.ports["openai"])
        assert (heard.status, heard.whole) == (200, True)
        assert process.stop(10) == 0
    (record,) = setting.records()
    assert record["usage_source"] == "reported"


def test_without_uvloop(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Said once, and Twisted's own transports are used."""
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "uvloop.py").write_text("raise ImportError('not on this machine')\n")
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(missing)  # what a child finds after the package's own folder
    try:
        with proxy_process(tmp_path, setting) as process:
            assert reflected(setting.admin_port)["transports"] == "twisted"
            assert process.output.count("uvloop is missing") == 1
            assert call(setting.ports["openai"]).whole
            assert process.stop(10) == 0
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class ByEnvironment(ProxyProcess):
    """``twistd -n awfproxy`` without a file."""

    def __init__(self, directory: Path, admin_port: int, environment: dict[str, str]) -> None:
        command = [*twistd_command(), "-n", "--pidfile=", "awfproxy"]
        Process.__init__(self, "proxy", command, directory, environment)
        self.admin_port = admin_port
        with self._stopped_on_failure():
            self._wait_until_ready()


def test_by_environment_alone(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """AWF's names and port numbers: a port for each key, none for what has no key; the log folder that was named.

    The numbers are fixed, so the ports are bound to an address of the loopback that nobody else is likely to use.
    """
    bind = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    (admin,) = free_ports(1)
    environment = {
        "AWFPROXY_BIND": bind,
        "AWFPROXY_ADMIN": f"tcp:{admin}:interface=127.0.0.1",
        "AWFPROXY_STATE_DIR": str(tmp_path / "state"),
        "AWF_TOKEN_LOG_DIR": str(tmp_path / "logs"),
        "OPENAI_API_KEY": "sim-openai-key",
        "OPENAI_API_TARGET": f"http://127.0.0.1:{simulator.ports['openai']}",
        "ANTHROPIC_API_KEY": "sim-anthropic-key\n",
        "ANTHROPIC_API_TARGET": f"http://127.0.0.1:{simulator.ports['anthropic']}/",
        "GEMINI_API_KEY": "",
    }
    with running(ByEnvironment(tmp_path, admin, environment)) as process:
        assert set(reflected(admin)["ports"]) == {"openai", "anthropic"}
        assert call(10000, host=bind).whole
        assert call(10001, "/v1/messages", MESSAGE, host=bind).whole
        with pytest.raises(ConnectionRefusedError):
            call(10003, host=bind)
        assert process.stop(10) == 0
    setting = Setting(tmp_path / "none", tmp_path / "logs", {}, admin, {})
    assert [line["provider"] for line in setting.records()] == ["openai", "anthropic"]
    assert {line["usage_source"] for line in setting.records()} == {"reported"}
    assert {seen["key"] for seen in simulator.calls()} == {"ok"}

