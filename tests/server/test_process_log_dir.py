"""A real disk that is full, and a log folder that is removed, read-only, rotated at a bad moment or copied and truncated.

Each time calls go on, `/health` says what it is, the log says it once, and when it is over all records are there.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import ProxyProcess, SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.namespaces import inside, proxy_inside, run_inside
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

RECORD_WAIT = 1.0
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
#: seconds for what is waited for on a busy machine
PATIENCE = 20.0


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


def make_setting(directory: Path, simulator: SimulatorProcess, workers: int = 1) -> Setting:
    """A proxy of so many workers, and its log folder."""
    service = f"record_wait = {RECORD_WAIT}\nworkers = {workers}"
    setting = write_setting(directory, simulator.ports, providers=["openai"], service=service)
    setting.log_dir.mkdir()
    return setting


class Caller:
    """Makes calls one by one, and keeps what it heard."""

    def __init__(self, setting: Setting) -> None:
        self._port = setting.ports["openai"]
        self.ids: list[str] = []

    def call(self, count: int = 1) -> None:
        """So many calls, at the same time."""

        async def one(number: int) -> Heard:
            client = Client(self._port)
            try:
                return await client.call("/v1/chat/completions", BODY, f"call-{number}")
            finally:
                client.close()

        async def main() -> list[Heard]:
            return [await one(number) for number in range(count)]

        for heard in run(main):
            assert (heard.status, heard.whole) == (200, True)
            assert heard.request_id is not None
            self.ids.append(heard.request_id)


def records(*paths: Path) -> list[str]:
    """The ids in the lines of these files that can be read."""
    found = []
    for path in paths:
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line)["request_id"])
    return found


def reasons(port: int) -> dict[str, Any]:
    """Those of the admin listener's health."""
    told: dict[str, Any] = json.loads(get(port, "/health")[1])["reasons"]
    return told


def becomes(port: int, wanted: Callable[[str], bool]) -> str:
    """What health says of the journal, once it is as wanted."""
    deadline = time.monotonic() + PATIENCE
    while not wanted(told := json.dumps({k: v for k, v in reasons(port).items() if k.startswith("journal")})):
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return told


def well(told: str) -> bool:
    """Nothing is said."""
    return told == "{}"


def told_once(process: ProxyProcess, workers: int) -> None:
    """In the log of each process that wrote."""
    assert 1 <= process.output.count("what cannot be written waits in memory") <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_system_that_is_full(simulator: SimulatorProcess, tmp_path: Path, workers: int) -> None:
    """Its last blocks take half a line: that line is closed and stands again, and all others stand once."""
    setting = make_setting(tmp_path, simulator, workers)
    caller = Caller(setting)
    with proxy_inside(tmp_path, setting, f"mount -t tmpfs -o size=128k none '{setting.log_dir}'") as process:
        folder = inside(process, setting.log_dir)
        caller.call(3)
        with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1024))
        while well(json.dumps(reasons(setting.admin_port))):
            caller.call()  # as long as there is room in their last blocks
            assert len(caller.ids) < 100
        assert "No space left on device" in becomes(setting.admin_port, lambda told: "No space" in told)
        caller.call(2)
        (folder / "filler").unlink()
        becomes(setting.admin_port, well)
        caller.call(2)
        told_once(process, workers)
        usages, requests = folder / "token-usage.jsonl", folder / "requests.jsonl"
        assert sorted(records(requests)) == sorted(records(usages)) == sorted(caller.ids)
        assert process.stop(30) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_folder_that_is_removed(simulator: SimulatorProcess, tmp_path: Path, workers: int) -> None:
    """With all that is in it, between two calls: it comes back, and no later record is lost."""
    setting = make_setting(tmp_path, simulator, workers)
    caller = Caller(setting)
    with proxy_process(tmp_path, setting) as process:
        caller.call(2)
        shutil.rmtree(setting.log_dir)
        gone, caller.ids = caller.ids, []
        caller.call(4)
        becomes(setting.admin_port, well)
        assert process.stop(30) == 0
    found = records(setting.log_dir / "requests.jsonl")
    assert sorted(found) == sorted(caller.ids)
    assert sorted(records(setting.log_dir / "token-usage.jsonl")) == sorted(caller.ids)
    assert not set(found) & set(gone)


