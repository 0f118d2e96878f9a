"""A disk that stalls and then is full, under streams that run: their events do not wait for it, and no record is lost.

AWFPROXY_TEST_STALL sets the seconds of the stall.  The figures are printed; only what no busy machine can bring about
fails the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import free_ports, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.bad_disk import BadDisk
from tests.crowd import Client, Heard, run
from tests.processes import once, proxy_process
from tests.stamped import INPUT, OUTPUT, stamped_upstream, stamps

pytestmark = once

STALL = float(os.environ.get("AWFPROXY_TEST_STALL", "4"))
#: one process, and two where somebody has the time
WORKERS = [1, 2] if "AWFPROXY_TEST_STALL" in os.environ else [1]
#: seconds before it, and of the full disk after it
BEFORE, FULL = 3.0, 2.0
RECORD_WAIT = 1.0
#: streams that run all the time; a call begins besides every so many seconds
STREAMS, CALL_EVERY = 40, 0.25
BODY = json.dumps({"model": "gpt-4o", "stream": True, "messages": [], "stream_options": {"include_usage": True}}).encode()


class Times:
    """What was measured, by phase."""

    def __init__(self) -> None:
        self.phase = "before"
        self.events: dict[str, list[float]] = {}
        self.ends: dict[str, list[float]] = {}

    def heard(self, piece: bytes) -> None:
        """A piece of a stream came."""
        now = time.monotonic()
        self.events.setdefault(self.phase, []).extend(now - sent for sent in stamps(piece))


def p99(times: list[float]) -> float:
    """The 99th percentile."""
    return sorted(times)[int(len(times) * 0.99)]


def make_setting(directory: Path, disk: BadDisk, workers: int) -> tuple[Setting, int]:
    """A proxy on that disk, and the port of its upstream."""
    (upstream,) = free_ports(1)
    service = f"record_wait = {RECORD_WAIT}\ndrain_timeout = 30\nworkers = {workers}"
    setting = write_setting(directory, {"openai": upstream}, providers=["openai"], service=service)
    setting.environment.update(disk.environment)
    return setting, upstream


async def stream(port: int, name: str, seconds: float, times: Times | None = None) -> Heard:
    """One stream of so many seconds."""
    seen = 0

    def heard(call: Heard) -> None:
        nonlocal seen
        if times is not None:
            times.heard(call.body[seen:])
        seen = len(call.body)

    client = Client(port)
    call = await client.call("/v1/chat/completions", BODY, name, f"X-Last: {seconds}\r\n", heard)
    client.close()
    return call


def health(setting: Setting) -> dict[str, Any]:
    """What the admin listener says."""
    told: dict[str, Any] = json.loads(get(setting.admin_port, "/health")[1])
    return told


async def becomes(setting: Setting, status: str, seconds: float = 15.0) -> dict[str, Any]:
    """Health, once it says so."""
    deadline = time.monotonic() + seconds
    while (told := await asyncio.to_thread(health, setting))["status"] != status:
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.05)
    return told


@pytest.mark.parametrize("workers", WORKERS)
def test_a_disk_that_stalls_and_then_is_full(tmp_path: Path, workers: int) -> None:
    """Events go on as before, ends wait `record_wait`, nothing is lost, and it is told once."""
    disk = BadDisk(tmp_path)
    times = Times()
    heard: list[Heard] = []

    async def calls(port: int, until: float) -> None:
        async def one(number: int) -> None:
            began, phase = time.monotonic(), times.phase
            heard.append(await stream(port, f"call-{number}", 0.1))
            if phase == times.phase:
                times.ends.setdefault(phase, []).append(time.monotonic() - began - 0.1)

        running: list[asyncio.Future[None]] = []
        while time.monotonic() < until:
            running.append(asyncio.ensure_future(one(len(running))))
            await asyncio.sleep(CALL_EVERY)
        await asyncio.gather(*running)

    setting, upstream = make_setting(tmp_path, disk, workers)
    port = setting.ports["openai"]

    async def main() -> str:
        async with stamped_upstream(upstream):
            lasts = BEFORE + STALL + FULL + 2
            streams = [asyncio.ensure_future(stream(port, f"long-{n}", lasts, times)) for n in range(STREAMS)]
            await asyncio.sleep(1)  # connecting is no part of it
            times.events.clear()
            more = asyncio.ensure_future(calls(port, time.monotonic() + BEFORE + STALL + FULL - RECORD_WAIT - 1))
            await asyncio.sleep(BEFORE - 1)
            times.phase = "stalled"
            disk.stall()
            assert "records wait, the oldest for" in json.dumps(await becomes(setting, "degraded"))
            await asyncio.sleep(STALL - RECORD_WAIT - 1)
            times.phase = "full"
            disk.fill()
            await asyncio.sleep(FULL)
            assert "No space left on device" in json.dumps(await asyncio.to_thread(health, setting))
            times.phase = "after"
            disk.heal()
            await becomes(setting, "ok")
            heard.extend(await asyncio.gather(*streams))
            await more
            deadline = time.monotonic() + 20
            while process.output.count("journal: writing again") < workers:  # once all was well for five seconds
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            return (await asyncio.to_thread(get, setting.admin_port, "/metrics"))[1].decode()

    with proxy_process(tmp_path, setting) as process:
        page = run(main)
        assert process.stop(30) == 0
        output = process.output
    check(setting, heard, page)
    assert output.count("what cannot be written waits in memory") == workers
    assert output.count("journal: writing again") == workers
    assert output.count("#error") == workers
    before, stalled = p99(times.events["before"]), p99(times.events["stalled"])
    longest, ends = max(times.events["stalled"]), times.ends["stalled"]
    print(
        f"{workers} worker(s), stalled for {STALL:g} s: p99 of an event {before * 1e3:.1f} ms before, "
        f"{stalled * 1e3:.1f} ms during ({stalled / before:.2f} x), {p99(times.events['full']) * 1e3:.1f} ms full; "
        f"longest {longest * 1e3:.0f} ms; {len(ends)} ends held for {min(ends):.2f} to {max(ends):.2f} s; "
        f"{len(heard)} calls, as many records"
    )
    assert longest < STALL / 2, "events waited for the disk"
    assert max(ends) < RECORD_WAIT + 3


def check(setting: Setting, heard: list[Heard], page: str) -> None:
    """Records are calls, once each, and the ends that went out without theirs are counted."""
    assert all(call.whole and call.status == 200 for call in heard)
    names = sorted(call.name for call in heard)
    assert sorted(str(line["client_request_id"]) for line in setting.records("requests")) == names
    usages = setting.records("token-usage")
    assert sorted(str(line["client_request_id"]) for line in usages) == names
    assert {(line["input_tokens"], line["output_tokens"]) for line in usages} == {(INPUT, OUTPUT)}
    (counted,) = [line for line in page.splitlines() if line.startswith("awfproxy_released_unrecorded_total")]
    assert float(counted.rpartition(" ")[2]) > 0
    assert "awfproxy_log_records_dropped_total 0" in page


@pytest.mark.parametrize(("workers", "how"), [(1, "stall"), (1, "fill"), (2, "stall")])
def test_a_second_signal_does_not_wait_for_the_disk(tmp_path: Path, workers: int, how: str) -> None:
    """It ends within moments, says what was lost, and exits 1; what was written before is there."""
    disk = BadDisk(tmp_path)
    streams = 4

    setting, upstream = make_setting(tmp_path, disk, workers)
    port = setting.ports["openai"]

    async def main() -> tuple[float, int, list[Heard]]:
        async with stamped_upstream(upstream):
            assert (await stream(port, "before", 0)).whole
            running = [asyncio.ensure_future(stream(port, f"cut-{n}", 60)) for n in range(streams)]
            getattr(disk, how)()
            ended = await asyncio.gather(*(stream(port, f"held-{n}", 0) for n in range(2)))  # `record_wait` is over
            process.signal(signal.SIGTERM)
            while (await asyncio.to_thread(get, setting.admin_port, "/ready"))[0] != 503:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            assert process.returncode is None, "it did not wait for its calls"
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            status = await asyncio.to_thread(process.wait, 30)
            took = time.monotonic() - began
            return took, status, [*ended, *await asyncio.gather(*running)]

    with proxy_process(tmp_path, setting) as process:
        took, status, heard = run(main)
    assert status == 1
    print(f"{workers} worker(s), {how}: ended {took:.1f} s after the second signal")
    assert took < 7
    assert [call.whole for call in heard] == [True, True, *[False] * streams]
    assert [line["client_request_id"] for line in setting.records("requests")] == ["before"]
    told = [line for line in process.output.splitlines() if "could not be written" in line]
    assert f"{2 + streams} records with" in told[-1] or workers == 2
    lost = [int(line.partition(" records with")[0].rpartition(" ")[2]) for line in told]
    assert max(lost) == 2 + streams
    tokens = [int(line.partition(" records with ")[2].split()[0]) for line in told]
    assert max(tokens) >= 2 * (INPUT + OUTPUT)
