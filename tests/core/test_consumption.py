"""What a call consumed: each token in one class, none below 0, the same from usage and from the record made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from awfproxy.core.consumption import Consumption, consumption, of_record
from awfproxy.core.counts import normalise
from awfproxy.core.records import RequestRecord, TokenUsageRecord, token_usage

#: usage objects as providers write them, whether their input is without cached tokens, and what they come to
CASES: list[tuple[dict[str, Any], bool, Consumption]] = [
    # Anthropic: input is without what was read and written.
    (
        {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30, "output_tokens": 5},
        True,
        Consumption(input=10, cache_read=200, cache_write=30, output=5),
    ),
    # Of what it wrote a part is kept for an hour.
    (
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 18, "ephemeral_1h_input_tokens": 12},
            "output_tokens": 5,
            "server_tool_use": {"web_search_requests": 2},
            "service_tier": "standard",
            "inference_geo": "us",
        },
        True,
        Consumption(input=10, cache_write=18, cache_write_1h=12, output=5, web_searches=2, regional=True),
    ),
    # OpenAI: cached tokens are part of the prompt's, reasoning of the completion's.
    (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0},
            "service_tier": "flex",
        },
        False,
        Consumption(input=400, cache_read=600, output=100, reasoning=200, service_tier="flex"),
    ),
    # The same with what was written to the cache: part of the prompt too.
    (
        {
            "input_tokens": 1000,
            "output_tokens": 3,
            "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
        },
        False,
        Consumption(input=100, cache_read=600, cache_write=300, output=3),
    ),
    # Audio of OpenAI's, some of it cached.
    (
        {
            "prompt_tokens": 100,
            "completion_tokens": 60,
            "prompt_tokens_details": {
                "audio_tokens": 50,
                "cached_tokens": 30,
                "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 20},
            },
            "completion_tokens_details": {"audio_tokens": 40},
        },
        False,
        Consumption(input=40, cache_read=10, input_audio=30, cache_read_audio=20, output=20, output_audio=40),
    ),
    # Gemini: thoughts stand beside the candidates; kinds are in lists, those of cached tokens in one of their own.
    (
        {
            "promptTokenCount": 500,
            "cachedContentTokenCount": 200,
            "candidatesTokenCount": 70,
            "thoughtsTokenCount": 30,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "AUDIO", "tokenCount": 200}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 150}, {"modality": "TEXT", "tokenCount": 50}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 60}, {"modality": "TEXT", "tokenCount": 10}],
            "trafficType": "ON_DEMAND_PRIORITY",
        },
        False,
        Consumption(
            input=250,
            cache_read=50,
            input_audio=50,
            cache_read_audio=150,
            output=10,
            reasoning=30,
            output_image=60,
            service_tier="priority",
        ),
    ),
    # Bedrock's Converse says of each write for how long it is.
    (
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "cacheReadInputTokens": 3,
            "cacheWriteInputTokens": 40,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 25}, {"ttl": "5m", "inputTokens": 15}],
        },
        False,
        Consumption(input=10, cache_read=3, cache_write=15, cache_write_1h=25, output=5),
    ),
    # Anthropic's fast mode stands beside its tier.
    (
        {
            "input_tokens": 1,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
            "service_tier": "standard",
            "speed": "fast",
        },
        True,
        Consumption(input=1, output=2, service_tier="fast"),
    ),
    # What contradicts itself: no class is below 0.
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 99},
        },
        False,
        Consumption(cache_read=600, output=5),
    ),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 9},
        },
        False,
        Consumption(input=10, reasoning=5),
    ),
]


@pytest.mark.parametrize(("raw", "excludes", "expected"), CASES)
def test_what_providers_report(raw: dict[str, Any], excludes: bool, expected: Consumption) -> None:
    """Each provider's usage object comes to these classes."""
    assert consumption(normalise(raw, excludes)) == expected


@pytest.mark.parametrize("raw", [{}, {"total_tokens": 7}, {"trafficType": "ON_DEMAND"}])
def test_nothing_known_is_no_consumption(raw: dict[str, Any]) -> None:
    """Nothing that was said of tokens is None, not a consumption of 0."""
    assert consumption(normalise(raw, False)) is None


