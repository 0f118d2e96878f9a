"""Lines read as rows: ours and AWF's; unknown is None; what is no record is told apart."""

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.fields import COUNT_MAX
from awfproxy.core.records import TokenUsageRecord, encode
from awfproxy.prices.price_list import open_price_list
from awfproxy.report.analysis.analysis import analyse
from awfproxy.report.costs import Costs
from awfproxy.report.rows import COUNTLESS, LABELS, MALFORMED, MISTYPED, OTHER, Row, UsageRow, decoded, read_row
from awfproxy.report.token_usage import token_usage
from awfproxy.report.turns.calls import read_calls


def line(**fields: Any) -> bytes:
    return json.dumps({"event": "token_usage", "input_tokens": 1, "output_tokens": 2, **fields}).encode()


def row(**fields: Any) -> Row:
    found = read_row(line(**fields))
    assert isinstance(found, Row)
    return found


def test_reads_a_record_as_the_proxy_writes_it() -> None:
    """The writer's own encoder on one side, the reader on the other."""
    written = TokenUsageRecord(
        timestamp="2026-01-02T03:04:05.678Z",
        request_id="r1",
        provider="anthropic",
        model="claude",
        path="/v1/messages",
        status=200,
        streaming=True,
        input_tokens=10,
        output_tokens=20,
        cache_read_tokens=30,
        cache_write_tokens=0,
        input_tokens_include_cache=False,
        usage_source="partial",
        unknown=["cache_write_tokens"],
        outcome="complete",
        port="a",
        duration_ms=1.5,
        request_bytes=1,
        response_bytes=2,
    )
    read = read_row(encode(written))
    assert isinstance(read, Row)
    assert (read.input_tokens, read.output_tokens, read.cache_read_tokens, read.cache_write_tokens) == (
        10,
        20,
        30,
        None,
    )
    assert (read.provider, read.model, read.port, read.outcome) == ("anthropic", "claude", "a", "complete")
    assert (read.usage_source, read.request_id, read.reasoning_tokens) == ("partial", "r1", None)


def test_what_the_record_does_not_know_is_none() -> None:
    """A 0 whose name is in `unknown` is no 0."""
    found = row(input_tokens=0, cache_read_tokens=0, unknown=["input_tokens", "status", "event"])
    assert (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens) == (None, 0, None)


@pytest.mark.parametrize(
    ("fields", "total"),
    [
        ({"provider": "openai", "cache_read_tokens": 1}, 1),
        ({"provider": "openai", "cache_read_tokens": 5}, 6),
        ({"provider": "openai", "cache_read_tokens": 5, "input_tokens_include_cache": True}, 1),
        ({"provider": "openai", "cache_read_tokens": 5, "unknown": ["cache_read_tokens"]}, 1),
        ({"provider": "copilot", "input_tokens": 3857, "cache_write_tokens": 12539}, 16_396),
        ({"provider": "copilot", "input_tokens": 5000, "cache_write_tokens": 12, "cache_read_tokens": 9}, 5_021),
        ({"provider": "copilot", "input_tokens": 5000, "cache_write_tokens": 12, "unknown": ["cache_write_tokens"]}, 5_000),
        ({"provider": "copilot", "input_tokens": 10, "cache_read_tokens": 50_000, "cache_write_tokens": 2000}, 52_010),
        ({"provider": "copilot", "input_tokens": 5000, "cache_read_tokens": 4096}, 5_000),
        ({"provider": "anthropic", "cache_read_tokens": 5, "cache_write_tokens": 7}, 13),
        ({"provider": "openai", "cache_read_tokens": 5, "input_tokens_include_cache": False}, 6),
        ({"provider": "anthropic", "cache_read_tokens": 5, "input_tokens_include_cache": True}, 1),
        ({"provider": "anthropic"}, 1),
        ({"unknown": ["input_tokens"]}, None),
    ],
)
def test_all_input_is_comparable_between_providers(fields: dict[str, Any], total: int | None) -> None:
    """The record's own flag tells, else the provider's name and the figures (AWF's records have no flag)."""
    found = row(**fields)
    assert found.all_input_tokens == total
    assert found.known_tokens == (total or 0) + (found.output_tokens or 0)


