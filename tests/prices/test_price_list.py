"""Which price a name finds: names as providers write them, dates, what is free and what is unpriced."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.consumption import Consumption
from awfproxy.core.providers import PROVIDERS
from awfproxy.prices.names import LIBRARY_PROVIDERS, MAKERS, names_of
from awfproxy.prices.price_list import NAME_MAX, REMEMBERED_MAX, PriceFileError, PriceList, open_price_list
from awfproxy.prices.rates import CLASS_NAMES


def at(year: int, month: int, day: int, hour: int = 12) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


AT = at(2026, 11, 20)
INPUT, OUTPUT = Consumption(input=1_000_000), Consumption(output=1_000_000)


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return open_price_list()


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "GPT-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),  # a snapshot with a price of its own
        ("openai", "gpt-6-sol-2026-11-20", "openai/gpt-6-sol"),
        ("openai", "gpt-5-20250807", "openai/gpt-5"),
        ("openai", "gpt-5-2027-01-01", "openai/gpt-5"),  # one that is not listed
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::abc", "openai/ft:gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku-latest"),
        ("gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-preview-09-2025", "google/gemini-2.5-flash"),
        ("vertex", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex", "claude-sonnet-4@20250514", "google/claude-4-sonnet"),
        ("vertex", "publishers/anthropic/models/claude-opus-4-5@20251101", "google/claude-opus-4-5"),
        ("generic", "us.anthropic.claude-opus-4-6-v1", "aws/regional.anthropic.claude-opus-4-6-v1:0"),
        (
            "generic",
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "aws/regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        (
            "anthropic",  # a gateway to Bedrock behind a port for Anthropic
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "generic",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        ("generic", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("copilot", "claude-sonnet-4.6", "github-copilot/claude-sonnet-4.6"),
        ("copilot", "gpt-5-mini-2025-08-07", "github-copilot/gpt-5-mini"),
        ("copilot", "o4-mini-2025-04-16", "openai/o4-mini"),  # Copilot lists no price: its maker's
        ("generic", "anthropic/claude-sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5"),
        ("openai", "openai/gpt-5", "openai/gpt-5"),
        ("generic", "gpt-5", "openai/gpt-5"),
        ("generic", "claude-opus-5", "anthropic/claude-opus-5"),
        ("generic", "deepseek-chat", "deepseek/deepseek-chat"),
        ("generic", "grok-4", "x-ai/grok-4-0709"),
        ("generic", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("openai", "text-embedding-3-small", "openai/text-embedding-3-small"),
    ],
)
def test_names_as_providers_answer_them(prices: PriceList, provider: str, model: str, name: str) -> None:
    """Dated, aliased, regional, nested: each finds the model whose price it has."""
    price = prices.find(provider, model, AT)
    assert price is not None
    assert (price.name, price.source) == (name, "genai-prices")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("anthropic", "claude-99"),
        ("generic", "unknown"),
        ("generic", ""),
        ("generic", "my-private-model"),
        ("generic", "llama3.2:latest"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::abc"),  # fine-tuned: not what it was made from
        ("openai", "whisper-1"),  # by the hour
        ("generic", "gemma-3-27b-it"),  # free with Google, not with whoever serves it here
        ("generic", "x" * (NAME_MAX + 1)),
        ("generic", "\x00\ud800\n*"),
    ],
)
def test_what_is_unpriced(prices: PriceList, provider: str, model: str) -> None:
    """No price is None, never one of 0."""
    assert prices.find(provider, model, AT) is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("gemini", "gemma-3-27b-it"),
        ("copilot", "gpt-4.1"),
        ("generic", "meta-llama/llama-3.3-70b-instruct:free"),
        ("openai", "omni-moderation-latest"),
    ],
)
def test_what_is_free_has_a_price_of_0(prices: PriceList, provider: str, model: str) -> None:
    """Free is a price, and not the lack of one."""
    price = prices.find(provider, model, AT)
    assert price is not None
    assert price.cost(Consumption(input=10**9, output=10**9)) == 0


@pytest.mark.parametrize(
    ("provider", "model", "when", "dollars"),
    [
        # Claude Opus 4.6: until 2026-03-12 long prompts cost twice as much.
        ("anthropic", "claude-opus-4-6", at(2026, 3, 12, 23), 10.0),
        ("anthropic", "claude-opus-4-6", at(2026, 3, 13, 0), 5.0),
        # Gemini 3.8 Flash: rates rise with the year.
        ("gemini", "gemini-3.8-flash", at(2026, 12, 31, 23), 0.75),
        ("gemini", "gemini-3.8-flash", at(2027, 1, 1, 0), 1.50),
    ],
)
def test_prices_have_dates(prices: PriceList, provider: str, model: str, when: float, dollars: float) -> None:
    """A call costs what held when it was admitted, whatever was asked for before."""
    assert prices.find(provider, model, AT) is not None
    price = prices.find(provider, model, when)
    assert price is not None
    assert price.cost(INPUT) == pytest.approx(dollars)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_dearest_costs_no_less_than_any_text_model(prices: PriceList, provider: str) -> None:
    """What stands in for an unpriced model is at least as dear as each of the provider's, class by class."""
    dearest = prices.dearest(provider, AT)
    models = ["gpt-5", "gpt-6-sol", "claude-opus-5", "gemini-2.5-pro"] if provider == "generic" else []
    models += {
        "openai": ["gpt-5", "gpt-6-sol", "gpt-4o-mini"],
        "anthropic": ["claude-opus-5", "claude-haiku-4-5"],
        "gemini": ["gemini-2.5-pro"],
        "vertex": ["gemini-2.5-pro", "claude-opus-4-5"],
        "copilot": ["claude-sonnet-4.6", "gpt-5-mini"],
    }.get(provider, [])
    for model in models:
        price = prices.find(provider, model, AT)
        assert price is not None
        for name in CLASS_NAMES[:6]:
            # a long prompt, so that rates by length count
            counts: dict[str, Any] = {"input": 1_000_000, name: 1_000_000}
            consumed = Consumption(**counts)
            assert dearest.cost(consumed) >= price.cost(consumed) > 0
    assert dearest is prices.dearest(provider, AT + 60)
    assert dearest.assumed(INPUT) is None


