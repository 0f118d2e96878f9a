"""``kill -9`` at random moments under load, again and again: every answer that a client saw the end of has one record.

One process is started anew each time; of two workers one is killed, and now and then the whole service.
AWFPROXY_TEST_ROUNDS sets how often, AWFPROXY_TEST_SEED which moments.  The figures are printed.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

ROUNDS = int(os.environ.get("AWFPROXY_TEST_ROUNDS", "3"))
SEED = int(os.environ.get("AWFPROXY_TEST_SEED", "1"))
CLIENTS = 12
#: seconds of load before a kill, from and to
LOAD = (0.1, 0.7)
#: rounds with one pair of workers: after five deaths in a minute a worker's next start waits
TOGETHER = 8

QUESTION: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}
#: provider, path, request, headers, and what the answer ends with (None: its framing tells)
KINDS: list[tuple[str, str, dict[str, Any], str, bytes | None]] = [
    ("openai", "/v1/chat/completions", QUESTION, "", None),
    ("openai", "/v1/chat/completions", QUESTION | {"stream": True}, "", b"data: [DONE]\n\n"),
    ("openai", "/v1/chat/completions", QUESTION | {"stream": True}, "x-sim-pace: 20\r\n", b"data: [DONE]\n\n"),
    ("openai", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}, "x-sim-encoding: gzip\r\n", None),
    (
        "anthropic", "/v1/messages", QUESTION | {"stream": True, "max_tokens": 9}, "",
        b'data: {"type":"message_stop"}\n\n',
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


class Seen:
    """What clients saw in all rounds."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.number = 0
        #: ids of answers whose end came, and how many came without it
        self.ended: list[str] = []
        self.cut = 0

    async def round(self, setting: Setting, kill: Callable[[], None]) -> None:
        """Load, a kill in its middle, and what is answered after it for a moment more."""
        over = False

        async def client() -> None:
            connections = {provider: Client(port) for provider, port in setting.ports.items()}
            while not over:
                provider, path, body, headers, end = self.random.choice(KINDS)
                self.number += 1
                heard = Heard(f"call-{self.number}")
                with contextlib.suppress(OSError):  # nobody listens for a moment
                    heard = await connections[provider].call(path, json.dumps(body).encode(), heard.name, headers)
                self.note(heard, end)
                if heard.status is None:
                    await asyncio.sleep(0.02)
            for each in connections.values():
                each.close()

        clients = [asyncio.ensure_future(client()) for _ in range(CLIENTS)]
        await asyncio.sleep(self.random.uniform(*LOAD))
        kill()
        await asyncio.sleep(0.05)
        over = True
        await asyncio.wait_for(asyncio.gather(*clients), 60)

    def note(self, heard: Heard, end: bytes | None) -> None:
        """One call, as its client saw it."""
        if heard.status == 200 and heard.request_id and (heard.whole if end is None else heard.body.endswith(end)):
            self.ended.append(heard.request_id)
        else:
            self.cut += heard.status is not None


def lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a file, and how many lines of it are torn."""
    found, torn = [], 0
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            torn += 1
    return found, torn


def check(setting: Setting, seen: Seen, what: str) -> None:
    """Each answer that was seen whole has its two lines, and no call has more."""
    counts: dict[str, collections.Counter[str]] = {}
    torn = recovered = 0
    for name in ("requests", "token-usage"):
        found, more = lines(setting.log_dir / f"{name}.jsonl")
        counts[name] = collections.Counter(line["request_id"] for line in found)
        torn += more
        recovered += sum(bool(line.get("recovered")) for line in found)
        assert set(counts[name].values()) <= {1}, f"calls with several lines in {name}"
    missing = [name for name in seen.ended if name not in counts["requests"] or name not in counts["token-usage"]]
    print(
        f"kill -9, {ROUNDS} rounds, {what}: {len(seen.ended)} answers seen to their end, {len(missing)} without a record; "
        f"{seen.cut} cut, {len(counts['requests'])} records, {recovered} recovered, {torn} torn lines"
    )
    assert not missing
    assert counts["token-usage"].keys() <= counts["requests"].keys()
    assert len(seen.ended) >= ROUNDS


def test_one_process(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Started anew after each kill, on the same folder."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai", "anthropic"])
    seen = Seen()
    for _ in range(ROUNDS):
        with proxy_process(tmp_path, setting) as process:
            run(partial(seen.round, setting, partial(process.signal, signal.SIGKILL)))
            assert process.wait(10) == -signal.SIGKILL
    with proxy_process(tmp_path, setting) as process:
        assert process.stop(20) == 0
    check(setting, seen, "one process")


def test_two_workers(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """One worker at a time, the supervisor's too, and all at once before the next pair."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai", "anthropic"], service="workers = 2")
    seen = Seen()
    left = ROUNDS
    while left:
        with proxy_process(tmp_path, setting) as process:
            for number in range(min(left, TOGETHER)):
                pids = working(setting)
                victims = [seen.random.choice(pids)] if number < TOGETHER - 1 else [process.pid, *pids]
                run(partial(seen.round, setting, partial(kill_all, victims)))
                left -= 1
            if process.pid in victims:
                assert process.wait(10) == -signal.SIGKILL
                wait_until_gone(victims)
            else:
                working(setting)
                assert process.stop(30) == 0
    check(setting, seen, "two workers")


def kill_all(pids: list[int]) -> None:
    """All of these, at once."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids: list[int]) -> None:
    """Until they run no more: whoever comes next needs their ports."""
    deadline = time.monotonic() + 10
    for pid in pids[1:]:
        while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def working(setting: Setting) -> list[int]:
    """The processes of both workers, once both serve."""
    deadline = time.monotonic() + 60
    while True:
        told = json.loads(get(setting.admin_port, "/reflect")[1])["workers"]
        if all(each["state"] == "ready" and each["serves"] == [each["slot"]] for each in told):
            return [each["pid"] for each in told]
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