@pytest.mark.parametrize(
    ("word", "tier"),
    [
        ("default", None),
        ("auto", None),
        ("standard", None),
        ("ON_DEMAND", None),
        ("SERVICE_TIER_STANDARD", None),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
        ("flex", "flex"),
        ("SERVICE_TIER_FLEX", "flex"),
        ("batch", "batch"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
    ],
)
def test_words_for_ways_of_serving(word: str, tier: str | None) -> None:
    """The ordinary way has many names and is None; the others keep theirs, in small letters and without its type."""
    usage = normalise({"prompt_tokens": 1, "completion_tokens": 1, "service_tier": word}, False)
    found = consumption(usage)
    assert found is not None
    assert found.service_tier == tier


counts = st.one_of(st.none(), st.integers(0, 10**6))


def _record(raw: dict[str, Any], excludes: bool) -> tuple[Consumption | None, TokenUsageRecord]:
    usage = normalise(raw, excludes)
    request = RequestRecord("2026-01-02T03:04:05.678Z", "id", "openai", "port", "complete", "reported", 1.0)
    reading: Any = SimpleNamespace(usage=usage, usage_truncated=False)
    record = token_usage(request, reading)
    assert record is not None
    return consumption(usage), record


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "input_tokens": counts,
            "prompt_tokens": counts,
            "output_tokens": counts,
            "cache_read_input_tokens": counts,
            "cache_creation_input_tokens": counts,
            "prompt_tokens_details": st.fixed_dictionaries(
                {}, optional={"cached_tokens": counts, "audio_tokens": counts}
            ),
            "cache_creation": st.fixed_dictionaries({}, optional={"ephemeral_1h_input_tokens": counts}),
            "output_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": counts}),
            "service_tier": st.sampled_from(["batch", "default"]),
        },
    ),
    st.booleans(),
)
def test_usage_and_its_record_tell_the_same(raw: dict[str, Any], excludes: bool) -> None:
    """Priced as it passes and priced from its line a call costs the same; and no class is ever below 0."""
    passing, record = _record(raw, excludes)
    assert of_record(record) == passing
    if passing is not None:
        numbers = {name: value for name, value in asdict(passing).items() if name not in ("service_tier", "regional")}
        assert all(value >= 0 for value in numbers.values())
        usage = normalise(raw, excludes)
        # Each token once: the output's classes are the output, the prompt's are the prompt.
        outputs = sum(value for name, value in numbers.items() if name.startswith("output") or name == "reasoning")
        assert outputs == (usage.output_tokens or 0)
        cached = (usage.cache_read_tokens or 0) + passing.cache_write + passing.cache_write_1h
        whole = usage.input_tokens or 0
        assert passing.prompt == (max(whole, cached) if usage.input_tokens_include_cache else whole + cached)


class AwfRecord:
    """A line of AWF's own: four counts and the provider."""

    input_tokens_include_cache = reasoning_tokens = usage = None

    def __init__(self, provider: str, fresh: int = 100, read: int = 60, written: int = 20) -> None:
        self.unknown: list[str] | None = None
        self.provider = provider
        self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens = fresh, 7, read, written


@pytest.mark.parametrize(
    ("record", "fresh"),
    [
        (AwfRecord("anthropic"), 100),
        (AwfRecord("bedrock"), 100),
        (AwfRecord("openai"), 20),
        (AwfRecord("openai", fresh=80), 0),
        (AwfRecord("openai", fresh=79), 79),
        (AwfRecord("copilot"), 100),
        (AwfRecord("copilot", written=0), 40),
        (AwfRecord("copilot", fresh=59, written=0), 59),
        # As AWF writes them for answers with `copilot_usage`, or of Anthropic's shape.
        (AwfRecord("copilot", 3857, 0, 12539), 3857),
        (AwfRecord("copilot", 10, 50_000, 2_000), 10),
    ],
)
def test_records_of_awf(record: AwfRecord, fresh: int) -> None:
    """They do not say whether input counts the cached tokens: provider and figures do, and no token is lost."""
    read, written = record.cache_read_tokens, record.cache_write_tokens
    assert of_record(record) == Consumption(input=fresh, cache_read=read, cache_write=written, output=7)


def test_what_is_not_known_tells_nothing_of_the_input() -> None:
    """A place holder of the input, or of the cached tokens, is no figure to compare."""
    record = AwfRecord("copilot", 100, 60, 20)
    record.unknown = ["cache_write_tokens"]
    assert of_record(record) == Consumption(input=40, cache_read=60, output=7)
    record = AwfRecord("openai", 0, 60, 0)
    record.unknown = ["input_tokens"]
    assert of_record(record) == Consumption(cache_read=60, output=7)


def test_counts_that_are_unknown_are_not_taken() -> None:
    """A figure named in `unknown` is a place holder: it is not known, and where none is known there is nothing."""
    record = AwfRecord("openai")
    record.unknown = ["input_tokens", "cache_read_tokens", "cache_write_tokens"]
    assert of_record(record) == Consumption(output=7)
    record.unknown.append("output_tokens")
    assert of_record(record) is None
