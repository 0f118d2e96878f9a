"""Counts: what is one, what a usage object says, and what may be recorded of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.counts import RAW_MAX, as_count, normalise, parse, sound
from awfproxy.core.fields import COUNT_MAX


def read(text: str) -> tuple[Any, list[str], bool]:
    """Usage of a JSON text, what was rejected, and whether it was cut."""
    given = parse(text.encode())
    if given is None:
        return None, [], False
    rejected: list[str] = []
    raw, cut = sound(given, rejected.append)
    return normalise(raw, False), rejected, cut


@pytest.mark.parametrize(
    "value", ["true", '"12"', "1.5", "-5", "1e400", "-1e400", "NaN", str(COUNT_MAX + 1), "9" * 400]
)
def test_what_is_no_count_is_rejected_and_never_recorded(value: str) -> None:
    """The bad member goes, the good one stays, and the rejection is counted."""
    usage, rejected, _ = read(f'{{"prompt_tokens":{value},"completion_tokens":7}}')
    assert usage.input_tokens is None
    assert usage.output_tokens == 7
    assert usage.raw == {"completion_tokens": 7}
    assert rejected == ["bad-count"]


@pytest.mark.parametrize(("value", "count"), [(0, 0), (28.0, 28), (COUNT_MAX, COUNT_MAX), (True, None), (None, None)])
def test_whole_numbers_are_counts(value: object, count: int | None) -> None:
    """Bedrock's guardrails write 28.0."""
    assert as_count(value) == count


def test_copilots_details_are_added_up_by_type() -> None:
    """A type may come in parts; what is no count is none of them (cases of AWF's api-proxy)."""
    details = [("input", 100), ("input", 50), ("output", "nope"), ("mystery", 5), ("cache_write", None)]
    items: list[Any] = [{"token_type": name, "token_count": count} for name, count in details]
    usage, _, _ = read(json.dumps({"token_details": [*items, None]}))
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_tokens) == (150, None, None)


@pytest.mark.parametrize("text", ["null", "{}", "[]", "3", '{"a":"b"}', '{"a":{"b":null}}', '{"a":true}', "{", ""])
def test_without_a_number_it_is_no_usage(text: str) -> None:
    """An empty object is not zero tokens."""
    assert parse(text.encode()) is None


def test_text_never_passes() -> None:
    """Strings stay only as short enumerations, keys too."""
    usage, _, _ = read(
        json.dumps(
            {
                "prompt_tokens": 1,
                "service_tier": "standard",
                "note": "the user said hi",
                "the user said": 1,
                "x": "a" * 65,
            }
        )
    )
    assert usage.raw == {"prompt_tokens": 1, "service_tier": "standard"}


def test_other_numbers_are_kept_when_finite() -> None:
    """Costs may be fractions and negative; infinity is nothing."""
    usage, rejected, _ = read(f'{{"prompt_tokens":1,"cost":0.00012,"credit":-1.5,"x":1e400,"y":{2**70}}}')
    assert usage.raw == {"prompt_tokens": 1, "cost": 0.00012, "credit": -1.5}
    assert rejected == ["bad-number", "bad-number"]


def test_a_large_object_is_cut_to_what_is_known() -> None:
    """Unknown members go first, then details."""
    usage, _, cut = read(json.dumps({"prompt_tokens": 1, "more": {f"k{i}": i for i in range(1000)}}))
    assert cut
    assert usage.raw == {"prompt_tokens": 1}
    usage, _, cut = read(json.dumps({"prompt_tokens": 1, "prompt_tokens_details": {f"k{i}": i for i in range(1000)}}))
    assert cut
    assert usage.raw == {"prompt_tokens": 1}


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=100),
        st.dictionaries(
            st.one_of(st.sampled_from(["prompt_tokens", "tokens", "input_tokens", "token_details"]), st.text()), inner
        ),
    ),
    max_leaves=40,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_whatever_comes_the_record_is_sound(value: Any) -> None:
    """Encodable, within its bound, and every figure a count or None."""
    given = parse(json.dumps(value).encode("utf-8", "surrogatepass"))
    if given is None:
        return
    raw, _ = sound(given, lambda reason: None)
    assert len(msgspec.json.encode(raw)) <= RAW_MAX
    usage = normalise(raw, False)
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
        count = getattr(usage, name)
        assert count is None or (type(count) is int and 0 <= count <= 2 * COUNT_MAX)


@pytest.mark.parametrize(
    ("usage", "figures"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}, (10, 3, None, None, None, True)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            (10, 3, 4, 2, 1, True),
        ),
        # xAI's chat: the total shows that reasoning stands beside the completion
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 20,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            (10, 10, None, None, 7, True),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 2},
            },
            (10, 5, 100, 50, 2, False),
        ),
        (
            {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5},
            (10, 5, 4, None, None, True),
        ),
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 7,
                "toolUsePromptTokenCount": 20,
                "cachedContentTokenCount": 3,
            },
            (30, 12, 3, None, 7, True),
        ),
        ({"promptTokenCount": 10, "thoughtsTokenCount": 7}, (10, 7, None, None, 7, True)),
        ({"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 7}, (10, 5, 7, None, None, False)),
        (
            {
                "tokens": {"input_tokens": 10, "output_tokens": 5},
                "billed_units": {"input_tokens": 1},
                "cached_tokens": 2,
            },
            (10, 5, 2, None, None, True),
        ),
        (
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            (10, None, 6, None, None, True),
        ),
        (
            {
                "token_details": [
                    {"token_type": "input", "token_count": 3},
                    {"token_type": "output", "token_count": 4},
                    5,
                ]
            },
            (3, 4, None, None, None, True),
        ),
    ],
)
def test_figures_of_each_shape(usage: dict[str, Any], figures: tuple[Any, ...]) -> None:
    """One meaning for all providers' names (docs/records.md)."""
    said, rejected, _ = read(json.dumps(usage))
    assert rejected == []
    assert (
        said.input_tokens,
        said.output_tokens,
        said.cache_read_tokens,
        said.cache_write_tokens,
        said.reasoning_tokens,
        said.input_tokens_include_cache,
    ) == figures
    assert said.raw == usage


def test_lists_of_token_types_tell_what_was_read_from_the_cache() -> None:
    """Nested at will, summed, and only where nothing else says it."""
    details = [
        {"token_type": "text", "token_count": 12},
        {"token_type": "segment", "token_count": 999, "details": [{"token_type": "cache_read", "token_count": 50}]},
        {"token_type": "cache_read", "token_count": 27},
        "cache_read",
        {"token_type": "cache_read", "token_count": None},
    ]
    usage = normalise({"input_tokens": 120, "prompt_tokens_details": {"details": details}}, False)
    assert usage.cache_read_tokens == 77
    usage = normalise({"input_tokens": 120, "input_tokens_details": {"cached_tokens": 3, "details": details}}, False)
    assert usage.cache_read_tokens == 3
    for nothing in (None, [], "x", {"token_type": "cache_read"}, [{"token_type": "text", "token_count": 1}]):
        usage = normalise({"input_tokens": 120, "prompt_tokens_details": {"details": nothing}}, False)
        assert usage.cache_read_tokens is None
