"""Hundreds of slow streams at once: none fails, each event goes on by itself, each record is exact."""

from __future__ import annotations

import asyncio
import collections
import json
import time
from pathlib import Path

import pytest

from tests.crowd import Client, Heard, run
from tests.processes import cpu_seconds, once, resident, simulated

pytestmark = once

#: streams at once; the bench opens 10,000
STREAMS = 500
#: events of each, and milliseconds between two
EVENTS, PACE = 20, 300
BODY = json.dumps(
    {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
SLOW = f"x-sim-events: {EVENTS}\r\nx-sim-pace: {PACE}\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_slow_streams(tmp_path: Path, reactor: str, tls: bool) -> None:
    """All begin, all run together, all end whole; what was asked for on the client's behalf is taken out of each."""
    twistd = ("--reactor=epoll",) if reactor == "epoll" else ()
    with simulated(tmp_path, twistd, tls=tls, providers=["openai"]) as (simulator, proxy, setting):
        port = setting.ports["openai"]
        pieces: collections.Counter[str] = collections.Counter()
        open_now = peak = 0
        idle, most = resident(proxy.pid), 0

        def heard(call: Heard) -> None:
            nonlocal open_now, peak, most
            if not call.body:
                open_now += 1
                if open_now > peak:
                    peak, most = open_now, resident(proxy.pid)
            else:
                pieces[call.name] += 1

        async def stream(number: int) -> Heard:
            nonlocal open_now
            await asyncio.sleep(number / STREAMS)  # they come within a second
            client = Client(port)
            call = await client.call("/v1/chat/completions", BODY, f"slow-{number}", SLOW, heard)
            open_now -= 1
            client.close()
            return call

        async def main() -> list[Heard]:
            return list(await asyncio.wait_for(asyncio.gather(*map(stream, range(STREAMS))), 45))

        began, cpu = time.monotonic(), cpu_seconds(proxy.pid)
        calls = run(main)
        took, cpu = time.monotonic() - began, cpu_seconds(proxy.pid) - cpu
        assert peak > 0.8 * STREAMS  # on a busy machine the first may have ended when the last begins
        for call in calls:
            assert (call.status, call.whole) == (200, True)
            assert call.body.count(b"data: {") == EVENTS + 2  # a role before, a finish reason after
            assert call.body.endswith(b"data: [DONE]\n\n")
        # not gathered up on the way, but for some that a busy machine let arrive at once; by twos it would be half
        assert sum(pieces.values()) > 0.75 * STREAMS * EVENTS
        usages = {line["client_request_id"]: line for line in setting.records("token-usage")}
        requests = {line["client_request_id"]: line for line in setting.records("requests")}
        assert set(usages) == set(requests) == {call.name for call in calls}
        assert {line["outcome"] for line in requests.values()} == {"complete"}
        figures = {(line["usage_source"], line["input_tokens"], line["output_tokens"]) for line in usages.values()}
        served = {("reported", call["input"], call["output"]) for call in simulator.calls()}
        assert figures == served
        assert len(served) == 1
    print(
        f"{STREAMS} streams of {EVENTS} events in {took:.1f} s; {cpu / STREAMS / EVENTS * 1e6:.0f} µs of CPU an event, "
        f"{(most - idle) / peak / 1024:.0f} KiB a stream"
    )
