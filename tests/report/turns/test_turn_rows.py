"""The rows, their file and their tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.cli import awf
from awfproxy.report.turns.agent_logs import EVENTS_MAX
from awfproxy.report.turns.calls import CALLS_MAX
from awfproxy.report.turns.placements import METHODS, REASONS
from awfproxy.report.turns.report import turns
from awfproxy.report.turns.side_inputs import firewall_line, mcp_line, safe_output_line
from awfproxy.report.turns.turn_rows import NAMES_MAX, REQUEST_IDS_MAX
from awfproxy.report.turns.turn_tables import FORMS, MARKDOWN_ROWS, shown
from awfproxy.report.turns.writing import FILE_NAME, encoded, place_of
from tests.report.turns.traffic import START, Setting, iso, log_files, make

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "token-usage-by-turn.v1.json").read_text())
VALID = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with records in `logs` and agents' logs in `agent`."""
    made = make(Setting(sessions=2, turns=3), 3)
    for name, content in log_files(made):
        path = tmp_path / "agent" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "token-usage.jsonl").write_bytes(b"".join(made.record_lines()))
    return tmp_path


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(awf, ["logs", "turns", *map(str, args)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_the_file_is_as_the_schema_says(world: Path) -> None:
    """With a log and without; every line is valid, and the sums are the records'."""
    records = [json.loads(line) for line in (world / "logs" / "token-usage.jsonl").read_text().splitlines()]
    for more in (["--agent-log", str(world / "agent")], []):
        code, out, err = run(world / "logs", *more)
        assert code == 0 and "Written to" in err and "calls placed" in out
        rows = [json.loads(line) for line in (world / "logs" / FILE_NAME).read_text().splitlines()]
        for row in rows:
            VALID.validate(row)
        assert sum(row["calls"] for row in rows) == len(records)
        assert sum(row.get("output_tokens", 0) for row in rows) == sum(row["output_tokens"] for row in records)


def test_running_totals_are_over_the_session(world: Path) -> None:
    """Each row's is the sum of the session's rows up to it; the last is the session's sum."""
    report = turns([str(world / "logs")], [str(world / "agent")])
    sums: dict[str, int] = {}
    for row in report.rows:
        if row["event"] == "turn":
            sums[row["session"]] = sums.get(row["session"], 0) + row.get("all_tokens", 0)
            assert row["running"].get("all_tokens", 0) == sums[row["session"]]
    assert len(sums) == 2


def test_long_names_are_cut(tmp_path: Path) -> None:
    """As in all reports: those that differ only further on stay apart, and no row is long for it."""
    long = "x" * 100_000
    record = {"event": "token_usage", "timestamp": iso(START), "provider": "openai", "input_tokens": 1, "output_tokens": 1}
    record |= {"run": long, "client_request_id": long, "hints": {"agent": "codex", "session": long, "turn": "1"}}
    lines = "".join(json.dumps(record | {"request_id": f"r{n}{long}", "model": f"{long}{n}"}) + "\n" for n in range(3))
    (tmp_path / "token-usage.jsonl").write_text(lines)
    code, out, _ = run(tmp_path, "--format", "json")
    written = (tmp_path / FILE_NAME).read_text()
    assert code == 0 and len(out) < 10_000 and len(written) < 10_000
    rows = [json.loads(line) for line in written.splitlines()]
    assert sum(len(row["models"]) for row in rows) == 3
    assert all(len(row["run"]) < 300 for row in rows)


def test_money_is_as_in_token_usage() -> None:
    """Never $0 for what is not 0, a least sum where calls have no price or no count that is to be priced."""
    row = {"event": "turn", "session": "s", "turn": 1, "calls": 2, "cost_usd": 0.000001}

    def costs(*rows: dict[str, Any]) -> list[str]:
        tables = [
            [[cell.strip(" `") for cell in line.split("|")] for line in part.splitlines() if line.startswith("|")]
            for part in shown(rows, "markdown").split("<summary>")
        ]
        whole, each = ([line[table[0].index("cost")] for line in table[2:]] for table in tables)
        return [*each, *whole]

    assert costs(row) == ["<$0.0001", "<$0.0001"]
    assert costs(row | {"cost_usd": 12.5}) == ["$12.50", "$12.50"]
    assert costs(row | {"unpriced_calls": 1}) == ["≥<$0.0001"] * 2
    assert costs(row | {"cost_usd": 1.5, "cost_unknown_calls": 1}) == ["≥$1.50"] * 2
    unpriced = {"event": "turn", "session": "s", "turn": 2, "calls": 1, "unpriced_calls": 1}
    assert costs(unpriced) == ["?", "?"]
    assert costs(row | {"cost_usd": 2.0}, unpriced) == ["$2.00", "?", "≥$2.00"]


def test_markdown_fits_a_summary() -> None:
    """However many turns there are: the totals first and whole, then so many turns, folded, and the others as one."""
    names = {"calls": 1, "input_tokens": 5, "output_tokens": 2, "all_tokens": 7, "cost_usd": 0.5}
    rows = [{"event": "turn", "session": "s" * 200, "turn": number, **names} for number in range(1, 12_001)]
    text = shown(rows, "markdown")
    assert len(text.encode()) < 2**20 / 4
    whole, _, folded = text.partition("<details>")
    assert "84,000" in whole and "$6,000.00" in whole and "12,000 turns" in folded
    table = [line for line in folded.splitlines() if line.startswith("|")]
    assert len(table) == 2 + MARKDOWN_ROWS + 1 and "(11,800 more)" in table[-1] and "82,600" in table[-1]


def test_logs_without_a_turn_are_told(world: Path) -> None:
    """Not as calls that were not found in them, and nothing is written."""
    (world / "empty.jsonl").write_text("")
    code, out, err = run(world / "logs", "--agent-log", world / "empty.jsonl")
    assert code == 1 and not out and "Without --agent-log" in err
    assert not (world / "logs" / FILE_NAME).exists()


def test_unknown_figures_are_never_0() -> None:
    """A figure that no call reported is absent; one that some did not is counted as such."""
    record = {"event": "token_usage", "timestamp": iso(START), "input_tokens": 5, "output_tokens": 0}
    record |= {"provider": "openai", "cache_read_tokens": 0, "cache_write_tokens": 0, "unknown": ["output_tokens"]}
    report = turns(["-"], stdin=io.BytesIO(json.dumps(record).encode()))
    (row,) = report.rows
    assert row["reason"] == "no-conversation" and "output_tokens" not in row
    assert row["unknown"] == {"output_tokens": 1, "reasoning_tokens": 1, "all_tokens": 1}
    # calls, input, cache read, cache write, output, all tokens, context
    assert shown(report.rows, "pretty").splitlines()[2].split()[-7:] == ["1", "5", "0", "0", "?", "≥5", "5"]


@pytest.mark.parametrize("form", FORMS)
def test_forms(world: Path, form: str) -> None:
    """All say the same number of calls."""
    code, out, _ = run(world / "logs", "--agent-log", world / "agent", "--format", form, "--no-output", "--no-cost")
    assert code == 0 and not (world / "logs" / FILE_NAME).exists()
    if form == "json":
        body = json.loads(out)
        assert sum(row["calls"] for row in (*body["turns"], *body["unmatched"])) == 49
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert sum(int(row["calls"]) for row in rows) == 49
    else:
        assert " of 49 calls placed" in out


def test_lines_to_standard_output(world: Path) -> None:
    """`--output -` prints the file instead of the table, and writes none."""
    code, out, _ = run(world / "logs", "--agent-log", world / "agent", "--output", "-")
    assert code == 0 and all(json.loads(line)["_schema"] for line in out.splitlines())
    assert not (world / "logs" / FILE_NAME).exists()


def test_exit_codes(world: Path, tmp_path: Path) -> None:
    """1 where there is nothing, or the file cannot be written; 2 where the command makes no sense."""
    assert run(world / "agent")[0] == 1
    assert run(world / "logs", "--output", tmp_path / "none" / "x.jsonl")[0] == 1
    assert run(world / "logs", "--output", "x", "--no-output")[0] == 2
    assert run(world / "logs", "--since", "gestern")[0] == 2
    assert run(world / "logs", "--run", "no such run")[0] == 1


def test_names_of_others_do_nothing(tmp_path: Path) -> None:
    """Terminal escapes, markup and formulas in names of models, sessions and runs."""
    evil = "\x1b[2J<script>|=1+1`@team\u202e"
    record = {"event": "token_usage", "timestamp": iso(START), "input_tokens": 5, "output_tokens": 1, "model": evil}
    record |= {"request_id": evil, "run": evil, "conversation": evil, "hints": {"messages": 1, "tools_called": [evil]}}
    (tmp_path / "token-usage.jsonl").write_text(json.dumps(record))
    report = turns([str(tmp_path)])
    for form in FORMS:
        out = shown(report.rows, form)
        assert "\x1b" not in out and "\u202e" not in out
    cells = next(csv.DictReader(io.StringIO(shown(report.rows, "csv"))))
    assert not cells["run"].startswith("=")


class TestWriting:
    @given(st.text(alphabet=st.characters()) | st.just("\ud800"))
    def test_any_text_can_be_written(self, text: str) -> None:
        """Also one with a lone surrogate."""
        (line,) = encoded([{"name": text, text: [text]}])
        json.loads(line)

    def test_a_second_run_may_write_again(self, world: Path) -> None:
        """Also where the first one's file is among what a shell's pattern names, or in the folder of the agents' logs."""
        for _ in range(2):
            files = sorted((world / "logs").iterdir())
            code, _, err = run(*files, "--agent-log", str(world))
            assert code == 0 and "Written to" in err
        assert (world / "logs" / FILE_NAME).stat().st_size

    def test_place(self, tmp_path: Path) -> None:
        """Beside the first records that were named."""
        assert place_of(["-", str(tmp_path)]) == str(tmp_path / FILE_NAME)
        assert place_of([str(tmp_path / "token-usage.jsonl")]) == str(tmp_path / FILE_NAME)
        assert place_of(["-"]) == FILE_NAME


class TestSideInputs:
    def test_lines(self) -> None:
        """The shapes that docs/turns.md names."""
        squid = b'1774290909.186 172.30.0.20:55890 evil.example:443 -:- 1.1 CONNECT 403 TCP_DENIED:HIER_NONE x "curl"'
        assert firewall_line(squid) == (1774290909.186, "denied")
        audit = {"timestamp": "2026-03-23T18:35:09.186Z", "decision": "TCP_TUNNEL", "url": "x"}
        assert firewall_line(json.dumps(audit).encode()) == (1774290909.186, "allowed")
        assert firewall_line(b'{"ts": 5.5, "decision": "TCP_DENIED"}') == (5.5, "denied")
        call = {"timestamp": iso(START), "type": "REQUEST", "server_id": "github"}
        call["payload"] = {"method": "tools/call", "params": {"name": "get_me", "arguments": {"x": 1}}}  # type: ignore[assignment]
        assert mcp_line(json.dumps(call).encode()) == (START, "github/get_me")
        assert mcp_line(json.dumps(call | {"type": "RESPONSE"}).encode()) is None
        assert mcp_line(json.dumps(call | {"payload": {"method": "tools/list"}}).encode()) is None
        plain = {"timestamp": iso(START), "server_name": "github", "tool_name": "get_me", "method": "tools/call"}
        assert mcp_line(json.dumps(plain).encode()) == (START, "github/get_me")
        assert safe_output_line(b'{"type": "add_comment", "body": "words"}') == (None, "add_comment")

    @given(st.sampled_from((firewall_line, mcp_line, safe_output_line)), st.binary(max_size=60))
    def test_no_line_fails(self, read: Any, line: bytes) -> None:
        """Any bytes."""
        found = read(line)
        assert found is None or isinstance(found[1], str)

    def test_counts_are_in_the_turns_of_their_time(self, world: Path, tmp_path: Path) -> None:
        """One line in the middle of a turn, one long after all, one without a time."""
        report = turns([str(world / "logs")], [str(world / "agent")])
        turn = next(row for row in report.rows if row["event"] == "turn" and row["turn"] == 2)
        log = tmp_path / "safe.jsonl"
        lines = [{"type": "add_comment", "timestamp": turn["begin"]}, {"type": "noop", "timestamp": iso(START + 1e6)}]
        log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"type": "noop"}]))
        again = turns([str(world / "logs")], [str(world / "agent")], {"safe_outputs": [str(log)]})
        assert [row["beside"] for row in again.rows if "beside" in row] == [{"safe_outputs": {"add_comment": 1}}]
        assert [line for line in again.remarks if "other logs" in line] == [
            "1 line of other logs left out: in no turn.",
            "1 line of other logs left out: without a time.",
        ]


def test_the_page_names_every_member_method_and_reason() -> None:
    """docs/turns.md is complete, with the confidences that hold, and so is the schema."""
    page = (ROOT / "docs" / "turns.md").read_text()
    for name in SCHEMA["properties"]:
        assert f"`{name}`" in page
    for method, surety in METHODS.items():
        other = f"{surety.chosen:.0%}".replace("%", " %") if surety.chosen != surety.sure else ""
        sure = f"{surety.sure:.0%}".replace("%", " %")
        assert f"| `{method}` | {sure} | {other} |".replace("|  |", "| |") in page
    for reason, words in REASONS.items():
        assert f"| `{reason}` | {words} |" in page
    assert set(SCHEMA["properties"]["reason"]["enum"]) == set(REASONS)
    for bound in (CALLS_MAX, EVENTS_MAX):
        assert f"{bound:,}" in page
    assert SCHEMA["properties"]["request_ids"]["maxItems"] == REQUEST_IDS_MAX
    assert SCHEMA["properties"]["tools"]["maxProperties"] == NAMES_MAX
