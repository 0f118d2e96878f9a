"""`awf logs analyze` as a whole: its forms, its exit codes, and what hostile names do to it."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from awfproxy.cli import awf
from awfproxy.commands.logs_options import FORMS as FORM_NAMES
from awfproxy.report.analysis.codes import KINDS
from awfproxy.report.analysis.comparison import NOTHING_BEFORE
from awfproxy.report.analysis.forms import EVIDENCE, FORMS, MARK, MARKDOWN_MAX, SCHEMA, WIDTH, View, render
from tests.report.analysis.traffic import (
    PATTERNS,
    Agent,
    Record,
    analysed,
    clean,
    growing,
    in_time,
    overequipped,
    storming,
    write,
)

ROOT = Path(__file__).resolve().parents[3]
VALID = jsonschema.Draft202012Validator(
    json.loads((ROOT / "docs" / "schemas" / "findings.v1.json").read_text()), format_checker=jsonschema.FormatChecker()
)
#: what somebody may call a model, a run or a tool
HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a|b`c`\n## heading\n@everyone [x](javascript:1) ![y](http://z)",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe\u2066\ufeff\u200b",
    "</details>\x00" + "w" * 100_000,
    "{growth_tokens} %s ${HOME}",
)


def everything(seed: int = 5) -> list[Record]:
    dice = random.Random(seed)
    records = [record for make in PATTERNS.values() for record in make(dice)]
    return in_time([*records, *clean(dice, 12)])


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(awf, ["logs", "analyze", *map(str, args)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder as the proxy leaves it, with a file of turns."""
    records = everything()
    usage = [record for record in records if record["event"] == "token_usage"]
    write(tmp_path / "token-usage.jsonl", usage)
    write(tmp_path / "requests.jsonl", [record for record in records if record["event"] == "request"])
    turns = [
        {"event": "turn", "session": record["hints"]["session"], "turn": 1, "request_ids": [record["request_id"]]}
        for record in usage
    ]
    write(tmp_path / "token-usage-by-turn.jsonl", turns)
    return tmp_path


def test_every_form_tells_the_same(logs: Path) -> None:
    """The codes, in the same order; the sums of json and csv."""
    code, out, err = run(logs, "--format", "json")
    assert (code, err) == (0, "")
    body = json.loads(out)
    codes = [finding["code"] for finding in body["findings"]]
    assert len(codes) > 8 and "cap-refusals" in codes and set(codes) <= set(KINDS)
    assert re.findall(r"^\d+\. ([a-z-]+): ", run(logs)[1], re.MULTILINE) == codes
    assert re.findall(r"^### \d+\. `([a-z-]+)`: ", run(logs, "--format", "markdown")[1], re.MULTILINE) == codes
    rows = list(csv.DictReader(io.StringIO(run(logs, "--format", "csv")[1])))
    assert [row["code"] for row in rows] == codes
    assert [int(row["saved_tokens"]) for row in rows] == [finding["saved_tokens"] for finding in body["findings"]]


@pytest.mark.parametrize("more", [[], ["--no-cost"], ["--evidence", "0"], ["--run", "run-1"], ["--compare-run", "run-0"]])
def test_json_is_as_the_schema_says(logs: Path, more: list[str]) -> None:
    """With money and without, with turns, compared and not."""
    code, out, _ = run(logs, "--format", "json", *more)
    assert code == 0
    body = json.loads(out)
    VALID.validate(body)
    assert body["_schema"] == SCHEMA
    assert len(body["by_turn"]) > 10


def test_folders_files_and_standard_input_are_the_same(logs: Path) -> None:
    """But for the turns, which only folders and --turns tell."""
    whole = json.loads(run(logs, "--format", "json")[1])
    files = (logs / "requests.jsonl", logs / "token-usage.jsonl", "--turns", logs / "token-usage-by-turn.jsonl")
    assert json.loads(run(*files, "--format", "json")[1]) == whole
    content = b"".join((logs / name).read_bytes() for name in ("requests.jsonl", "token-usage.jsonl"))
    result = CliRunner().invoke(awf, ["logs", "analyze", "-", "--format", "json"], input=content)
    assert [each["code"] for each in json.loads(result.stdout)["findings"]] == [each["code"] for each in whole["findings"]]


