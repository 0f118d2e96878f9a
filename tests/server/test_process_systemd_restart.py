"""A restart under load, with the socket held as systemd holds it: nobody is refused, no stream is cut before its time.

What systemd does is done here by hand (sd_listen_fds(3), sd_notify(3)), so that it is tested wherever the proxy runs: the
socket stays open while no proxy is there, each start gets it with its name, and is told to be up by its own READY=1.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from awfproxy.simulator.processes import PACKAGE_PARENT, STOP_TIMEOUT, twistd_command
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.processes import once, simulator_process
from tests.server.test_process_activation import AS_SYSTEMD

pytestmark = once

#: streams that are open when the restart begins, and seconds that they are given
STREAMS, DRAIN = 500, 4.0
#: new calls, each on a connection of its own
CALLS_A_SECOND = 25
#: seconds of them before the restart and after it
AROUND = 1.5
PATIENCE = 120.0

STREAM = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"one two three"}]}'
CALL = b'{"model":"gpt-4o","messages":[{"role":"user","content":"one two three"}]}'
ENDLESS = "x-sim-endless: 1\r\nx-sim-pace: 500\r\n"


class Holder:
    """What systemd does for one service with one socket."""

    def __init__(self, directory: Path, setting: Setting, listening: socket.socket) -> None:
        self._directory = directory
        self._setting = setting
        self._listening = listening
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = str(directory / "notify")
        self._notified.bind(self._address)
        self._notified.settimeout(PATIENCE)
        self._process: subprocess.Popen[bytes] | None = None
        #: what the service told, in order
        self.told: list[str] = []

    def start(self) -> None:
        """Until it says that it is ready."""
        command = [*twistd_command(), "-n", "--pidfile=", "awfproxy", "--config", str(self._setting.config)]
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_PARENT), "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "openai", "NOTIFY_SOCKET": self._address,
        }  # fmt: skip
        with (self._directory / "proxy.out").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, str(self._listening.fileno()), *command],
                pass_fds=[self._listening.fileno()], env=environment | self._setting.environment, cwd=self._directory,
                stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        while "READY=1" not in self._hear():
            pass

    def stop(self) -> None:
        """SIGTERM, until it has ended."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in self._hear():
            pass
        status = self._process.wait(STOP_TIMEOUT)
        assert status == 0

    def close(self) -> None:
        """Nothing is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._notified.close()
        print((self._directory / "proxy.out").read_text()[-3000:])

    def _hear(self) -> list[str]:
        told = self._notified.recv(65536).decode().split("\n")
        self.told += told
        return told


class Fate(msgspec.Struct):
    """What became of a call."""

    began: float
    ended: float
    heard: Heard | None
    error: str = ""


async def call(port: int, name: str, body: bytes, headers: str = "", heard: Callable[[Heard], None] | None = None) -> Fate:
    """One, on a connection of its own."""
    began = time.monotonic()
    client = Client(port)
    try:
        result = await client.call("/v1/chat/completions", body, name, headers, heard)
    except OSError as error:
        return Fate(began, time.monotonic(), None, f"{type(error).__name__}: {error}")
    finally:
        client.close()
    return Fate(began, time.monotonic(), result)


async def restart_under_load(port: int, holder: Holder) -> tuple[list[Fate], list[Fate], float, float, float]:
    """Fates of streams and of calls; when the restart began, when the old one had ended, and the new one was ready."""
    open_streams: set[str] = set()
    all_open = asyncio.Event()

    def opened(heard: Heard) -> None:
        open_streams.add(heard.name)
        if len(open_streams) == STREAMS:
            all_open.set()

    streams = [asyncio.create_task(call(port, f"stream-{n}", STREAM, ENDLESS, opened)) for n in range(STREAMS)]
    await asyncio.wait_for(all_open.wait(), PATIENCE)
    over = asyncio.Event()
    calls: list[asyncio.Task[Fate]] = []

    async def caller() -> None:
        while not over.is_set():
            calls.append(asyncio.create_task(call(port, f"call-{len(calls)}", CALL)))
            await asyncio.sleep(1 / CALLS_A_SECOND)

    calling = asyncio.create_task(caller())
    await asyncio.sleep(AROUND)
    began = time.monotonic()
    await asyncio.to_thread(holder.stop)
    ended = time.monotonic()
    await asyncio.to_thread(holder.start)
    ready = time.monotonic()
    await asyncio.sleep(AROUND)
    over.set()
    await calling
    fates = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)
    return list(await asyncio.gather(*streams)), list(fates), began, ended, ready


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_under_load(tmp_path: Path, workers: int) -> None:
    """500 streams run to the deadline of the drain; of the new calls none is refused, cut or lost."""
    with simulator_process(tmp_path) as simulator, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4096)
        service = f"workers = {workers}\ndrain_timeout = {DRAIN}"
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service=service)
        text, own = setting.config.read_text(), f"tcp:{setting.ports['openai']}:interface=127.0.0.1"
        assert own in text
        setting.config.write_text(text.replace(own, "systemd:domain=INET:name=openai"))
        holder = Holder(tmp_path, setting, listening)
        port = listening.getsockname()[1]
        try:
            holder.start()
            streams, calls, began, ended, ready = run(lambda: restart_under_load(port, holder))
            holder.stop()
        finally:
            holder.close()
        records = setting.records("requests")

    meanwhile = sorted(fate.ended - fate.began for fate in calls if began <= fate.began <= ready)
    p99 = meanwhile[int(len(meanwhile) * 0.99)]
    print(
        f"{workers} workers: {len(meanwhile)} new calls in the {ready - began:.1f} s of the restart ({ended - began:.1f} s "
        f"drain, {ready - ended:.1f} s start), p99 {p99:.2f} s"
    )

    assert [fate.error for fate in calls if fate.heard is None] == [], "connections were refused"
    assert {(fate.heard.status, fate.heard.whole) for fate in calls if fate.heard} == {(200, True)}
    assert len(meanwhile) > CALLS_A_SECOND * DRAIN / 2, "there was no load"
    early = [fate.ended - began for fate in streams if fate.ended - began < DRAIN]
    assert early == [], "streams were cut before the deadline"
    ends = [record["outcome"] for record in records if str(record["client_request_id"]).startswith("stream")]
    assert ends == ["drained"] * STREAMS
    done = [name for record in records if (name := str(record["client_request_id"])).startswith("call")]
    assert sorted(done) == sorted(fate.heard.name for fate in calls if fate.heard)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in holder.told)
    told = [int(found[1]) for line in holder.told if (found := re.match(r"STATUS=ready: openai; (\d+) calls", line))]
    assert max(told, default=0) >= STREAMS, holder.told
