"""A cap in dollars with real processes: priced by the user's file, kept over restarts, the same from the journal."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from awfproxy.core.budgets import TOKENS_MAX
from awfproxy.simulator.processes import get
from awfproxy.simulator.setting import Setting, write_setting
from tests.processes import once, proxy_process, simulated, simulator_process

pytestmark = once

#: dollars for a million tokens
INPUT, OUTPUT = 10.0, 100.0
PRICES: Final = f'[models."gpt-4o*"]\ninput_per_million = {INPUT}\noutput_per_million = {OUTPUT}\n'
#: tokens of an answer
ANSWER: Final = 1_000
#: calls that fit, a few of them before there is a cap
FIT, BEFORE = 10, 3
BUDGET: Final = f"budget = {{ enabled = true, soft_cap_tokens = {TOKENS_MAX}, hard_cap_tokens = {TOKENS_MAX} }}"
#: seconds in which rows, and what was set, are everywhere
SOON: Final = 15.0


def awf(setting: Setting, *arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-c", "from awfproxy.cli import main; main()", *arguments, "--config", str(setting.config)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | setting.environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def budget(setting: Setting, *arguments: str) -> Any:
    """What `awf budget` says."""
    return json.loads(awf(setting, "budget", *arguments, "--format", "json"))


def money(setting: Setting) -> dict[str, Any]:
    """How the cap in dollars of the port stands."""
    (found,) = [each["money"] for each in budget(setting, "show", "openai") if each["kind"] == "port"]
    assert isinstance(found, dict)
    return found


def call(setting: Setting, model: str = "gpt-4o") -> tuple[int, dict[str, Any]]:
    """Status, and the usage or the error."""
    body = {"model": model, "max_tokens": ANSWER, "messages": [{"role": "user", "content": "one two three"}]}
    headers = {"content-type": "application/json", "x-sim-reasoning": str(ANSWER - 20)}
    connection = http.client.HTTPConnection("127.0.0.1", setting.ports["openai"], timeout=30)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        value = json.loads(answer.read())
        return answer.status, value["usage"] if answer.status == 200 else value["error"]
    finally:
        connection.close()


def patient(setting: Setting) -> tuple[int, dict[str, Any]]:
    """The same, repeated for as long as only a piece that another worker holds stands in the way, or a price that a
    busy machine has not found yet."""
    while (answer := call(setting))[1].get("code") in ("cap-reserved", "ledger_unavailable"):
        time.sleep(0.5)
    return answer


def cost(usage: dict[str, Any]) -> float:
    """By the prices of the file."""
    return float((usage["prompt_tokens"] * INPUT + usage["completion_tokens"] * OUTPUT) / 1_000_000)


def used(setting: Setting, wanted: float) -> dict[str, Any]:
    """How the cap stands, as soon as so many dollars are used by it, and by rows."""
    deadline = time.monotonic() + SOON
    while True:
        found = money(setting)
        if found["used"] == found["recorded"] == pytest.approx(wanted, abs=1e-4) and not found["reserved"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cap_in_dollars_holds(tmp_path: Path, workers: int) -> None:
    """Set in the middle of a period it counts what was used before; it is refused in dollars, and after a restart and
    after a rebuild of the ledger as before."""
    (tmp_path / "prices.toml").write_text(PRICES)
    with simulator_process(tmp_path) as simulator:
        service = f'workers = {workers}\nprices = "prices.toml"'
        setting = write_setting(
            tmp_path, simulator.ports, providers=["openai"], service=service, port_options=BUDGET
        )
        with proxy_process(tmp_path, setting) as proxy:
            spent = []
            for _ in range(BEFORE):
                status, usage = call(setting)
                assert status == 200
                spent.append(cost(usage))
            cap = round(spent[0] * (FIT + 0.5), 6)
            budget(setting, "set", "openai", "--hard-cap-usd", str(cap))
            used(setting, sum(spent))
            while (answer := patient(setting))[0] == 200:
                spent.append(cost(answer[1]))
                assert len(spent) <= FIT
            assert len(spent) == FIT
            error = answer[1]
            assert (answer[0], error["type"], error["code"]) == (429, "budget_exceeded", "estimated-exceeds-cap")
            assert error["cap_usd"] == cap
            assert error["used_usd"] == pytest.approx(sum(spent), abs=1e-4)
            assert error["cap_tokens"] == TOKENS_MAX and error["used_tokens"] > 0
            found = used(setting, sum(spent))
            assert (found["lost"], found["unpriced_calls"]) == (0, 0)
            (share,) = budget(setting, "breakdown", "openai", "--by", "model")["shares"]
            assert share["calls"] == FIT
            assert share["cost_usd"] == pytest.approx(sum(spent), abs=1e-6)
            metrics = get(setting.admin_port, "/metrics")[1].decode()
            labels = '{provider="openai",port="openai",scope="port",name=""}'
            assert f"awfproxy_budget_limit_usd{labels} {cap}" in metrics
            proxy.signal(signal.SIGTERM)
            assert proxy.wait(20) == 0
        with proxy_process(tmp_path, setting) as proxy:
            assert patient(setting)[1]["code"] == "estimated-exceeds-cap"
            proxy.signal(signal.SIGTERM)
            assert proxy.wait(20) == 0
        awf(setting, "ledger", "rebuild")
        assert used(setting, sum(spent))["lost"] == 0
        with proxy_process(tmp_path, setting):
            assert patient(setting)[1]["code"] == "estimated-exceeds-cap"


def test_a_model_without_a_price_is_told_and_counts(tmp_path: Path) -> None:
    """As the dearest of its provider, never as nothing; its cost is unknown."""
    options = f"{BUDGET[:-1]}, hard_cap_usd = 100000.0 }}"
    with simulated(tmp_path, providers=["openai"], port_options=options) as (_, proxy, setting):
        status, usage = call(setting, "no-such-model")
        assert status == 200
        deadline = time.monotonic() + SOON
        while not (found := money(setting))["unpriced_calls"]:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        assert found["unpriced_tokens"] == usage["total_tokens"]
        assert found["used"] > 0
        (share,) = budget(setting, "breakdown", "openai", "--by", "model")["shares"]
        assert (share["cost_usd"], share["unpriced_calls"]) == (0.0, 1)
        metrics = get(setting.admin_port, "/metrics")[1].decode()
        series = 'awfproxy_unpriced_tokens_total{provider="openai",model="no-such-model"}'
        assert f"{series} {usage['total_tokens']}" in metrics
        assert "'no-such-model' of openai has no price" in proxy.output
