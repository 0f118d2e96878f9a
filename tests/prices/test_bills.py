"""Bills by hand: what a call costs by its provider's page, with the sum written out.

Each case has the usage object as the provider sends it and goes the whole way: counts, classes, price, dollars.  Rates are
dollars for a million tokens, from the pages of the providers in November 2026.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from awfproxy.core.consumption import consumption
from awfproxy.core.counts import normalise
from awfproxy.prices.price_list import PriceList, open_price_list

#: The day of these bills.
AT = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
M = 1_000_000


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return open_price_list()


#: name, provider, model, usage, dollars
BILLS: list[tuple[str, str, str, dict[str, Any], float]] = [
    (
        # developers.openai.com/api/docs/pricing: gpt-4o 2.50, cached 1.25, output 10.  Cached tokens are in the prompt's.
        "openai: cached input",
        "openai",
        "gpt-4o-2024-08-06",
        {"prompt_tokens": 10_000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 8_000}},
        (2_000 * 2.50 + 8_000 * 1.25 + 500 * 10) / M,  # 0.020
    ),
    (
        # The same page: gpt-5 1.25, cached 0.125, output 10.  Reasoning is output, billed once.
        "openai: reasoning is output",
        "openai",
        "gpt-5-2025-08-07",
        {
            "input_tokens": 3_000,
            "output_tokens": 2_500,
            "input_tokens_details": {"cached_tokens": 1_024},
            "output_tokens_details": {"reasoning_tokens": 2_048},
        },
        (1_976 * 1.25 + 1_024 * 0.125 + 2_500 * 10) / M,  # 0.027598
    ),
    (
        # Flex: 0.625, 0.0625, 5.
        "openai: flex",
        "openai",
        "gpt-5",
        {
            "prompt_tokens": 3_000,
            "completion_tokens": 2_500,
            "prompt_tokens_details": {"cached_tokens": 1_000},
            "service_tier": "flex",
        },
        (2_000 * 0.625 + 1_000 * 0.0625 + 2_500 * 5) / M,
    ),
    (
        # openai.com/api-priority-processing: gpt-5 2.50, 0.25, 20.
        "openai: priority",
        "openai",
        "gpt-5",
        {
            "prompt_tokens": 3_000,
            "completion_tokens": 2_500,
            "prompt_tokens_details": {"cached_tokens": 1_000},
            "service_tier": "priority",
        },
        (2_000 * 2.50 + 1_000 * 0.25 + 2_500 * 20) / M,
    ),
    (
        # gpt-6-sol 2, cached 0.20, written to the cache 2.50, output 10; over 272,000 tokens twice that, output 1.5 times.
        "openai: cache writes, short prompt",
        "openai",
        "gpt-6-sol",
        {
            "input_tokens": 272_000,
            "output_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 50_000},
        },
        (22_000 * 2 + 200_000 * 0.20 + 50_000 * 2.50 + 1_000 * 10) / M,
    ),
    (
        "openai: one token more is a long prompt",
        "openai",
        "gpt-6-sol",
        {
            "input_tokens": 272_001,
            "output_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 50_000},
        },
        (22_001 * 4 + 200_000 * 0.40 + 50_000 * 5 + 1_000 * 15) / M,
    ),
    (
        # gpt-audio: text 2.50 and 10, audio 32 and 64.
        "openai: audio in and out",
        "openai",
        "gpt-audio",
        {
            "prompt_tokens": 1_500,
            "completion_tokens": 900,
            "prompt_tokens_details": {"audio_tokens": 1_200, "cached_tokens": 0},
            "completion_tokens_details": {"audio_tokens": 700},
        },
        (300 * 2.50 + 1_200 * 32 + 200 * 10 + 700 * 64) / M,
    ),
    (
        # platform.claude.com/docs, "Pricing": Opus 5 input 5, five minutes 6.25, an hour 10, hits 0.50, output 25.
        # Input is without the cached tokens.
        "anthropic: both kinds of writes",
        "anthropic",
        "claude-opus-5",
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 40_000,
            "cache_creation_input_tokens": 3_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 2_000},
            "output_tokens": 700,
            "service_tier": "standard",
            "inference_geo": "not_available",
        },
        (50 * 5 + 40_000 * 0.50 + 1_000 * 6.25 + 2_000 * 10 + 700 * 25) / M,  # 0.0640
    ),
    (
        # The same page: Haiku 4.5 1, 1.25, 0.10, 5, halved in batches; searches are 10 a thousand.
        "anthropic: batch, with searches",
        "anthropic",
        "claude-haiku-4-5-20251001",
        {
            "input_tokens": 1_000,
            "cache_read_input_tokens": 2_000,
            "cache_creation_input_tokens": 400,
            "output_tokens": 300,
            "server_tool_use": {"web_search_requests": 3},
            "service_tier": "batch",
        },
        (1_000 * 0.50 + 2_000 * 0.05 + 400 * 0.625 + 300 * 2.50) / M + 3 * 10 / 1_000,
    ),
    (
        # "Data residency": 1.1 times for all tokens where inference is kept to the US.
        "anthropic: kept to the US",
        "anthropic",
        "claude-opus-4-6",
        {"input_tokens": 100, "cache_read_input_tokens": 9_000, "output_tokens": 50, "inference_geo": "us"},
        1.1 * (100 * 5 + 9_000 * 0.50 + 50 * 25) / M,
    ),
    (
        # Hits on Fable 5.1 are 0.025 times its input, not 0.1 times.
        "anthropic: the model's own rate of hits",
        "anthropic",
        "claude-fable-5-1",
        {"input_tokens": 100, "cache_read_input_tokens": 100_000, "output_tokens": 50},
        (100 * 10 + 100_000 * 0.25 + 50 * 50) / M,
    ),
    (
        # aws.amazon.com/bedrock/pricing: Sonnet 4.5 in a region 3.30, hits 0.33, writes 4.125, output 16.50.
        "bedrock: a regional profile",
        "generic",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"inputTokens": 1_000, "cacheReadInputTokens": 5_000, "cacheWriteInputTokens": 2_000, "outputTokens": 400},
        (1_000 * 3.30 + 5_000 * 0.33 + 2_000 * 4.125 + 400 * 16.50) / M,
    ),
    (
        # ai.google.dev/gemini-api/docs/pricing: 2.5 Pro 1.25, cached 0.125, output 10; over 200,000 tokens 2.50, 0.25, 15.
        # Thoughts stand beside the candidates and are output.
        "gemini: short prompt, thoughts",
        "gemini",
        "gemini-2.5-pro",
        {
            "promptTokenCount": 200_000,
            "cachedContentTokenCount": 150_000,
            "candidatesTokenCount": 800,
            "thoughtsTokenCount": 1_200,
        },
        (50_000 * 1.25 + 150_000 * 0.125 + 2_000 * 10) / M,
    ),
    (
        "gemini: long prompt",
        "vertex",
        "gemini-2.5-pro",
        {
            "promptTokenCount": 200_001,
            "cachedContentTokenCount": 150_000,
            "candidatesTokenCount": 800,
            "thoughtsTokenCount": 1_200,
        },
        (50_001 * 2.50 + 150_000 * 0.25 + 2_000 * 15) / M,
    ),
    (
        # 2.5 Flash: text 0.30, audio 1.00, cached 0.03, output 2.50.
        "gemini: audio",
        "gemini",
        "models/gemini-2.5-flash",
        {
            "promptTokenCount": 5_000,
            "candidatesTokenCount": 100,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 1_000},
                {"modality": "AUDIO", "tokenCount": 4_000},
            ],
        },
        (1_000 * 0.30 + 4_000 * 1.00 + 100 * 2.50) / M,
    ),
    (
        # cloud.google.com/vertex-ai/generative-ai/pricing: Claude Sonnet 4 costs what it costs with Anthropic.
        "vertex: claude",
        "vertex",
        "claude-sonnet-4@20250514",
        {"input_tokens": 200, "cache_read_input_tokens": 3_000, "cache_creation_input_tokens": 100, "output_tokens": 90},
        (200 * 3 + 3_000 * 0.30 + 100 * 3.75 + 90 * 15) / M,
    ),
    (
        # docs.github.com, "Models and pricing": Claude Sonnet 4.6 3, cached 0.30, writes 3.75, output 15.
        # Copilot counts what was read and written in the prompt's tokens.
        "copilot: claude",
        "copilot",
        "claude-sonnet-4.6",
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 200,
            "prompt_tokens_details": {"cached_tokens": 7_000, "cache_write_tokens": 2_000},
        },
        (1_000 * 3 + 7_000 * 0.30 + 2_000 * 3.75 + 200 * 15) / M,
    ),
    (
        # docs.github.com: GPT-4.1 is included in the subscription.
        "copilot: an included model",
        "copilot",
        "gpt-4.1-2025-04-14",
        {"prompt_tokens": 10_000, "completion_tokens": 200},
        0.0,
    ),
    (
        # docs.perplexity.ai: Sonar 1 and 1, and 12 for a thousand requests with the usual amount of search.
        "perplexity: a fee for each request",
        "generic",
        "sonar",
        {"prompt_tokens": 100, "completion_tokens": 300},
        (100 * 1 + 300 * 1) / M + 12 / 1_000,
    ),
]


@pytest.mark.parametrize(("name", "provider", "model", "usage", "dollars"), BILLS, ids=[bill[0] for bill in BILLS])
def test_bills(prices: PriceList, name: str, provider: str, model: str, usage: dict[str, Any], dollars: float) -> None:
    """The dollars of the provider's page, to the last digit that a float has."""
    price = prices.find(provider, model, AT)
    consumed = consumption(normalise(usage, "cache_read_input_tokens" in usage))
    assert price is not None
    assert consumed is not None
    assert price.cost(consumed) == pytest.approx(dollars, rel=1e-12, abs=1e-15)
    assert price.assumed(consumed) is None