@given(st.text(max_size=NAME_MAX))
def test_no_name_breaks_it(name: str) -> None:
    """Clients make names up: each is tried in a few forms, and finds a price or none."""
    forms = list(names_of(name.lower()))
    assert len(forms) == len(set(forms)) <= 12
    LIST.find("generic", name, AT)


LIST = open_price_list()


def test_what_is_remembered_is_bounded() -> None:
    """More names than are remembered: the oldest are forgotten and found again."""
    prices = PriceList([])
    for number in range(REMEMBERED_MAX + 10):
        assert prices.find("openai", f"model-{number}", AT) is None
    assert len(prices._found) == REMEMBERED_MAX


def test_providers_of_ours_are_in_the_library(prices: PriceList) -> None:
    """The names of the map are the library's, and every provider of ours but generic has one."""
    assert set(LIBRARY_PROVIDERS) == set(PROVIDERS) - {"generic"}
    assert {*LIBRARY_PROVIDERS.values(), *MAKERS, "aws", "openrouter"} <= set(prices._providers)


def test_the_users_prices_go_first(tmp_path: Path) -> None:
    """A price of the file is taken before a published one, under its own name; reports can say where from."""
    path = tmp_path / "prices.toml"
    path.write_text('[models."gpt-5"]\ninput_per_million = 7\noutput_per_million = 70\n')
    prices = open_price_list(str(path))
    price = prices.find("openai", "GPT-5", AT)
    assert price is not None
    assert (price.source, price.name, price.cost(INPUT), price.cost(OUTPUT)) == ("override", "openai/gpt-5", 7, 70)
    # The provider's rules for other ways of serving hold for it too.
    flex = Consumption(input=1_000_000, service_tier="flex")
    assert (price.cost(flex), price.assumed(flex)) == (3.5, "tier:flex")
    other = prices.find("openai", "gpt-4o", AT)
    assert other is not None
    assert other.source == "genai-prices"
    assert prices.description == f"{path}, {open_price_list().description}"


def test_a_wrong_file_opens_no_list(tmp_path: Path) -> None:
    """Nothing is priced by half a file."""
    with pytest.raises(PriceFileError, match="cannot be read"):
        open_price_list(str(tmp_path / "none.toml"))


def test_which_prices_change_within_an_hour() -> None:
    """DeepSeek's, whose cheap hours begin at half past; what has no price never changes."""
    prices = open_price_list()
    assert [prices.hourly(*one) for one in (("openai", "gpt-4o"), ("openai", "no-such-model"))] == [True, True]
    assert not prices.hourly("generic", "deepseek-chat")
