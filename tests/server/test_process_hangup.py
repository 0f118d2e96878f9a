"""SIGHUP: reopens the files, and never kills, whenever it comes; both reactors, in the foreground and daemonised."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.simulator.processes import Process, ProxyProcess, SimulatorProcess
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.daemons import Daemon, daemonised
from tests.processes import once, proxy_process, running, simulator_process

pytestmark = once

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
FORMS = [("uvloop", False), ("uvloop", True), ("epoll", False), ("epoll", True)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


def call(setting: Setting, name: str, headers: str = "") -> Heard:
    """One call of the only port."""

    async def main() -> Heard:
        client = Client(setting.ports["openai"])
        try:
            return await client.call("/v1/chat/completions", BODY, name, headers)
        finally:
            client.close()

    return run(main)


def names(path: Path) -> list[str]:
    """Which calls' lines stand in a file."""
    return [json.loads(line)["client_request_id"] for line in path.read_bytes().splitlines()]


def wait_for(what: str, path: Path) -> None:
    """Until a file is there."""
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
def test_rotation_by_hangup(simulator: SimulatorProcess, tmp_path: Path, reactor: str, daemon: bool) -> None:
    """Renamed files keep what they have, new ones appear at once and take the next call; a call that runs goes on."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"])
    twistd = ["--reactor=epoll"] if reactor == "epoll" else []
    process: Process | Daemon
    with (daemonised if daemon else proxy_process)(tmp_path, setting, twistd) as process:
        files = [setting.log_dir / f"{name}.jsonl" for name in ("requests", "token-usage")]
        assert all(path.stat().st_size == 0 for path in files), "files are there from the start"
        assert call(setting, "before").whole
        slow: list[Heard] = []
        across = threading.Thread(target=lambda: slow.append(call(setting, "across", "x-sim-first-byte: 1500\r\n")))
        across.start()
        time.sleep(0.2)
        for path in files:
            path.rename(path.with_suffix(".1"))
        process.signal(signal.SIGHUP)
        for path in files:
            wait_for("the file was not opened again", path)
        assert call(setting, "after").whole
        across.join()
        assert slow[0].whole
        for path in files:
            assert names(path.with_suffix(".1")) == ["before"]
            assert sorted(names(path)) == ["across", "after"]


def test_rotation_without_a_signal(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """A file that was renamed or removed is made anew within a second and a record."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"])
    with proxy_process(tmp_path, setting):
        path = setting.log_dir / "requests.jsonl"
        assert call(setting, "before").whole
        path.rename(path.with_suffix(".1"))
        time.sleep(1.1)
        assert call(setting, "after").whole
        assert names(path.with_suffix(".1")) == ["before"]
        assert names(path) == ["after"]


def hangs_up(pid: int, stop: threading.Event) -> None:
    """Send SIGHUP every few milliseconds, from the moment at which the process says that it does not die of it."""
    mask = 1 << (signal.SIGHUP - 1)
    while not stop.is_set():
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        told = {line.split(":")[0]: line.split(":")[1].strip() for line in status.splitlines() if ":" in line}
        if (int(told["SigIgn"], 16) | int(told["SigCgt"], 16)) & mask:
            break
        time.sleep(0.001)
    while not stop.is_set():
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            return
        time.sleep(0.003)


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_a_hail_of_hangups(simulator: SimulatorProcess, tmp_path: Path, reactor: str) -> None:
    """While it starts, while calls run, while it drains: calls succeed, every record is there, and it exits 0."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"])
    twistd = ("--reactor=epoll",) if reactor == "epoll" else ()

    class Hailed(ProxyProcess):
        """A proxy that is hung up on while it starts."""

        def _wait_until_ready(self) -> None:
            self.stop_hail = threading.Event()
            self.hail = threading.Thread(target=hangs_up, args=(self.pid, self.stop_hail))
            self.hail.start()
            super()._wait_until_ready()

    with running(Hailed(tmp_path, setting.config, setting.admin_port, setting.environment, twistd)) as process:
        assert isinstance(process, Hailed)
        try:
            for index in range(30):
                assert call(setting, f"{index}").whole
            slow = threading.Thread(target=call, args=(setting, "drains", "x-sim-first-byte: 500\r\n"))
            slow.start()
            time.sleep(0.15)
            assert process.hail.is_alive()
            process.signal(signal.SIGTERM)
            assert process.wait(15) == 0
            slow.join()
        finally:
            process.stop_hail.set()
            process.hail.join()
    for file in ("requests", "token-usage"):
        assert names(setting.log_dir / f"{file}.jsonl") == [*map(str, range(30)), "drains"]
