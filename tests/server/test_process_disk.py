"""A disk that takes no more: answers are held no longer than `record_wait`, nothing is lost silently, and health says so.

The disk is full for one process only: a limit on the size of its files (RLIMIT_FSIZE), which requests.jsonl is filled
up to beforehand.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

#: bytes of requests.jsonl before the proxy starts; what it prints is far less
FILLED = 1 << 20
#: bytes that are left: less than a record has
LEFT = 100
RECORD_WAIT = 1.0
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@pytest.fixture
def setting(simulator: SimulatorProcess, tmp_path: Path) -> Setting:
    """A configuration, and a file that is nearly full."""
    made = write_setting(
        tmp_path, simulator.ports, providers=["openai"], service=f"record_wait = {RECORD_WAIT}\ndrain_timeout = 1"
    )
    made.log_dir.mkdir()
    line = json.dumps({"event": "padding", "x": ""}) + "\n"
    line = line.replace('""', f'"{"x" * (1024 - len(line))}"')
    (made.log_dir / "requests.jsonl").write_text(line * (FILLED // len(line)))
    return made


def fill(pid: int) -> None:
    """From now on the process can write ``LEFT`` bytes to requests.jsonl."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILLED + LEFT, FILLED + LEFT))


def call(setting: Setting, name: str) -> tuple[Heard, float]:
    """One call, and the seconds that it took."""

    async def main() -> Heard:
        client = Client(setting.ports["openai"])
        try:
            return await client.call("/v1/chat/completions", BODY, name)
        finally:
            client.close()

    began = time.monotonic()
    return run(main), time.monotonic() - began


def health(setting: Setting) -> dict[str, Any]:
    """What the admin listener says."""
    told: dict[str, Any] = json.loads(get(setting.admin_port, "/health")[1])
    return told


def records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that are of calls."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn
        if record.get("event") == "request":
            found.append(record)
    return found


def test_a_full_disk_and_room_again(setting: Setting) -> None:
    """The answer goes on after `record_wait`; its record is written as soon as it can be, and whole."""
    path = setting.log_dir / "requests.jsonl"
    with proxy_process(setting.log_dir.parent, setting) as process:
        fill(process.pid)
        heard, took = call(setting, "held")
        assert (heard.status, heard.whole) == (200, True)
        assert RECORD_WAIT <= took < RECORD_WAIT + 2
        told = health(setting)
        assert told["status"] == "degraded"
        assert "requests.jsonl: File too large" in json.dumps(told)
        assert str(setting.log_dir) not in json.dumps(told)
        metrics = get(setting.admin_port, "/metrics")[1].decode()
        (counted,) = [line for line in metrics.splitlines() if line.startswith("awfproxy_released_unrecorded_total")]
        assert float(counted.rpartition(" ")[2]) == 1
        path.rename(path.with_suffix(".full"))
        deadline = time.monotonic() + 5
        while health(setting)["status"] != "ok":
            assert time.monotonic() < deadline, health(setting)
            time.sleep(0.05)
        assert call(setting, "after")[0].whole
        assert process.stop(10) == 0
    both = records(path.with_suffix(".full")) + records(path)
    assert [record["client_request_id"] for record in both] == ["held", "after"]
    assert [line["client_request_id"] for line in setting.records()] == ["held", "after"]


def test_the_end_on_a_full_disk(setting: Setting) -> None:
    """How many records and tokens could not be written is said, and the exit status is 1."""
    with proxy_process(setting.log_dir.parent, setting) as process:
        fill(process.pid)
        (heard, _), (other, _) = call(setting, "one"), call(setting, "two")
        assert heard.whole
        assert other.whole
        usages = setting.records()
        assert process.stop(30) == 1
        tokens = 2 * sum(int(str(usages[0][name])) for name in ("input_tokens", "output_tokens"))
        assert f"2 records with {tokens} tokens could not be written" in process.output
