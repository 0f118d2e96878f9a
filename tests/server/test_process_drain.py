"""SIGTERM in the middle of a thousand calls: what was answered and what was cut has its record, and the exit status is 0.

Four forms: both reactors, in the foreground and daemonised.  The order of signals besides: a second one, a hangup at any
moment, SIGINT.
"""

from __future__ import annotations

import asyncio
import collections
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import Process, SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.daemons import Daemon, daemonised
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

#: calls, and clients that make them, one after the other each
CALLS, CLIENTS = 1000, 40
#: answers after which the signal comes
SIGNAL_AT = 450

JSON_BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
SSE_BODY = json.dumps(
    {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
#: a stream that goes on for longer than the drain may take
LONG = "x-sim-pace: 100\r\nx-sim-events: 300\r\n"
FORMS = [("uvloop", False), ("uvloop", True), ("epoll", False), ("epoll", True)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@contextmanager
def proxy(
    directory: Path, simulator: SimulatorProcess, *, reactor: str = "uvloop", daemon: bool = False, drain: float = 30
) -> Iterator[tuple[Process | Daemon, Setting]]:
    """A proxy with one port, in any of the forms."""
    setting = write_setting(
        directory, simulator.ports, providers=["openai"], service=f"drain_timeout = {drain}"
    )
    twistd = ["--reactor=epoll"] if reactor == "epoll" else []
    with (daemonised if daemon else proxy_process)(directory, setting, twistd) as process:
        yield process, setting


def by_name(setting: Setting, file: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of a file, by the name that the client gave its call."""
    found: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for line in setting.records(file):
        found[str(line.get("client_request_id"))].append(line)
    return found


@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
def test_a_thousand_calls_and_the_end_in_their_middle(
    simulator: SimulatorProcess, tmp_path: Path, reactor: str, daemon: bool
) -> None:
    """Each call that was answered has its record in both files, each that was cut has one too; exit 0."""
    with proxy(tmp_path, simulator, reactor=reactor, daemon=daemon, drain=1) as (process, setting):
        heard = run(lambda: _thousand(setting.ports["openai"], process))
        assert process.wait(15) == 0
        requests, usages = by_name(setting, "requests"), by_name(setting, "token-usage")
    whole = [call for call in heard if call.whole]
    cut = [call for call in heard if call.status == 200 and not call.whole]
    assert len(whole) >= SIGNAL_AT
    assert len(cut) >= CLIENTS // 10, "nothing was cut: the signal came too late"
    for call in whole:
        (record,) = requests[call.name]
        assert record["request_id"] == call.request_id
        if call.status != 200:
            assert (call.status, record["outcome"], record["refusal"]) == (503, "refused", "draining")
            continue
        (usage,) = usages[call.name]
        assert (record["outcome"], record["usage_source"], usage["input_tokens"]) == ("complete", "reported", 3)
    for call in cut:
        (record,) = requests[call.name]
        (usage,) = usages[call.name]
        assert (record["outcome"], record["usage_source"]) == ("drained", "estimated")
        assert usage["request_id"] == record["request_id"] == call.request_id
    assert all(len(lines) == 1 for lines in requests.values())
    seen = {call["values"]["x-request-id"] for call in simulator.calls()} & {call.name for call in heard}
    assert seen <= set(requests), "a call reached the provider and left no record"
    if isinstance(process, Daemon):
        assert not process.pidfile.exists()


async def _thousand(port: int, process: Process | Daemon) -> list[Heard]:
    """The calls of all clients, as far as they came; the process gets SIGTERM on the way."""
    heard: list[Heard] = []
    serial = iter(range(CALLS))
    own = f"{process.pid}-"

    async def client(number: int) -> None:
        connection = Client(port)
        for index in serial:
            long = LONG if number % 8 == 0 and len(heard) > SIGNAL_AT // 2 else ""
            body = SSE_BODY if index % 2 or long else JSON_BODY
            try:
                call = await connection.call("/v1/chat/completions", body, f"{own}{index}", long)
            except OSError:
                return  # not accepted any more
            heard.append(call)
            if len(heard) == SIGNAL_AT:
                process.signal(signal.SIGTERM)
            if not call.whole:
                return
        connection.close()

    await asyncio.wait_for(asyncio.gather(*map(client, range(CLIENTS))), 30)
    return heard


async def _streams(port: int, count: int, begun: Any) -> list[Heard]:
    """``count`` endless streams; ``begun`` is called once all of them have begun."""
    waiting = count

    def first(heard: Heard) -> None:
        nonlocal waiting
        if not heard.body:
            waiting -= 1
            if not waiting:
                begun()

    calls = [
        Client(port).call("/v1/chat/completions", SSE_BODY, f"endless-{n}", "x-sim-endless: 1\r\nx-sim-pace: 20\r\n", first)
        for n in range(count)
    ]
    return list(await asyncio.wait_for(asyncio.gather(*calls), 30))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
def test_a_second_signal_ends_the_drain(
    simulator: SimulatorProcess, tmp_path: Path, reactor: str, daemon: bool, number: int
) -> None:
    """With half a minute to drain and streams that never end: exit 0 right after the second signal."""
    with proxy(tmp_path, simulator, reactor=reactor, daemon=daemon, drain=30) as (process, setting):
        times: list[float] = []

        def twice() -> None:
            process.signal(number)
            deadline = time.monotonic() + 10
            while get(setting.admin_port, "/ready")[0] != 503 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert process.returncode is None, "it did not wait for its calls"
            times.append(time.monotonic())
            process.signal(number)

        heard = run(lambda: _streams(setting.ports["openai"], 5, twice))
        assert process.wait(15) == 0
        assert time.monotonic() - times[0] < 3
        assert [(call.status, call.whole) for call in heard] == [(200, False)] * 5
        assert [line["outcome"] for line in setting.records("requests")] == ["drained"] * 5
        assert len(setting.records("token-usage")) == 5
