"""Memory is bounded: what is forgotten is counted, and never makes a finding that is none."""

from __future__ import annotations

import gc
import random

import pytest

from awfproxy.report.analysis import amounts, board, conversations, toolsets, turn_names
from tests.report.analysis.traffic import (
    PATTERNS,
    START,
    Agent,
    Record,
    analysed,
    clean,
    growing,
    in_time,
    overequipped,
)


def many_at_once(dice: random.Random, count: int) -> list[Record]:
    return in_time(record for _ in range(count) for record in growing(dice))


def test_conversations_without_calls_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told how many; what is found in the others stays."""
    records = many_at_once(random.Random(1), 12)
    assert analysed(records).notes == []
    monkeypatch.setattr(conversations, "CONVERSATIONS_MAX", 4)
    analysis = analysed(records)
    assert any("forgotten" in note for note in analysis.notes)
    assert {finding.code for finding in analysis.findings} <= {"context-growth"}
    assert analysis.whole.calls == len(records)


def test_hashes_are_bounded_over_all_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in each of them."""
    monkeypatch.setattr(conversations, "HASHES_MAX", 10)
    assert any("forgotten" in note for note in analysed(clean(random.Random(2), 6)).notes)
    monkeypatch.setattr(conversations, "HASHES_OF_ONE_MAX", 3)
    monkeypatch.setattr(conversations, "HASHES_MAX", 10_000)
    agent = Agent(random.Random(1)).work(8)
    same = ("Bash", agent.hash(), agent.hash())
    for _ in range(5):
        agent.use(same)
        agent.call()
    assert analysed(agent.records).findings == []


def test_forgetting_finds_nothing_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of clean traffic nothing, however little is remembered."""
    monkeypatch.setattr(conversations, "CONVERSATIONS_MAX", 1)
    monkeypatch.setattr(toolsets, "TOOLSETS_MAX", 1)
    for seed in range(20):
        assert analysed(clean(random.Random(seed), 6)).findings == []


def test_sets_of_tools_are_done_with_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many runs is judged, when newer ones need its place."""
    monkeypatch.setattr(toolsets, "TOOLSETS_MAX", 2)
    records = []
    for number in range(6):
        equipped = overequipped(random.Random(number), START + 1_000 * number)
        records += [record | {"run": f"run-{number}"} for record in equipped]
    finding = analysed(records).finding("unused-tool-schemas")
    assert finding is not None and finding.cases == 6


def test_nothing_is_left_in_cycles() -> None:
    """Memory is given back without anybody looking for cycles, and those who look do so again afterwards."""

    def left(calls: int) -> int:
        records = in_time(record for seed in range(calls // 50) for record in everything(random.Random(seed)))
        gc.collect()
        analysed(records, costs=None)
        return gc.collect()

    left(50)
    assert abs(left(1_000) - left(50)) < 50
    assert gc.isenabled()


def everything(dice: random.Random) -> list[Record]:
    return [record for make in PATTERNS.values() for record in make(dice)]


def test_places_and_cases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many runs the first ones are told apart; sums are whole."""
    monkeypatch.setattr(amounts, "PLACES_MAX", 3)
    monkeypatch.setattr(board, "EVIDENCE_MAX", 2)
    records = [
        record | {"run": f"run-{number}"} for number in range(9) for record in growing(random.Random(number))
    ]
    analysis = analysed(records)
    (finding,) = analysis.findings
    assert (finding.cases, len(finding.evidence)) == (9, 2)
    assert [name for name, _ in analysis.places.by(0)].count(amounts.OTHERS) == 1
    assert len(analysis.places.amounts) == 4
    assert analysis.places.sum().calls == len(records)


def test_the_turns_of_many_calls_are_bounded(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much is told."""
    monkeypatch.setattr(turn_names, "CALLS_MAX", 2)
    path = f"{tmp_path}/token-usage-by-turn.jsonl"
    with open(path, "w") as file:
        file.write('{"event":"turn","session":"s","turn":1,"request_ids":["a","b","c"]}\n{"event":"turn"}\nnothing\n')
        file.write('{"event":"unmatched","reason":"no-log","request_ids":["z"]}\n')
    names = turn_names.TurnNames([path])
    assert (names.of("a"), names.of("c"), names.of(None)) == ("s/1", None, None)
    assert (names.overflowed, names.skipped) == (1, 2)
