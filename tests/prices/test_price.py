"""Laws of a cost: never negative, more tokens never cost less, and calls add up where no rate depends on their length."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from awfproxy.core.consumption import Consumption
from awfproxy.prices.price import REGIONAL_FACTOR, Price
from awfproxy.prices.price_list import open_price_list
from awfproxy.prices.published.types import Tier, TieredPrices
from awfproxy.prices.rates import CLASS_NAMES, Rates, rates_of

AT = 1_795_000_000.0
LIST = open_price_list()
NAMES = [
    ("openai", "gpt-5"),
    ("openai", "gpt-6-sol"),
    ("openai", "gpt-audio"),
    ("anthropic", "claude-opus-5"),
    ("anthropic", "claude-3-haiku-20240307"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-2.5-flash"),
    ("copilot", "claude-sonnet-4.6"),
    ("generic", "sonar"),
    ("generic", "deepseek-chat"),
]


def _price(provider: str, model: str) -> Price:
    price = LIST.find(provider, model, AT)
    assert price is not None
    return price


PRICES = [_price(*name) for name in NAMES] + [LIST.dearest("openai", AT), LIST.dearest("generic", AT)]
prices = st.sampled_from(PRICES)
consumptions = st.builds(
    Consumption,
    **{name: st.integers(0, 10**6) for name in (*CLASS_NAMES, "web_searches")},
    service_tier=st.sampled_from([None, "batch", "flex", "priority", "fast", "no-such-tier"]),
    regional=st.booleans(),
)
#: counts of a call that no rate by length is for
short = st.builds(Consumption, **{name: st.integers(0, 5_000) for name in (*CLASS_NAMES, "web_searches")})


@given(prices, consumptions)
def test_a_cost_is_a_number_of_dollars(price: Price, consumed: Consumption) -> None:
    """Finite and not negative, whatever was consumed."""
    assert 0 <= price.cost(consumed) < float("inf")


@given(prices, consumptions, st.sampled_from((*CLASS_NAMES, "web_searches")), st.integers(1, 10**6))
def test_more_never_costs_less(price: Price, consumed: Consumption, name: str, more: int) -> None:
    """A cost grows with every count."""
    larger = replace(consumed, **{name: getattr(consumed, name) + more})
    assert price.cost(larger) >= price.cost(consumed)


@given(prices, short, short)
def test_two_short_calls_cost_their_sum(price: Price, one: Consumption, other: Consumption) -> None:
    """Without rates by length, tokens are multiplied and added, no matter in which call they were."""
    names = (*CLASS_NAMES, "web_searches")
    sums: dict[str, Any] = {name: getattr(one, name) + getattr(other, name) for name in names}
    both = Consumption(**sums)
    assume(both.prompt <= 100_000)
    fee = price.cost(Consumption())
    assert price.cost(both) + fee == pytest.approx(price.cost(one) + price.cost(other), rel=1e-9, abs=1e-12)


@given(prices, consumptions)
def test_what_was_generated_is_a_part_of_the_cost(price: Price, consumed: Consumption) -> None:
    """Without it the call costs that much less."""
    asked = replace(consumed, **{name: 0 for name in CLASS_NAMES if name.startswith("output") or name == "reasoning"})
    made = price.output_cost(consumed)
    assert made >= 0
    assert price.cost(asked) + made == pytest.approx(price.cost(consumed))
    assert price.output_cost(asked) == 0


@given(prices, consumptions)
def test_keeping_to_a_country_costs_a_tenth_more(price: Price, consumed: Consumption) -> None:
    """The surcharge is on all tokens, and on nothing else."""
    here = replace(consumed, regional=False)
    fees = price.cost(Consumption(web_searches=consumed.web_searches, service_tier=consumed.service_tier))
    surcharge = price.cost(replace(consumed, regional=True)) - price.cost(here)
    assert surcharge == pytest.approx((price.cost(here) - fees) * (REGIONAL_FACTOR - 1), rel=1e-6, abs=1e-9)


@given(prices, consumptions)
def test_what_is_assumed_is_said(price: Price, consumed: Consumption) -> None:
    """An unknown way of serving is at the standard rates, and named."""
    consumed = replace(consumed, service_tier="no-such-tier")
    assert price.cost(consumed) == price.cost(replace(consumed, service_tier=None))
    assert price.assumed(consumed) == "unpriced-tier:no-such-tier"


@pytest.mark.parametrize(
    ("provider", "model", "tier", "factor", "said"),
    [
        ("openai", "gpt-5", "flex", 0.5, None),
        ("openai", "gpt-5", "priority", 2.0, None),
        ("openai", "o1-pro", "flex", 0.5, "tier:flex"),
        ("openai", "o1-pro", "priority", 1.0, "unpriced-tier:priority"),
        ("anthropic", "claude-opus-5", "batch", 0.5, None),
        ("anthropic", "claude-opus-5", "fast", 2.0, None),
        ("anthropic", "claude-3-haiku-20240307", "batch", 0.5, "tier:batch"),
        ("anthropic", "claude-opus-5", "priority", 1.0, "unpriced-tier:priority"),
        ("gemini", "gemini-2.5-flash", "flex", 0.5, "tier:flex"),
        ("gemini", "gemini-2.5-flash", "priority", 1.8, "tier:priority"),
        ("gemini", "gemini-2.5-flash", "provisioned_throughput", 1.0, "unpriced-tier:provisioned_throughput"),
    ],
)
def test_ways_of_serving(provider: str, model: str, tier: str, factor: float, said: str | None) -> None:
    """The model's own rates, else its provider's rule, else the standard rates with a word about it."""
    price = _price(provider, model)
    consumed = Consumption(input=1000, output=100)
    served = replace(consumed, service_tier=tier)
    assert price.cost(served) == pytest.approx(price.cost(consumed) * factor)
    assert price.assumed(served) == said
    assert price.assumed(consumed) is None


def _rates(sheet: dict[str, Any], *, claude: bool = False) -> Rates:
    rates = rates_of({key: Decimal(value) if isinstance(value, str) else value for key, value in sheet.items()}, claude=claude)
    assert rates is not None
    return rates


def _cost(sheet: dict[str, Any], *, claude: bool = False, **counts: int) -> float:
    """Dollars for millions of tokens."""
    price = Price("override", "m", _rates(sheet, claude=claude))
    tokens: dict[str, Any] = {name: count * 1_000_000 for name, count in counts.items()}
    return price.cost(Consumption(**tokens))


PLAIN = {"input_mtok": "4", "output_mtok": "20"}


@pytest.mark.parametrize(
    ("sheet", "claude", "counts", "dollars"),
    [
        # What has no rate of its own has that of what it is part of.
        (PLAIN, False, {"cache_read": 1}, 4),
        (PLAIN, False, {"cache_write": 1}, 4),
        (PLAIN, False, {"cache_write_1h": 1}, 4),
        (PLAIN | {"cache_write_mtok": "5"}, False, {"cache_write_1h": 1}, 5),
        (PLAIN, False, {"reasoning": 1}, 20),
        (PLAIN | {"output_reasoning_mtok": "3"}, False, {"reasoning": 1, "output": 1}, 23),
        (PLAIN, False, {"input_audio": 1, "input_image": 1, "input_video": 1}, 12),
        (PLAIN, False, {"output_audio": 1, "output_image": 1, "output_video": 1}, 60),
        (PLAIN | {"input_audio_mtok": "30"}, False, {"cache_read_audio": 1}, 30),
        (PLAIN | {"cache_read_mtok": "1", "input_audio_mtok": "30"}, False, {"cache_read_audio": 1}, 1),
        (PLAIN | {"cache_audio_read_mtok": "2", "cache_read_mtok": "1"}, False, {"cache_read_audio": 1}, 2),
        # Claude's writes are 1.25 and 2 times the input's, unless they are said.
        (PLAIN, True, {"cache_write": 1}, 5),
        (PLAIN, True, {"cache_write_1h": 1}, 8),
        (PLAIN | {"cache_write_mtok": "6"}, True, {"cache_write": 1, "cache_write_1h": 1}, 14),
        (PLAIN | {"cache_write_1h_mtok": "7"}, True, {"cache_write": 1, "cache_write_1h": 1}, 12),
    ],
)
def test_rates_that_nobody_says(sheet: dict[str, Any], claude: bool, counts: dict[str, int], dollars: float) -> None:
    """Which rate a class has that has none of its own."""
    assert _cost(sheet, claude=claude, **counts) == pytest.approx(dollars)


def test_rates_by_length_hold_for_the_whole_call() -> None:
    """Over the limit all tokens have the higher rate, cached ones and the output too; at the limit none has."""
    sheet = {
        "input_mtok": TieredPrices(Decimal(1), [Tier(1000, Decimal(2)), Tier(5000, Decimal(4))]),
        "output_mtok": TieredPrices(Decimal(10), [Tier(1000, Decimal(15))]),
        "cache_read_mtok": Decimal("0.5"),
    }
    price = Price("override", "m", _rates(sheet))

    def cost(**counts: Any) -> float:
        return round(price.cost(Consumption(**counts)) * 1_000_000, 6)

    assert cost(input=1000, output=10) == 1000 + 100
    assert cost(input=1001, output=10) == 2002 + 150
    assert cost(input=501, cache_read=500, output=10) == 1002 + 250 + 150
    assert cost(input=5001, output=10) == 20004 + 150


def test_a_class_without_any_rate_is_named() -> None:
    """An embedding model has no rate for output: if it tells any, that is said, and costs nothing."""
    price = Price("genai-prices", "m", _rates({"input_mtok": "1"}))
    assert price.assumed(Consumption(input=5)) is None
    assert price.assumed(Consumption(input=5, output=1)) == "unpriced-class:output"


def test_a_sheet_without_text_is_no_price() -> None:
    """What is billed by the hour or the page is not priced by tokens."""
    assert rates_of({"audio_hours": Decimal(1)}, claude=False) is None


def test_classes_of_the_vector_are_those_of_a_consumption() -> None:
    """Every count of tokens has a rate, and none is multiplied with another's: a permutation would show here."""
    assert set(CLASS_NAMES) == set(asdict(Consumption())) - {"web_searches", "service_tier", "regional"}
    vector = tuple(float(2**place) for place in range(len(CLASS_NAMES)))
    price = Price("override", "m", Rates(((0, vector),), 0.0, 0.0, frozenset()))
    for place, name in enumerate(CLASS_NAMES):
        one: dict[str, Any] = {name: 1}
        assert price.cost(Consumption(**one)) == 2**place
