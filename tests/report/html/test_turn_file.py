"""The file of turns: what is read of it, once, and within bounds."""

from pathlib import Path

import pytest

from awfproxy.report.html import turn_file
from awfproxy.report.html.turn_file import TurnFile
from awfproxy.report.turns import turn_file as reading
from awfproxy.report.turns.turn_file import files_of
from tests.report.html.made import turn, write


def read(*files: Path) -> TurnFile:
    found = TurnFile()
    found.read([str(path) for path in files])
    return found


def test_turns_and_what_has_none(tmp_path: Path) -> None:
    """Sums are over all rows; a row without a turn is none."""
    unmatched = {"event": "unmatched", "reason": "no-log", "calls": 5, "all_tokens": 7}
    found = read(write(tmp_path, "t.jsonl", [turn(1), turn(2, cost_usd=1.5), unmatched]))
    assert (found.turns, found.calls, found.unmatched, found.tokens) == (2, 11, 5, 2_007)
    assert found.cost == 1.75
    assert [each.turn for each in found.dearest()] == [2, 1]


def test_a_row_counts_once(tmp_path: Path) -> None:
    """However many files hold it; another sub-agent's part of the turn is another row."""
    one = write(tmp_path, "a.jsonl", [turn(1), turn(1, subagent="x")])
    other = write(tmp_path, "b.jsonl", [turn(1), turn(2), turn(1, session="other")])
    assert read(one, other).turns == 4


def test_sessions_are_in_order(tmp_path: Path) -> None:
    """The dearest first, turns by number, the turn's own part before those of its sub-agents."""
    rows = [turn(2), turn(1, subagent="x"), turn(1), turn(1, session="dear", cost_usd=9.0)]
    sessions = read(write(tmp_path, "t.jsonl", rows)).sessions()
    assert [name for name, _ in sessions] == ["dear", "s"]
    assert [(each.turn, each.subagent) for each in sessions[1][1]] == [(1, None), (1, "x"), (2, None)]


def test_the_dearest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many; the sums are over all."""
    monkeypatch.setattr(turn_file, "TURNS_MAX", 3)
    rows = [turn(number, cost_usd=float(number % 7)) for number in range(20)]
    found = read(write(tmp_path, "t.jsonl", rows))
    assert [each.cost_usd for each in found.dearest()] == [6.0, 6.0, 5.0]
    assert found.turns == 20
    assert found.cost == sum(row["cost_usd"] for row in rows)


def test_what_is_no_row(tmp_path: Path) -> None:
    """Is skipped and counted; rows without end are not read to theirs."""
    path = write(tmp_path, "t.jsonl", [turn(1), {"event": "request"}, turn(2, calls=-1), turn(3, cost_usd="x"), turn(4)])
    with path.open("ab") as file:
        file.write(b"\xff\xfe{}\n" + b"[" * 100_000 + b"\n\n")
    found = read(path)
    assert (found.turns, found.skipped) == (2, 5)


def test_rows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not read, and that is told."""
    monkeypatch.setattr(reading, "ROWS_MAX", 2)
    found = read(write(tmp_path, "t.jsonl", map(turn, range(5))))
    assert found.turns == 2
    assert found.troubles == ["More than 2 turns: the others were not read."]


def test_which_files(tmp_path: Path) -> None:
    """By their names, in folders and where they are named."""
    path = write(tmp_path, "token-usage-by-turn.jsonl", [])
    other = write(tmp_path, "token-usage.jsonl", [])
    assert files_of([str(tmp_path)]) == files_of([str(path), str(other)]) == [str(path)]
