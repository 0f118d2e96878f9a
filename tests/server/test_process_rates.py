"""Rate limits over several workers of one host: what each of them lets in counts for all, also when one dies."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import get
from awfproxy.simulator.setting import Setting
from tests.processes import once, simulated

pytestmark = once

WORKERS = 3
LIMIT = 40
BODY = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"How many ships?"}]}'
STREAM = '{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"How many ships?"}]}'
PATH = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
#: seconds for what is waited for on a busy machine
PATIENCE = 20.0


def statuses(setting: Setting, count: int) -> Counter[int]:
    """Of so many calls, each on a connection of its own: the kernel spreads them over the workers."""
    found: Counter[int] = Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=10)
        connection.request("POST", PATH, BODY, JSON)
        found[connection.getresponse().status] += 1
        connection.close()
    return found


def workers(setting: Setting) -> list[dict[str, Any]]:
    """By slot."""
    found: list[dict[str, Any]] = json.loads(get(setting.admin_port, "/reflect")[1])["workers"]
    return found


def wait_until(what: str, true: Callable[[], bool]) -> None:
    """Look until it is."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def replace_a_worker(setting: Setting) -> None:
    """Killed, and another one serves in its place."""
    victim = workers(setting)[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    wait_until("it was not replaced", lambda: workers(setting)[0]["pid"] not in (victim, None))
    wait_until("it does not serve", lambda: all(each["serves"] == [each["slot"]] for each in workers(setting)))


@pytest.mark.parametrize("name", ["requests_per_minute", "requests_per_hour"])
def test_together_they_let_in_what_one_would(tmp_path: Path, name: str) -> None:
    """Not one more; and refused calls have their records."""
    limits = f"limits = {{ {name} = {LIMIT} }}"
    service = f"workers = {WORKERS}"
    with simulated(tmp_path, providers=["openai"], service=service, port_options=limits) as (_, _, setting):
        assert statuses(setting, 3 * LIMIT) == {200: LIMIT, 429: 2 * LIMIT}
    refused = [record for record in setting.records("requests") if record.get("refusal_code") == name]
    assert len(refused) == 2 * LIMIT


def test_what_a_dead_worker_let_in_counts_on(tmp_path: Path) -> None:
    """Its successor does not begin anew."""
    limits = f"limits = {{ requests_per_hour = {LIMIT} }}"
    service = f"workers = {WORKERS}"
    with simulated(tmp_path, providers=["openai"], service=service, port_options=limits) as (_, _, setting):
        assert statuses(setting, LIMIT // 2) == {200: LIMIT // 2}
        replace_a_worker(setting)
        assert statuses(setting, LIMIT) == {200: LIMIT - LIMIT // 2, 429: LIMIT // 2}


def test_calls_of_a_dead_worker_run_no_more(tmp_path: Path) -> None:
    """As many calls are let in after its death as it had running."""
    count = 12
    limits = f"limits = {{ concurrent_requests = {count} }}"
    service = "workers = 2"
    endless = JSON | {"x-sim-endless": "1", "x-sim-pace": "50"}
    with (
        simulated(tmp_path, providers=["openai"], service=service, port_options=limits) as (_, _, setting),
        ExitStack() as open_calls,
    ):

        def opened() -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=10)
            open_calls.enter_context(closing(connection))
            connection.request("POST", PATH, STREAM, endless)
            answer = connection.getresponse()
            open_calls.enter_context(closing(answer))
            return answer

        running = [opened() for _ in range(count)]
        assert [answer.status for answer in running] == [200] * count
        assert statuses(setting, 2 * WORKERS) == {429: 2 * WORKERS}
        replace_a_worker(setting)
        cut = sum(map(ends, running))
        assert [opened().status for _ in range(count + 1)] == [200] * cut + [429] * (count + 1 - cut)


def ends(answer: http.client.HTTPResponse) -> bool:
    """Whether a stream that never ends was cut."""
    end = time.monotonic() + 0.5  # ten times the pause between two events
    try:
        while time.monotonic() < end:
            if not answer.read1(65536):
                return True
    except (OSError, http.client.HTTPException):
        return True
    return False
