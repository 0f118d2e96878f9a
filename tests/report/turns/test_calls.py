"""Reading records for turns."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.turns.agent_events import Prompt, Step, Usage
from awfproxy.report.turns.agent_logs import Log
from awfproxy.report.turns.calls import read_calls
from awfproxy.report.turns.matching import match
from awfproxy.report.turns.proxy_turns import tell_turns
from awfproxy.report.turns.sessions import put_together
from awfproxy.report.turns.tally import Tally
from awfproxy.report.turns.turn_rows import rows_of_logs, rows_of_records
from tests.report.turns.traffic import START, iso

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
TIMES = st.sampled_from(
    [iso(START), iso(START + 1), iso(START + 60), "0001-01-01T00:00:00", "9999-12-31T23:59:59+14:00", "x", None]
)
SMALL = st.sampled_from([0, 1, 5, 100, None])
NAMES = st.sampled_from(["a", "b", None])
HINTS = st.fixed_dictionaries(
    {},
    optional={
        "agent": st.sampled_from(["codex", "claude-code"]),
        "session": NAMES,
        "turn": NAMES,
        "subagent": NAMES,
        "messages": SMALL,
        "conversation_hash": NAMES,
        "tools_called": st.lists(st.sampled_from("xy"), max_size=2),
        "tool_result_hashes": st.lists(st.sampled_from("xy"), max_size=2),
        "previous_response_id_hash": NAMES,
        "response_id_hash": NAMES,
        "tools_bytes": SMALL,
    },
)
RECORDS = st.fixed_dictionaries(
    {"timestamp": TIMES, "usage_source": st.sampled_from(["reported", "partial", "estimated"]), "input_tokens": SMALL},
    optional={
        **dict.fromkeys(COUNTS[1:], SMALL),
        "duration_ms": st.sampled_from([0, 1.5, -7, 1e308, 5e15]),
        "model": NAMES,
        "run": NAMES,
        "conversation": NAMES,
        "unknown": st.lists(st.sampled_from((*COUNTS, "status", "")), max_size=2),
        "upstream_request_id": NAMES,
        "client_request_id": NAMES,
        "initiator": st.sampled_from(["user", "agent", "x"]),
        "hints": st.none() | HINTS,
    },
)
EVENTS = st.lists(
    st.builds(
        lambda turn, key, time, output: (
            Prompt("a", None, f"p{key}", time, turn)
            if turn
            else Step("a", None, key, time, time, (key,), usage=Usage(output, 0, None, output))
        ),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from("abcd"),
        st.sampled_from([None, START, START + 1, START + 59.0]),
        SMALL,
    ),
    max_size=8,
)


@given(st.lists(RECORDS, max_size=8), EVENTS)
def test_any_records_and_any_logs_give_rows_with_all_calls(records: list[dict[str, Any]], events: list[Any]) -> None:
    """Times that are none, durations that cannot be, ids that many share: each call once, sums as they were."""
    lines = [json.dumps({"event": "token_usage", "request_id": f"r{place}", **row}).encode() for place, row in enumerate(records)]
    found = read_calls(lines)
    calls = found.calls
    assert len(calls) + found.remarks.skipped == len(records)
    sessions = put_together([Log("x", "codex", events)])
    for rows in (
        rows_of_logs(calls, sessions, match(calls, sessions)),
        rows_of_records(calls, tell_turns(calls)),
    ):
        assert sum(row["calls"] for row in rows) == len(calls)
        for place, name in enumerate(COUNTS):
            assert sum(row.get(name, 0) for row in rows) == sum(call.counts[place] or 0 for call in calls)
        assert all(0 <= row.get("confidence", 0) <= 1 for row in rows)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_line_makes_reading_fail(lines: list[bytes]) -> None:
    """Any bytes are told as skipped."""
    found = read_calls(lines)
    assert found.calls == [] and found.remarks.skipped + found.remarks.bad.get("other", 0) <= len(lines)


def test_awfs_records_and_ours_mean_the_same() -> None:
    """Whether the input counts the cached tokens is told by the record, else by its provider and its figures."""
    row: dict[str, Any] = {"input_tokens": 10, "output_tokens": 1, "cache_read_tokens": 90, "cache_write_tokens": 5}
    lines = [row | {"provider": "anthropic"}, row | {"provider": "openai"}]
    lines.append(row | {"provider": "anthropic", "input_tokens_include_cache": True})
    lines.append(row | {"provider": "openai", "input_tokens": 96})
    lines.append(row | {"provider": "copilot", "input_tokens": 97})
    calls = read_calls(json.dumps(line).encode() for line in lines).calls
    assert sorted(call.usage.prompt or 0 for call in calls) == [10, 96, 105, 105, 192]


def test_cached_tokens_count_where_the_input_is_not_known() -> None:
    """In the sum of all tokens, as in the other reports; the input itself stays unknown."""
    row = {"provider": "openai", "input_tokens": 0, "output_tokens": 5, "cache_read_tokens": 90, "cache_write_tokens": 2}
    (call,) = read_calls([json.dumps(row | {"unknown": ["input_tokens"]}).encode()]).calls
    tally = Tally()
    tally.add(call)
    facts = tally.facts()
    assert call.usage.prompt is None and "input_tokens" not in facts
    assert (facts["all_tokens"], facts["unknown"]["all_tokens"]) == (97, 1)
