"""Token usage by turn: the file's sums are the records' sums, and a turn stays whole."""

import io
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.prices.price_list import open_price_list
from awfproxy.report import by_turn as module
from awfproxy.report.by_turn import SEVERAL, ByTurn, by_turn, turn_files
from awfproxy.report.costs import PICO, Costs
from awfproxy.report.filters import Filters
from awfproxy.report.rows import COUNTS
from awfproxy.report.token_usage import View, token_usage
from awfproxy.report.token_usage_forms import FORMS
from awfproxy.report.turns.report import turns
from awfproxy.report.turns.writing import encoded
from tests.report.html.made import turn, write

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "report-token-usage.json").read_text())
PRICES = open_price_list()
counts = st.integers(0, 300_000)


@st.composite
def records(draw: st.DrawFn) -> list[bytes]:
    made = []
    for number in range(draw(st.integers(1, 12))):
        minute = draw(st.integers(0, 59))
        record = {
            "event": "token_usage",
            "request_id": str(number),
            "timestamp": f"2026-06-01T10:{minute:02}:00.000Z",
            "provider": draw(st.sampled_from(["openai", "anthropic", "generic"])),
            "model": draw(st.sampled_from(["gpt-5", "claude-sonnet-4-5", "nobody-knows"])),
            **{name: draw(counts) for name in COUNTS[:4]},
            "conversation": draw(st.sampled_from(["a", "b", None])),
            "run": draw(st.sampled_from(["r", "s", None])),
            "usage_source": draw(st.sampled_from(["reported", "partial", "estimated"])),
            "unknown": draw(st.lists(st.sampled_from(COUNTS[:4]), unique=True, max_size=2)) or None,
        }
        made.append(json.dumps({name: value for name, value in record.items() if value is not None}).encode() + b"\n")
    return made


def read(rows: list[dict[str, Any]], *by: str) -> ByTurn:
    return by_turn(["-"], by or ("turn",), io.BytesIO(b"".join(encoded(rows))))


@given(records(), st.sampled_from([("turn",), ("model", "turn"), ("turn", "run", "day")]))
@settings(deadline=None)
def test_the_totals_are_the_records(made: list[bytes], by: tuple[str, ...]) -> None:
    """Tokens to the last one, with what of them is not known; dollars to the nano-dollar of each turn."""
    text = b"".join(made)
    whole = token_usage(["-"], (), io.BytesIO(text), Costs(PRICES, 0.0)).overall
    report = turns(["-"], costs=Costs(PRICES, 0.0), stdin=io.BytesIO(text))
    found = read(report.rows, *by).overall
    assert found.calls == whole.calls
    assert found.sums == whole.sums
    assert (found.total.known, found.total.unknown) == (whole.total.known, whole.total.unknown)
    assert +found.sources == +whole.sources
    assert found.unpriced == whole.unpriced
    assert abs(found.cost.known - whole.cost.known) <= PICO / 10**9 * len(report.rows)
    assert bool(found.cost.unknown) == bool(whole.cost.unknown)


def test_what_does_not_say_its_cost_is_not_free() -> None:
    """Turns that were written without prices have no cost, and those of which a part has none a least one."""
    bare = turn(1)
    del bare["cost_usd"]
    assert read([bare]).costs is None
    report = read([turn(2), bare | {"unpriced_calls": bare["calls"]}])
    assert report.costs is not None
    assert report.overall.cost.unknown == bare["calls"]
    assert "≥$" in report.render("pretty")


def test_turns_stand_in_order(tmp_path: Path) -> None:
    """By session and number, not by size or as texts; what has no turn comes last."""
    rows = [turn(number) for number in (10, 9, 2)]
    rows.append({"event": "unmatched", "reason": "no-log", "calls": 5, "all_tokens": 7})
    groups = read(rows).grouped.groups()
    assert [group.key for group in groups] == [("s", "2"), ("s", "9"), ("s", "10"), (None, None)]


def test_a_sub_agent_is_a_part_of_the_turn() -> None:
    """Its tokens are the turn's."""
    report = read([turn(1), turn(1, subagent="x")])
    assert [group.key for group in report.grouped.groups()] == [("s", "1")]
    assert report.overall.calls == 2 * turn(1)["calls"]


def test_a_turn_of_several_models_is_not_divided() -> None:
    """Nor counted as the first one's."""
    report = read([turn(1, models={"a": 1, "b": 1}), turn(2, models={"a": 2})], "model", "turn")
    assert {group.key[0] for group in report.grouped.groups()} == {SEVERAL, "a"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_takes_hostile_names(form: str) -> None:
    """Nothing unprintable gets out of session, run or model."""
    evil = "\x1b[2J\u202e\x9b=1"
    text = read([turn(1, session=evil, run=evil, models={evil: 1})], "turn", "run", "model").render(form, View(width=80))
    assert text.replace("\r\n", "").replace("\n", "").isprintable()


def test_the_json_is_as_published() -> None:
    """The schema of `awf logs token-usage` holds."""
    jsonschema.validate(json.loads(read([turn(1), turn(2)], "turn", "day").render("json")), SCHEMA)


def test_too_many_turns_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no file can fill the memory; the totals stay whole."""
    monkeypatch.setattr(module, "GROUPS_MAX", 2)
    report = read([turn(number) for number in range(1, 6)])
    assert len(report.grouped.groups()) == 3
    assert report.grouped.overflowed == 3 * turn(1)["calls"]
    assert report.overall.calls == 5 * turn(1)["calls"]


def test_whole_turns_are_chosen(tmp_path: Path) -> None:
    """By run, and by when they began."""
    path = write(tmp_path, "t.jsonl", [turn(1, run="r"), turn(2, run="other")])
    report = by_turn([str(path)], ("turn",), filters=Filters(members={"run": ("r",)}))
    assert [group.key for group in report.grouped.groups()] == [("s", "1")]


def test_which_files(tmp_path: Path) -> None:
    """Named under any name, in a folder, beside records; each once."""
    records = write(tmp_path, "token-usage.jsonl", [{"event": "token_usage", "input_tokens": 1}])
    assert turn_files([str(records)]) == []
    path = write(tmp_path, "token-usage-by-turn.jsonl", [turn(1)])
    other = write(tmp_path, "mine.jsonl", [turn(1)])
    assert turn_files([str(records), str(tmp_path), str(path)]) == [str(path)]
    assert turn_files([str(other), "-"]) == [str(other), "-"]


def test_what_is_no_turn_is_counted(tmp_path: Path) -> None:
    """And what was met before."""
    report = read([turn(1), turn(1), {"event": "request"}])
    assert report.remarks.sentences() == [
        "1 turn met again, counted once.",
        "1 line skipped: 1 not as in a record.",
    ]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_turn_without_calls_is_shown(form: str) -> None:
    """An agent's log has turns of which no call was recorded, beside calls whose figures are estimates."""
    rows = [turn(1, calls=0, sources={}), turn(2, calls=1, sources={"estimated": 1})]
    assert read(rows).render(form)


def test_turns_in_a_pipe(tmp_path: Path) -> None:
    """Named like a file."""
    number, into = os.pipe()
    os.write(into, b"".join(encoded([turn(1)])))
    os.close(into)
    files = turn_files([f"/dev/fd/{number}"])
    assert by_turn(files, ("turn",)).found
    os.close(number)
