"""Reports where nothing was found: programs get a document all the same, people a sentence."""

import csv
import json
import os
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from awfproxy import cli

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
#: by command: its schema, and what of its document is empty
REPORTS = {
    ("logs", "token-usage"): ("report-token-usage.json", ("groups",)),
    ("logs", "token-usage", "--by", "turn"): ("report-token-usage.json", ("groups",)),
    ("logs", "summary"): ("report-summary.json", ("ports", "outcomes", "tokens")),
    ("logs", "turns"): (None, ("turns", "unmatched")),
    ("logs", "analyze"): ("findings.v1.json", ("findings", "by_run", "by_model")),
    ("logs", "analyze", "--compare-run", "nightly"): ("findings.v1.json", ("findings",)),
    ("logs", "reprice"): ("report-reprice.json", ("models",)),
    ("reconcile", "--provider-export", "export.json"): ("report-reconcile.json", ("covered", "agrees", "other_items")),
    ("reconcile", "--agent-log", "agents"): ("report-reconcile.json", ("covered", "agrees")),
}
RECORD = {
    "event": "token_usage", "request_id": "a", "provider": "openai", "model": "m", "input_tokens": 1,
    "output_tokens": 1, "timestamp": "2026-01-01T12:00:00.000Z", "run": "weekly",
}  # fmt: skip
USED = {"input_tokens": 7, "output_tokens": 1, "num_model_requests": 1, "model": "m"}
EXPORT = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1767225600,
            "end_time": 1767312000,
            "results": [{"object": "organization.usage.completions.result", **USED}],
        }
    ],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("AWF", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "agents").mkdir()
    (tmp_path / "export.json").write_text(json.dumps(EXPORT))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.awf, arguments)


@pytest.mark.parametrize("command", REPORTS, ids=" ".join)
def test_an_empty_document_as_the_schema_has_it(here: Path, command: tuple[str, ...]) -> None:
    """Without any record, and where filters let none through; exit code 1, and the reason beside."""
    schema, empty = REPORTS[command]
    for records, asked in (("", ()), (json.dumps(RECORD) + "\n", ("--until", "2025-01-01"))):
        (here / "logs" / "token-usage.jsonl").write_text(records)
        result = run(*command, "logs", *asked, "--format", "json")
        assert result.exit_code == 1 and "There " in result.stderr, (records, result.stderr)
        body = json.loads(result.stdout)
        if schema is not None:
            jsonschema.validate(body, json.loads((SCHEMAS / schema).read_text()))
        assert not any(body[name] for name in empty), body
        for totals in (body.get("total", {}), body.get("used", {})):
            assert not any(totals.get(name) for name in ("calls", "requests", "all_tokens")), totals


@pytest.mark.parametrize("command", REPORTS, ids=" ".join)
def test_the_headings_alone(here: Path, command: tuple[str, ...]) -> None:
    """In comma-separated values the line of headings that there is otherwise; the summary's figures are zero."""
    path = here / "logs" / "token-usage.jsonl"
    path.write_text(json.dumps(RECORD) + "\n")
    assert run("logs", "turns", "logs").exit_code == 0
    full = run(*command[: command.index("--compare-run")] if "--compare-run" in command else command, "logs",
               "--format", "csv").stdout  # fmt: skip
    path.write_text("")
    (here / "logs" / "token-usage-by-turn.jsonl").unlink()
    result = run(*command, "logs", "--format", "csv")
    assert result.exit_code == 1
    headings, *rows = csv.reader(result.stdout.splitlines())
    if command != ("reconcile", "--agent-log", "agents"):  # which has nothing to compare with either way
        assert len(full.splitlines()) > 1 or "analyze" in command
    # There is no cost in turns that have none.
    assert set(headings) <= set(full.splitlines()[0].split(",")) and headings
    assert not [row for row in rows if row[3:] and row[3] not in ("", "0")]
    assert not rows or command == ("logs", "summary")


@pytest.mark.parametrize("form", ["pretty", "markdown"])
@pytest.mark.parametrize("command", REPORTS, ids=" ".join)
def test_people_get_a_sentence(here: Path, command: tuple[str, ...], form: str) -> None:
    """On standard error, and nothing where figures go."""
    (here / "logs" / "token-usage.jsonl").write_text("")
    result = run(*command, "logs", "--format", form)
    assert (result.exit_code, result.stdout) == (1, "") and result.stderr.endswith(".\n")


def test_no_file_is_made(here: Path) -> None:
    """Where nothing was found none is written, and standard output that was asked to be one has nothing."""
    (here / "logs" / "token-usage.jsonl").write_text("")
    before = sorted(os.listdir(here / "logs"))
    for command in ("turns", "reprice"):
        assert run("logs", command, "logs", "--output", "logs/out", "--format", "json").stdout.startswith("{")
        assert run("logs", command, "logs", "--output", "-", "--format", "json").stdout == ""
    assert sorted(os.listdir(here / "logs")) == before
