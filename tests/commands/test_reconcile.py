"""`awf reconcile` and `awf logs reprice` as commands: exit codes, files, what goes where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from awfproxy.cli import awf
from tests.report.reconcile.exported import DAY, START, Call, anthropic_page, lines, record

CALLS = [Call(START + number * DAY + 40_000, "claude-haiku-4-5-20251001", (100, 200, 30, 4, 50)) for number in range(4)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Records and an export that agree, and one that does not."""
    (tmp_path / "token-usage.jsonl").write_text(lines(record(number, call) for number, call in enumerate(CALLS)))
    (tmp_path / "same.json").write_text(json.dumps(anthropic_page(CALLS)))
    (tmp_path / "more.json").write_text(json.dumps(anthropic_page([*CALLS, CALLS[0]])))
    (tmp_path / "no.json").write_text('{"data": 1}')
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(awf, [str(argument) for argument in arguments])


def test_exit_codes_of_reconcile(files: Path) -> None:
    """0 within the tolerance, 1 beyond it or without anything to compare, 2 where it makes no sense."""
    own = files / "token-usage.jsonl"

    def code(*arguments: Any) -> int:
        return run("reconcile", own, *arguments).exit_code

    assert code("--provider-export", files / "same.json") == 0
    assert code("--provider-export", files / "same.json", "--tolerance", "0%", "--by", "model", "--key", "ours") == 0
    assert code("--provider-export", files / "more.json") == 1
    assert code("--provider-export", files / "more.json", "--tolerance", "60%") == 0
    assert code("--provider-export", files / "no.json") == 1
    assert code("--provider-export", files / "same.json", "--key", "nobody's") == 1
    assert code("--provider-export", files / "same.json", "--since", "2027-01-01") == 1
    for wrong in (
        (),
        ("--provider-export", files / "same.json", "--agent-log", files),
        ("--agent-log", files, "--key", "x"),
        ("--provider-export", files / "same.json", "--tolerance", "0.5"),
        ("--provider-export", files / "same.json", "--by", "day,hour"),
        ("--provider-export", files / "same.json", "--by", "week"),
        ("--provider-export", files / "same.json", "--by", "day,model", "--by", "day"),
        ("--provider-export", files / "absent.json"),
        ("--provider-export", files / "same.json", "--since", "soon"),
    ):
        assert code(*wrong) == 2


def test_without_a_record_there_is_nothing_to_compare(files: Path) -> None:
    """Calls are not missing here if nothing was read here."""
    (files / "empty").mkdir()
    for more in ([files / "empty"], [files / "token-usage.jsonl", "--port", "nobody's"]):
        result = run("reconcile", *more, "--provider-export", files / "same.json")
        assert result.exit_code == 1 and not result.stdout
        assert "There are no token usage records" in result.stderr and "nothing to compare" in result.stderr


def test_faults_go_to_standard_error(files: Path) -> None:
    """With their place; the figures to standard output."""
    result = run("reconcile", files / "token-usage.jsonl", "--provider-export", files / "same.json",
                 "--provider-export", files / "no.json", "--format", "json")  # fmt: skip
    assert result.exit_code == 1 and "no.json: is no usage or cost export" in result.stderr
    body = json.loads(result.stdout)
    assert body["faults"] == 1 and not body["agrees"]


def test_reprice(files: Path) -> None:
    """A table, and a line for each call where it is asked for; no table where the lines go to standard output."""
    own, out = files / "token-usage.jsonl", files / "out.jsonl"
    result = run("logs", "reprice", own, "--as", "claude-haiku-*=claude-opus-4-5", "--output", out)
    assert result.exit_code == 0 and "priced as" in result.stdout and "Written to" in result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["request_id"] for row in rows] == ["r0", "r1", "r2", "r3"]
    assert all(row["cost_usd"] > row["before_usd"] > 0 for row in rows)
    result = run("logs", "reprice", own, "--at", "2026-01-01", "--output", "-")
    assert [json.loads(line)["request_id"] for line in result.stdout.splitlines()] == ["r0", "r1", "r2", "r3"]
    assert run("logs", "reprice", own, "--since", "2027-01-01").exit_code == 1
    for more in ((), ("--as", "claude-*=claude-opus-4-5"), ("--output", "-")):
        result = run("logs", "reprice", own, *more, "--as", "nope*=x")
        assert result.exit_code == 1 and "--as nope*=x: there is no call that it is for." in result.stderr
        assert "--as claude" not in result.stderr
    for wrong in (("--as", "x"), ("--as", "=y"), ("--at", "soon"), ("--prices", files / "absent")):
        assert run("logs", "reprice", own, *wrong).exit_code == 2
    (files / "prices.toml").write_text("[models.x]\ninput_per_million = -1\n")
    assert run("logs", "reprice", own, "--prices", files / "prices.toml").exit_code == 2
    assert run("logs", "reprice", own, "--output", files / "none" / "out").exit_code == 1