def test_a_folder_that_is_read_only_when_the_files_are_rotated(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Lines go on into the renamed files, and into new ones as soon as there can be any."""
    setting = make_setting(tmp_path, simulator)
    caller = Caller(setting)
    folder = str(setting.log_dir)
    with proxy_inside(tmp_path, setting, "") as process:
        caller.call()
        run_inside(process, "mount", "--bind", folder, folder)  # the files are open beneath it
        run_inside(process, "mount", "-o", "remount,bind,ro", folder)
        for name in ("requests", "token-usage"):
            (setting.log_dir / f"{name}.jsonl").rename(setting.log_dir / f"{name}.jsonl.1")
        assert "Read-only file system" in becomes(setting.admin_port, lambda told: not well(told))
        caller.call(2)
        assert len(records(setting.log_dir / "requests.jsonl.1")) == 3
        run_inside(process, "umount", "--lazy", folder)  # the ledger reads there
        becomes(setting.admin_port, well)
        caller.call()
        told_once(process, 1)
        assert process.stop(30) == 0
    assert records(setting.log_dir / "requests.jsonl.1", setting.log_dir / "requests.jsonl") == caller.ids


def test_no_descriptor_is_left_when_the_files_are_rotated(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """RLIMIT_NOFILE is reached: as above."""
    setting = make_setting(tmp_path, simulator)
    with proxy_process(tmp_path, setting) as process:
        talking = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=10)
        watching = http.client.HTTPConnection("127.0.0.1", setting.admin_port, timeout=10)

        def call() -> str:
            talking.request("POST", "/v1/chat/completions", BODY)
            answer = talking.getresponse()
            assert len(answer.read()) > 100
            return str(answer.headers["X-Request-ID"])

        def journal() -> str | None:
            watching.request("GET", "/health")
            told: str | None = json.loads(watching.getresponse().read())["reasons"].get("journal")
            return told

        def wait_for(wanted: str | None) -> None:
            deadline = time.monotonic() + PATIENCE
            while journal() != wanted:
                assert time.monotonic() < deadline, journal()
                time.sleep(0.05)

        ids = [call()]
        wait_for(None)
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        for name in ("requests", "token-usage"):
            (setting.log_dir / f"{name}.jsonl").rename(setting.log_dir / f"{name}.jsonl.1")
        ids.append(call())
        wait_for(f"requests.jsonl: {os.strerror(errno.EMFILE)}")
        ids.append(call())
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        wait_for(None)
        ids.append(call())
        talking.close()
        watching.close()
        told_once(process, 1)
        assert process.stop(30) == 0
    assert records(setting.log_dir / "requests.jsonl.1", setting.log_dir / "requests.jsonl") == ids


def test_files_that_are_copied_and_truncated(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Not how to rotate them, but harmless to what comes later: no hole, no torn line, the ledger goes on."""
    setting = make_setting(tmp_path, simulator)
    caller = Caller(setting)
    with proxy_process(tmp_path, setting) as process:
        caller.call(3)
        for name in ("requests", "token-usage"):
            path = setting.log_dir / f"{name}.jsonl"
            shutil.copy(path, path.with_suffix(".jsonl.1"))
            os.truncate(path, 0)
        caller.call(3)
        assert reasons(setting.admin_port) == {}
        assert process.stop(30) == 0
    for name in ("requests", "token-usage"):
        path = setting.log_dir / f"{name}.jsonl"
        assert records(path.with_suffix(".jsonl.1")) == caller.ids[:3]
        assert [json.loads(line)["request_id"] for line in path.read_bytes().splitlines()] == caller.ids[3:]