def test_cached_tokens_are_known_where_the_input_is_not() -> None:
    """They are a part of what was read, whether the input counts them or not."""
    for flag in (None, False, True):
        found = row(input_tokens=0, output_tokens=5, cache_read_tokens=90, cache_write_tokens=7,
                    input_tokens_include_cache=flag, unknown=["input_tokens"])  # fmt: skip
        assert (found.all_input_tokens, found.known_tokens) == (None, 102)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", MALFORMED),
        (b"{", MALFORMED),
        (b"\xff\xfe", MALFORMED),
        (b"[" * 10_000, MISTYPED),
        (b'{"a":' * 100_000, MALFORMED),
        (b'{"model": "\xff"}', MALFORMED),
        (b'{"model": "\\ud800"}', MALFORMED),
        (line(model="x")[:-3], MALFORMED),
        (b"null", MISTYPED),
        (b"[]", MISTYPED),
        (line(input_tokens=-1), MISTYPED),
        (line(input_tokens="12"), MISTYPED),
        (line(input_tokens=True), MISTYPED),
        (line(input_tokens=1.5), MISTYPED),
        (line(input_tokens=COUNT_MAX + 1), MISTYPED),
        (line(model=7), MISTYPED),
        (b'{"event": "token_usage"}', COUNTLESS),
        (b"{}", COUNTLESS),
    ],
)
def test_broken_lines(broken: bytes, reason: str) -> None:
    """Counts that no provider can have meant spoil the line, rather than the sum; what is wrong is told."""
    assert read_row(broken) == reason


def test_records_of_another_kind() -> None:
    """requests.jsonl is no file of usage, and no broken one."""
    assert read_row(line(event="request")) == OTHER
    assert read_row(b'{"event": "request", "status": "x", "model": 7}') == OTHER


def test_a_usage_object_is_given_to_those_who_ask() -> None:
    """Whatever it is: nothing of it is checked here."""
    for usage in ({"a": {"b": 1}}, [1], None, "x"):
        found = decoded(line(usage=usage), msgspec.json.Decoder(UsageRow).decode)
        assert not isinstance(found, str)
        assert found.usage == usage


def test_a_call_belongs_to_the_time_of_its_admission() -> None:
    """As in budgets; AWF's records know only their end."""
    assert row(timestamp="b", admitted_at="a").when == "a"
    assert row(timestamp="b").when == "b"


@given(st.binary())
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Nothing raises."""
    read_row(data)
    read_row(b'{"event":"token_usage","input_tokens":1,"model":"' + data + b'"}')


def test_a_line_that_is_mistyped_and_torn_is_malformed() -> None:
    """What is wrong first does not hide that the rest is no JSON."""
    assert read_row(b'{"event":"token_usage","input_tokens":"5","output_tokens":') == "malformed"


@given(st.sampled_from(sorted(LABELS)), st.sampled_from([5, 1.5, True, [], {"a": [1]}]))
def test_a_label_of_another_type_is_not_said(label: str, value: Any) -> None:
    """The rest of the record counts as it stands, other labels too."""
    others = {name: "x" for name in LABELS if name != label}
    found = read_row(line(**others, **{label: value}, input_tokens=7))
    assert not isinstance(found, str) and found.input_tokens == 7 and getattr(found, label) is None
    assert all(getattr(found, name) == "x" for name in others)


@pytest.mark.parametrize("by", ["run", "model", "user"])
def test_calls_with_odd_labels_are_in_every_group(by: str) -> None:
    """With a cost, also where that takes a second look at the line."""
    odd = [line(request_id=f"r{place}", provider="openai", model="gpt-5", run=run, input_tokens=1_000, output_tokens=1,
                usage={"service_tier": tier}) for place, (run, tier) in enumerate([(5, "flex"), ("a", None), ([], None)])]
    report = token_usage(["-"], (by,), io.BytesIO(b"\n".join(odd)), Costs(open_price_list(), 0.0))
    assert report.overall.calls == 3 and report.remarks.skipped == 0 and report.overall.cost.calls == 3
    assert len(read_calls(odd).calls) == 3
    assert analyse(["-"], stdin=io.BytesIO(b"\n".join(odd))).whole.calls == 3


@pytest.mark.parametrize("hints", [{"agent": "gemini-cli"}, {"agent": 5}, {"tools_bytes": -1}, {"messages": "x"}, 7])
def test_odd_hints_cost_no_call(hints: Any) -> None:
    """In no report."""
    odd = line(request_id="r", hints=hints, duration_ms=5, status=500, input_tokens=9)
    assert [call.counts[0] for call in read_calls([odd]).calls] == [9]
    assert read_calls([line(input_tokens=9, duration_ms="x", initiator=4)]).calls
    assert analyse(["-"], stdin=io.BytesIO(odd)).whole.calls == 1
