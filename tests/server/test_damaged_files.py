"""One damaged line, or file, of those that the service reads back: it is passed over and counted, and nothing else.

msgspec has two errors for such that are not its own: `UnicodeDecodeError` for a byte within a text that is no UTF-8,
`RecursionError` for what is nested too deep.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.core.usage_line import decode_usage_line
from awfproxy.server.alert_book import AlertBook
from awfproxy.server.holdings_file import HoldingsFile, dead
from awfproxy.server.recovery import recover
from awfproxy.server.unfinished import unfinished
from awfproxy.state.stored_budgets import NAME, StoredBudgets
from tests.server.test_bookkeeper import TODAY, Stage
from tests.server.test_bookkeeper import stage as stage
from tests.server.test_journal_tail import append, line

DAMAGED = {
    "no object": b"\xff\xfe\x00garbage\n",
    "another object": b"{}\n",
    "a byte in a value": line(2).replace(b'"model":"', b'"model":"\xff', 1),
    "a byte in a name": line(2).replace(b'"model"', b'"mo\xffdel"', 1),
    "half a letter, then another line": line(2).rstrip(b"\n")[:-20] + b"\xc3" + line(4),
    "nested deep": line(2).rstrip(b"\n}") + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}\n",
}


def test_the_lines_are_damaged_in_these_ways() -> None:
    """None of them is a usage line, and each error is one of those that are reckoned with."""
    for each in DAMAGED.values():
        with pytest.raises(UNDECODABLE):
            decode_usage_line(each)
    assert len(set(DAMAGED.values())) == len(DAMAGED)


@pytest.mark.parametrize("how", DAMAGED)
def test_the_ledger_goes_on_behind_it(stage: Stage, how: str) -> None:
    """The lines before and after are rows, and the mark moves; the one is counted."""
    stage.path.write_bytes(line(1) + DAMAGED[how])
    append(stage.path, 3)
    stage.keeper.start()
    stage.turn(5)
    assert (stage.keeper.recorded, stage.keeper.skipped, stage.keeper.trouble) == (2, 1, None)
    assert stage.mark.at > 0


def test_a_file_that_begins_with_it(stage: Stage) -> None:
    """Files are put in order by their first lines: the rest of this one is read all the same."""
    stage.path.write_bytes(DAMAGED["a byte in a value"])
    append(stage.path, 2, 3)
    stage.keeper.start()
    stage.turn(5)
    assert stage.keeper.recorded == 2


@pytest.mark.parametrize("how", DAMAGED)
def test_a_start_recovers_around_it(tmp_path: Path, how: str) -> None:
    """In either file: request lines that are missing are made from the usage lines that can be read."""
    usage, requests = tmp_path / "token-usage.jsonl", tmp_path / "requests.jsonl"
    usage.write_bytes(DAMAGED[how] + line(5))
    requests.write_bytes(DAMAGED[how])
    found = recover(str(usage), str(requests))
    assert b'"request_id":"r5"' in b"".join(found.lines)


def test_work_in_the_background_is_found_around_it(tmp_path: Path) -> None:
    """A start looks for work that had not ended."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"port":"p","usage_reason":"background","response_id_hash":"\xff"}\n')
    assert not unfinished(str(path)).get("p")


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a dead process left, with a damaged name in it."""
    file = HoldingsFile(str(tmp_path))
    file.holding(TODAY)
    file.close()
    path = Path(file.path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"p"') + 1] = 0xFF
    path.write_bytes(data)
    return path


def test_figures_of_the_dead_are_not_believed(stage: Stage, left: Path) -> None:
    """And what it had is given up by what it told last; the file goes, and rounds go on."""
    (found,) = dead(str(stage.folder))
    assert found.helds is None
    found.close()
    append(stage.path, 1)
    stage.keeper.start()
    stage.turn(5)
    assert (stage.keeper.recorded, stage.keeper.trouble) == (1, None)
    assert not left.exists()


@pytest.mark.parametrize("text", [b'[{"alert":{"event":"\xff"}}]', b'["\xff"]', b"[" * 5000])
def test_alerts_that_were_told_are_not_known(text: bytes) -> None:
    """It says so: they may be told again."""
    assert AlertBook(text, 0.0).damaged


def test_budgets_that_were_stored_are_not_known(tmp_path: Path) -> None:
    """Until the ledger tells them."""
    (tmp_path / NAME).write_bytes(b'[{"scope":{"port":"\xff"},"fields":{},"changed_by":"x","changed_at":1}]')
    assert StoredBudgets(str(tmp_path)).read() is None
