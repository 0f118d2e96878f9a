"""Rate limits over several workers of one host: what each of them lets in counts for all."""

from __future__ import annotations

import http.client
from collections import Counter
from pathlib import Path

import pytest

from awfproxy.simulator.setting import Setting
from tests.processes import simulated

WORKERS = 3
LIMIT = 40
BODY = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"How many ships?"}]}'


def statuses(setting: Setting, count: int) -> Counter[int]:
    """Of so many calls, each on a connection of its own: the kernel spreads them over the workers."""
    found: Counter[int] = Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=10)
        connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
        found[connection.getresponse().status] += 1
        connection.close()
    return found


@pytest.mark.parametrize("name", ["requests_per_minute", "requests_per_hour"])
def test_together_they_let_in_what_one_would(tmp_path: Path, name: str) -> None:
    """Not one more; and refused calls have their records."""
    limits = f"limits = {{ {name} = {LIMIT} }}"
    service = f"workers = {WORKERS}"
    with simulated(tmp_path, providers=["openai"], service=service, port_options=limits) as (_, _, setting):
        assert statuses(setting, 3 * LIMIT) == {200: LIMIT, 429: 2 * LIMIT}
    refused = [record for record in setting.records("requests") if record.get("refusal_code") == name]
    assert len(refused) == 2 * LIMIT
