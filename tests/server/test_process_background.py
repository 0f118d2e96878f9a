"""Work in the background outlives the process that began it: killed between any two steps, it is counted once."""

from __future__ import annotations

import http.client
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

#: provider: where it is made, and how
MADE = {
    "openai": ("/v1/responses", {"model": "gpt-4o", "input": "one two three", "background": True}),
    "gemini": ("/v1beta/interactions", {"model": "gemini-2.5-flash", "input": "one two three", "background": True}),
}


def ask(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"content-type": "application/json", "x-sim-polls": "2"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        assert answer.status == 200
        value: dict[str, Any] = json.loads(answer.read())
        return value
    finally:
        connection.close()


@pytest.mark.parametrize("provider", MADE)
def test_it_is_counted_once_whenever_the_proxy_is_killed(tmp_path: Path, provider: str) -> None:
    """Killed after each answer, and started again on the same folder."""
    path, body = MADE[provider]
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(tmp_path, simulator.ports, providers=[provider])
        said = []
        where = ""
        for step in range(6):
            with proxy_process(tmp_path, setting) as process:
                port = setting.ports[provider]
                value = ask(port, "POST", path, body) if step == 0 else ask(port, "GET", where)
                where = where or f"{path}/{value['id']}"
                said.append(value["status"])
                os.kill(process.pid, signal.SIGKILL)
                assert process.wait(10) == -signal.SIGKILL
        assert said[1:] == ["in_progress"] * 2 + ["completed"] * 3
        true = [call for call in simulator.calls() if call["output"] is not None]
    assert len(true) == 1
    check(setting, where, true[0])


def check(setting: Setting, where: str, true: dict[str, Any]) -> None:
    """One usage line, with the figures of the provider, at the first answer that showed the end."""
    (usage,) = setting.records()
    assert usage["path"] == where
    assert usage["usage_source"] == "reported"
    assert (usage["input_tokens"], usage["output_tokens"]) == (true["input"], true["output"])
    lines = setting.records("requests")
    assert [line["usage_source"] for line in lines] == ["none"] * 3 + ["reported"] + ["none"] * 2
    reasons = [line.get("usage_reason") for line in lines]
    assert reasons == ["background", *["not-a-model-call"] * 2, None, *["not-a-model-call"] * 2]
    assert where.rpartition("/")[2] not in json.dumps([line.get("response_id_hash") for line in lines])
