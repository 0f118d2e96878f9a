"""Single cases of the matching; test_truth.py has the whole."""

from __future__ import annotations

import json
from typing import Any

from awfproxy.report.turns.agent_events import Prompt, Step, Usage
from awfproxy.report.turns.agent_logs import Log
from awfproxy.report.turns.calls import read_calls
from awfproxy.report.turns.matching import match
from awfproxy.report.turns.placements import Placement, Reason
from awfproxy.report.turns.sessions import put_together
from tests.report.turns.traffic import START, iso


def record(name: str, end: float, **more: Any) -> dict[str, Any]:
    row = {"event": "token_usage", "request_id": name, "timestamp": iso(START + end), "duration_ms": 1000.0}
    row |= {"provider": "openai", "model": "gpt-x", "port": "p", "usage_source": "reported"}
    return row | {"input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 0} | more


def step(key: str, end: float | None, usage: Usage | None = None, **more: Any) -> Step:
    when = None if end is None else START + end
    made = Step("s", None, key, None, when, model="gpt-x", usage=usage)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def prompt(time: float, turn_id: str | None = None) -> Prompt:
    return Prompt("s", None, f"p{time}", START + time, turn_id)


def placed(records: list[dict[str, Any]], *events: Prompt | Step) -> dict[str, Placement | Reason]:
    calls = read_calls([json.dumps(row).encode() for row in records]).calls
    sessions = put_together([Log("x", "codex", list(events))] if events else [])
    return {call.request_id or "": where for call, where in zip(calls, match(calls, sessions), strict=True)}


def told(found: dict[str, Placement | Reason]) -> dict[str, Any]:
    return {name: (each.turn, each.method) if isinstance(each, Placement) else each for name, each in found.items()}


def test_ids_decide_whatever_the_counts_and_times() -> None:
    """The provider's id in the log and in the record; a request sent again under the client's id goes along."""
    found = placed(
        [
            record("a", 5000, upstream_request_id="req_1"),
            record("b", 9, client_request_id="c-1"),
            record("c", 11, client_request_id="c-1"),
        ],
        prompt(0),
        step("1", 1, Usage(7, 0, None, 7), ids=("req_1",)),
        prompt(8),
        step("2", 10, ids=("c-1",)),
    )
    assert told(found) == {"a": (1, "request-id"), "b": (2, "request-id"), "c": (2, "request-id")}


def test_a_turns_id_places_calls_that_the_log_has_no_line_for() -> None:
    """The request names the turn, the log begins it."""
    found = placed([record("a", 99, hints={"agent": "codex", "session": "s", "turn": "t2"})], prompt(0), prompt(5, "t2"))
    assert told(found) == {"a": (2, "turn-id")}


def test_equal_counts_are_paired_in_order_where_several_fit() -> None:
    """Three calls alike and three steps alike: the first with the first."""
    alike = Usage(100, 0, None, 10)
    found = placed(
        [record("a", 1.0), record("b", 2.0), record("c", 3.0)],
        prompt(0),
        step("1", 1.1, alike),
        step("2", 2.1, alike),
        prompt(2.2),
        step("3", 3.1, alike),
    )
    assert told(found) == {"a": (1, "usage"), "b": (1, "usage"), "c": (2, "usage")}
    assert all(isinstance(each, Placement) and each.confidence == 0.9 for each in found.values())


def test_what_the_running_total_has_more_is_recognised() -> None:
    """The log lost a line: the call between two others has exactly the tokens that are missing."""
    hints = {"messages": 1, "conversation_hash": "f" * 16}
    found = placed(
        [
            record("a", 1, input_tokens=100, hints=hints),
            record("b", 5, input_tokens=200, output_tokens=20, hints=hints | {"messages": 3}),
            record("c", 9, input_tokens=300, output_tokens=30, hints=hints | {"messages": 5}),
        ],
        prompt(0),
        step("1", 1, Usage(100, 0, None, 10)),
        step("3", 9, Usage(300, 0, None, 30), missing=Usage(200, 0, None, 20)),
    )
    assert told(found) == {"a": (1, "usage"), "b": (1, "running-total"), "c": (1, "usage")}


def test_a_log_without_counts_is_matched_by_time() -> None:
    """Its clock is 7 s ahead; another program's calls at other moments stay out."""
    hints = {"messages": 1, "conversation_hash": "a" * 16}
    other = {"messages": 1, "conversation_hash": "b" * 16}
    times = [3.0, 11.5, 14.0, 27.0, 31.0]
    records = [record(f"r{time}", time, hints=hints) for time in times]
    records += [record(f"o{time}", time, hints=other) for time in (7.2, 19.0, 22.0)]
    events: list[Prompt | Step] = [step(str(time), time + 7.0) for time in times]
    found = placed(records, prompt(6), *events[:3], prompt(28), *events[3:])
    assert [told(found)[f"r{time}"] for time in times] == [(1, "time")] * 3 + [(2, "time")] * 2
    assert {told(found)[f"o{time}"] for time in (7.2, 19.0, 22.0)} == {"unlike"}


def test_a_named_session_places_calls_by_their_time() -> None:
    """Side calls that the agent does not write down; and a session of which there is no log."""
    hints = {"agent": "codex", "session": "s"}
    found = placed(
        [record("a", 3, hints=hints), record("b", 30, hints=hints), record("c", 3, hints=hints | {"session": "t"})],
        prompt(0),
        step("1", 5, Usage(9000, 0, None, 90)),
        prompt(20),
    )
    assert told(found) == {"a": (1, "session"), "b": (2, "session"), "c": "other-session"}


def test_reasons_are_told() -> None:
    """No log at all, none at that time, no call like this one in it, no time to go by."""
    assert told(placed([record("a", 1)])) == {"a": "no-log"}
    found = placed(
        [record("a", 5), record("b", 90_000), record("c", 5) | {"timestamp": "yesterday"}],
        prompt(0),
        step("1", 1, Usage(9000, 0, None, 90)),
        step("2", 9, Usage(9900, 0, None, 90)),
    )
    assert told(found) == {"a": "unlike", "b": "no-log", "c": "no-time"}


def test_another_agents_calls_are_not_taken_for_this_ones() -> None:
    """The counts are equal, but the request says that it is Claude Code's."""
    found = placed(
        [record("a", 1, hints={"agent": "claude-code", "conversation_hash": "a" * 16})],
        prompt(0),
        step("1", 1, Usage(100, 0, None, 10)),
    )
    assert told(found) == {"a": "unlike"}


def test_calls_that_named_their_turn_find_their_lines() -> None:
    """The method stays; only a line of the same turn with the same counts is the call's, and each is taken once."""
    turn = {"agent": "codex", "session": "s", "turn": "t1"}
    found = placed(
        [record(name, end, hints=turn) for name, end in (("a", 2), ("b", 3))]
        + [record("c", 4, hints=turn, input_tokens=101)],
        prompt(0, "t1"),
        step("1", 2, Usage(100, 0, None, 10), turn_id="t1"),
        prompt(5, "t2"),
        step("2", 6, Usage(100, 0, None, 10), turn_id="t2"),
    )
    assert told(found) == dict.fromkeys("abc", (1, "turn-id"))
    assert {name: each.step for name, each in found.items() if isinstance(each, Placement)} == {
        "a": 0, "b": None, "c": None
    }  # fmt: skip
