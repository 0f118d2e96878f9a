"""`awf budget` and `awf ledger` on each database."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from awfproxy import cli
from tests.journals import record, write

FILE = """
[service]
log_dir = "logs"
state_dir = "state"
ledger = { env = "LEDGER" }
[ports.openai]
provider = "openai"
credential = { env = "KEY" }
[ports.openai.budget]
enabled = true
"""


@pytest.fixture
def awf(tmp_path: Path, url: str) -> Any:
    """The command, in front of an empty ledger."""
    (tmp_path / "a.toml").write_text(FILE)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "instance").write_text("0123456789abcdef")

    def run(*arguments: str, code: int = 0) -> str:
        env = {"AWFPROXY_CONFIG": str(tmp_path / "a.toml"), "KEY": "k", "LEDGER": url}
        result = CliRunner().invoke(cli.awf, arguments, env=env)
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def test_a_ledger_is_made_anew_and_compared(awf: Any, tmp_path: Path) -> None:
    """From the journal alone; then budgets count what it says."""
    now = time.time()
    write(tmp_path / "logs" / "token-usage.jsonl", [record(number, now) for number in range(1, 3001)])
    assert json.loads(awf("ledger", "verify", "--format", "json", code=1))["counts"] == {"missing": 3000}
    awf("ledger", "rebuild")
    assert json.loads(awf("ledger", "verify", "--format", "json"))["counts"] == {}
    (budget,) = json.loads(awf("budget", "set", "--hard-cap-tokens", "5000000", "--format", "json"))
    assert (budget["used"], budget["remaining"]) == (4_531_500, 468_500)
    assert f"(uid {os.getuid()})" in budget["changed_by"]
    found = json.loads(awf("budget", "check", "--estimate", "468501", "--format", "json", code=1))
    assert found["reason"] == "estimated-exceeds-cap"
    cost = 30_000 * 1.25e-6 + 4_501_500 * 10e-6  # of gpt-5
    (share,) = json.loads(awf("budget", "breakdown", "--format", "json"))["shares"]
    assert share.pop("cost_usd") == pytest.approx(cost)
    assert share == {"feature": "chat", "tokens": 4_531_500, "calls": 3000, "unpriced_calls": 0}


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """Exit 1, and no password in what is said."""
    (tmp_path / "a.toml").write_text(FILE)
    env = {"AWFPROXY_CONFIG": str(tmp_path / "a.toml"), "KEY": "k", "LEDGER": "postgresql://u:sesame@127.0.0.1:1/d"}
    result = CliRunner().invoke(cli.awf, ["budget", "show"], env=env)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "127.0.0.1" in result.stderr
    assert "sesame" not in result.output