def test_no_money_is_told_where_nobody_asked(logs: Path) -> None:
    """In no form."""
    for form in FORMS:
        code, out, _ = run(logs, "--no-cost", "--format", form)
        assert code == 0 and "$" not in out and "usd" not in out


def test_gates_decide_the_exit_code(logs: Path) -> None:
    """The report is there all the same; a condition that is none is told before anything is read."""
    code, out, err = run(logs, "--fail-on", "paid-retries,cost>1000")
    assert code == 1 and "paid-retries" in out and "Failed: paid-retries was found." in err
    assert run(logs, "--fail-on", "cost>1000")[0] == 0
    assert run(logs, "--fail-on", "paid-retry")[0] == 2
    assert run(logs, "--fail-on", "")[0] == 2
    assert run(logs, "--fail-on", "cost>0", "--no-cost")[0] == 2
    assert run(logs, "--fail-on", "increase>5%")[0] == 2
    assert run(logs, "--fail-on", "increase>5%", "--compare", logs)[0] == 0
    assert run(logs, "--set", "growth_tokens=-1")[0] == 2
    assert run(logs / "nowhere")[0] == 2


def test_nothing_found_is_told(tmp_path: Path) -> None:
    """No records is 1, records without findings is 0."""
    path = write(tmp_path / "token-usage.jsonl", [])
    assert run(path)[0] == 1
    write(tmp_path / "token-usage.jsonl", Agent(random.Random(1)).work(5).records)
    code, out, _ = run(path)
    assert code == 0 and "no findings" in out
    assert run(path, "--run", "other")[0] == 1
    # The report is there, and says that there is nothing to compare with.
    for form in ("pretty", "markdown"):
        code, out, err = run(path, "--compare-run", "other", "--fail-on", "increase>1%", "--format", form)
        assert code == 0 and NOTHING_BEFORE in out.replace("\n", " ") and NOTHING_BEFORE in err
    for form in FORMS:
        assert run(path, "--format", form)[0] == 0


def test_thresholds_are_told_where_they_were_set(logs: Path, tmp_path: Path) -> None:
    """In the rule, and among the notes."""
    file = tmp_path / "own.toml"
    file.write_text("growth_tokens = 55_555\n")
    out = run(logs, "--thresholds", file)[1]
    assert "55,555 tokens" in out.replace("\n", " ").replace("  ", " ") and "growth_tokens" in out


def test_two_runs_are_compared(tmp_path: Path) -> None:
    """In every form."""
    dice = random.Random(2)
    before = [record | {"run": "before"} for record in Agent(dice).work(9).records]
    now = [record | {"run": "now"} for record in growing(dice)]
    path = write(tmp_path / "token-usage.jsonl", in_time([*before, *now]))
    body = json.loads(run(path, "--run", "now", "--compare-run", "before", "--format", "json")[1])
    assert body["comparison"]["before"]["calls"] == 9 and body["used"]["calls"] == len(now)
    assert [(each["code"], each["state"]) for each in body["comparison"]["findings"]] == [("context-growth", "new")]
    assert "new" in run(path, "--run", "now", "--compare-run", "before")[1]
    assert "### Compared with before" in run(path, "--run", "now", "--compare-run", "before", "--format", "markdown")[1]
    csv_out = run(path, "--run", "now", "--compare-run", "before", "--format", "csv")[1]
    assert next(csv.DictReader(io.StringIO(csv_out)))["state"] == "new"
    other = write(tmp_path / "other.jsonl", before)
    # What is compared with is of another run, and of another time.
    for asked in (["--run", "now"], ["--since", "2026-03-01"], ["--until", "2040-01-01"]):
        body = json.loads(run(path, *asked, "--compare", other, "--format", "json")[1])
        assert body["comparison"]["before"]["calls"] == 9
    body = json.loads(run(path, "--compare", other, "--format", "json")[1])
    assert body["comparison"]["before"]["calls"] == 9


