"""`awf budget set` on a running service: it holds in every process, without a restart, until it is unset."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import once, proxy_process, simulated, simulator_process

pytestmark = once

QUESTION = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]})
#: calls in a row that must have the same end: with two workers both are asked, nearly surely
IN_A_ROW = 12
#: seconds in which a change must hold everywhere
SOON = 10.0


def awf(setting: Setting, *arguments: str) -> Any:
    """What the command says, as JSON."""
    command = [sys.executable, "-c", "from awfproxy.cli import main; main()", "budget", *arguments]
    command += ["--config", str(setting.config), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | setting.environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def call(port: int) -> tuple[int, str | None]:
    """Status, and the code of an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", QUESTION, {"content-type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())
        return answer.status, value["error"]["code"] if answer.status != 200 else None
    finally:
        connection.close()


def ends(port: int, wanted: tuple[int, str | None]) -> bool:
    """Whether all calls come to end so, soon."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if all(call(port) == wanted for _ in range(IN_A_ROW)):
            return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stored_budget_holds_at_once_and_until_it_is_unset(tmp_path: Path, workers: int) -> None:
    """The file has none; one is set, seen with who set it, and taken away."""
    with simulated(tmp_path, providers=["openai"], service=f"workers = {workers}") as (_, proxy, setting):
        port = setting.ports["openai"]
        assert call(port) == (200, None)
        awf(setting, "set", "openai", "--enabled", "--soft-cap-tokens", "0", "--hard-cap-tokens", "1")
        assert ends(port, (429, "hard-cap-exceeded"))
        shown = next(each for each in awf(setting, "show", "openai") if each["kind"] == "port")
        assert shown["settings"]["hard_cap_tokens"]["value"] == 1
        assert shown["changed_by"]
        assert shown["used"] > 0
        awf(setting, "unset", "openai")
        assert ends(port, (200, None))
        assert "budgets have changed" in proxy.output


def wait_for(path: Path, content: bytes) -> None:
    """Until a file has that in it."""
    deadline = time.monotonic() + SOON
    while not path.exists() or content not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_stored_holds_at_a_start_without_the_ledger(tmp_path: Path, workers: int) -> None:
    """The file has no budget: calls would go through.  One is stored, so they are denied."""
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service=f"workers = {workers}")
        port = setting.ports["openai"]
        with proxy_process(tmp_path, setting):
            awf(setting, "set", "openai", "--enabled", "--soft-cap-tokens", "0", "--hard-cap-tokens", "10000000")
            assert ends(port, (200, None))
            wait_for(tmp_path / "state" / "budgets.json", b"10000000")
        state = tmp_path / "state"
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (state / name).unlink(missing_ok=True)
        (state / "ledger.db").rename(state / "kept.db")
        (state / "ledger.db").mkdir()  # it cannot be opened
        with proxy_process(tmp_path, setting):
            assert [call(port) for _ in range(3)] == [(503, "ledger_unavailable")] * 3
            (state / "ledger.db").rmdir()
            (state / "kept.db").rename(state / "ledger.db")
            assert ends(port, (200, None))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_stored_while_it_is_stopped_outlives_the_ledger(tmp_path: Path, workers: int) -> None:
    """The file has no budget.  One is stored, the ledger is removed: the start makes it anew with the budget in it."""
    with simulator_process(tmp_path) as simulator:
        setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service=f"workers = {workers}")
        (stored,) = awf(setting, "set", "openai", "--enabled", "--soft-cap-tokens", "0", "--hard-cap-tokens", "0")
        (tmp_path / "state" / "ledger.db").unlink()
        with proxy_process(tmp_path, setting) as proxy:
            assert ends(setting.ports["openai"], (429, "hard-cap-exceeded"))
            shown = next(each for each in awf(setting, "show", "openai") if each["kind"] == "port")
            assert [shown[name] for name in ("settings", "changed_by", "changed_at")] == [
                stored[name] for name in ("settings", "changed_by", "changed_at")
            ]
        assert proxy.output.count("had lost what was stored of budgets: 1 stored again") == 1