@pytest.mark.parametrize("named", ["-", "/dev/stdin"])
def test_what_comes_once_is_compared_with_itself(named: str, tmp_path: Path) -> None:
    """Two runs of one pipe."""
    dice = random.Random(2)
    records = [record | {"run": run} for run in ("before", "now") for record in Agent(dice).work(4).records]
    text = "".join(json.dumps(record) + "\n" for record in records)
    command = [sys.executable, "-m", "awfproxy", "logs", "analyze", named, "--run", "now", "--compare-run", "before"]
    done = subprocess.run([*command, "--format", "json"], input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["comparison"]["before"]["calls"] == 4 and not done.stderr


def test_markdown_is_found_again_and_always_fits() -> None:
    """A title, the mark, then totals; never longer than GitHub takes, however long the names; the same for the same."""
    records = everything()
    text = render(analysed(records), "markdown")
    assert text.splitlines()[0].startswith("## Token usage analysis: ") and text.splitlines()[1] == MARK
    assert text == render(analysed(records), "markdown")
    for record in records:
        record["run"] = f"{record.get('run')}-" + "r" * 300 + record["request_id"]
    long = render(analysed(records), "markdown", View(20))
    assert len(long) <= MARKDOWN_MAX and long.count("<details>") >= long.count("</details>")


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing(name: str) -> None:
    """Of models, runs, conversations, tools, users: in no form does anything but text come of them."""
    records = [
        record | {"run": name, "model": name, "conversation": name, "port": name}
        for record in [*overequipped(random.Random(1)), *growing(random.Random(2))]
    ]
    for record in records:
        record["hints"]["tools_offered"] = [*record["hints"]["tools_offered"], name]
        record["hints"]["session"] = name
    records += [record | {"port": name, "user": name, "refusal_code": name} for record in storming(random.Random(3))]
    analysis = analysed(records)
    assert len(analysis.findings) >= 2
    for form in FORMS:
        drawn = render(analysis, form, View(20, 120))
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff\u200b]", drawn), form
        assert len(drawn) < 200_000
        if form == "markdown":
            # Outside of code nothing of the name is left, and so no tag of it, no link, no mention.
            outside = re.sub(r"`[^`\n]*`", "", drawn)
            tags = _Tags()
            tags.feed(outside)
            assert tags.tags <= {"details", "summary"}
            assert "javascript:" not in outside and "@everyone" not in outside and "http:" not in outside
        if form == "csv":
            for row in csv.reader(io.StringIO(drawn)):
                assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
        if form == "json":
            VALID.validate(json.loads(drawn))


def test_a_terminal_is_never_exceeded(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables leave columns out, sentences are folded."""
    from awfproxy.commands import logs_options

    for width in (60, 80, 120):
        monkeypatch.setattr(logs_options, "width", lambda width=width: width)
        lines = run(logs)[1].splitlines()
        assert max(len(line) for line in lines if not line.strip().startswith("Not shown")) <= width


def test_without_a_terminal_cases_fit_a_hundred_columns(logs: Path) -> None:
    """As in the log of a CI job."""
    lines = [line for line in run(logs)[1].splitlines() if line.startswith("   ")]
    assert any("─" in line for line in lines)
    assert max(map(len, lines)) <= WIDTH


def test_the_options_know_the_forms() -> None:
    """Written out in the command, so that its help need not import the report."""
    assert set(FORM_NAMES) == set(FORMS)
    assert f"[default: {EVIDENCE}]" in " ".join(run("--help")[1].split())


def test_awfs_own_records_are_read(tmp_path: Path) -> None:
    """They have neither hints nor outcomes: what goes by those is not found, and that is said."""
    records: list[dict[str, Any]] = []
    for record in growing(random.Random(1)):
        records.append({name: record[name] for name in (
            "event", "timestamp", "request_id", "provider", "model", "path", "status", "streaming", "input_tokens",
            "output_tokens", "cache_read_tokens", "cache_write_tokens", "duration_ms", "response_bytes",
        )})  # fmt: skip
    code, out, _ = run(write(tmp_path / "token-usage.jsonl", records))
    assert code == 0 and "no findings" in out and "Nothing is known of the conversation of" in out
