"""Costs: the fast way and the long way are the same, and both are the price list's."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.consumption import of_record
from awfproxy.core.records import TokenUsageRecord
from awfproxy.prices.price_list import open_price_list
from awfproxy.report.analysis.steps import Reader, Step
from awfproxy.report.costs import PICO, Cost, Costs, PlainRow, Rates
from awfproxy.report.filters import Filters
from awfproxy.report.reading import Remarks
from awfproxy.report.rows import COUNTS, decoded, read_row
from awfproxy.report.seen import Seen
from awfproxy.report.sums import Totals
from awfproxy.report.times import moment
from awfproxy.report.totals import Grouped
from bench.report_records import lines

PRICES = open_price_list()
#: with long prompts at other rates, with and without; included, and not; and one that has no price
MODELS = (
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-5-2025-08-07"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-2.5-flash"),
    ("copilot", "claude-sonnet-4.5"),
    ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("generic", "nobody/knows-this-one"),
)
counts = st.integers(0, 10) | st.integers(0, 300_000)
usages = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "service_tier": st.sampled_from(["standard", "default", "priority", "flex", "batch", None, "?", 7]),
        "speed": st.sampled_from(["fast", "standard", None]),
        "inference_geo": st.sampled_from(["us", "global", "not_available"]),
        "cache_creation": st.fixed_dictionaries(
            {}, optional={"ephemeral_1h_input_tokens": counts | st.just("x"), "ephemeral_5m_input_tokens": counts}
        ),
        "prompt_tokens_details": st.fixed_dictionaries({}, optional={"audio_tokens": counts, "cached_tokens": counts}),
        "completion_tokens_details": st.fixed_dictionaries({}, optional={"audio_tokens": counts}),
        "promptTokensDetails": st.lists(
            st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO", "IMAGE", "?"]), "tokenCount": counts}),
            max_size=2,
        ),
        "server_tool_use": st.fixed_dictionaries({}, optional={"web_search_requests": st.integers(0, 3)}),
    },
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    provider, model = draw(st.sampled_from(MODELS))
    record: dict[str, Any] = {
        "event": "token_usage",
        "provider": provider,
        "model": model,
        "timestamp": draw(st.sampled_from(["2026-06-01T10:00:00.000Z", "2025-01-01T10:00:00.000Z"])),
        "input_tokens": draw(counts),
        "output_tokens": draw(counts),
        "cache_read_tokens": draw(counts),
        "cache_write_tokens": draw(counts),
    }
    unknown = draw(st.lists(st.sampled_from(list(record)[4:]), unique=True, max_size=2))
    if "cache_write_tokens" in unknown and draw(st.booleans()):
        # Told in the provider's own object all the same.
        record["cache_write_tokens"] = 0
        kept = {"ephemeral_1h_input_tokens": draw(st.integers(0, 99)), "ephemeral_5m_input_tokens": draw(counts)}
        record["usage"] = {"cache_creation": {name: kept[name] for name in draw(st.sets(st.sampled_from(sorted(kept))))}}
    optional = {
        "unknown": unknown or None,
        "reasoning_tokens": draw(st.none() | counts),
        "input_tokens_include_cache": draw(st.none() | st.booleans()),
        "usage": record.get("usage") or draw(usages),
    }
    return record | {name: value for name, value in optional.items() if value is not None}


def added(several: list[dict[str, Any]]) -> Totals:
    grouped = Grouped((), Costs(PRICES, 0.0))
    plain = msgspec.json.Decoder(PlainRow).decode
    for record in several:
        line = json.dumps(record).encode()
        row = decoded(line, plain)
        if isinstance(row, str):
            found = read_row(line)
            assert not isinstance(found, str)
            grouped.add(found, line)
        else:
            grouped.add(row, line, True)
    grouped.settle()
    return grouped.overall()


def by_the_price_list(record: dict[str, Any]) -> float | None:
    """Dollars of one call, straight from the price list; None: unpriced."""
    at = moment(record["timestamp"])
    assert at is not None
    price = PRICES.find(record["provider"], record["model"], at.timestamp())
    if price is None:
        return None
    usage = record.get("usage")
    made = TokenUsageRecord(
        record["timestamp"], "", record["provider"], record["model"], "", 200, True,
        record["input_tokens"], record["output_tokens"], record["cache_read_tokens"], record["cache_write_tokens"],
        0.0, 0, 0, "reported", "complete", "",
    )  # fmt: skip
    made.unknown, made.reasoning_tokens = record.get("unknown"), record.get("reasoning_tokens")
    made.input_tokens_include_cache = record.get("input_tokens_include_cache")
    made.usage = usage
    consumed = of_record(made)
    return 0.0 if consumed is None else price.cost(consumed)


@given(st.lists(records(), max_size=8))
def test_the_sum_is_the_price_lists(several: list[dict[str, Any]]) -> None:
    """Whatever is in the usage objects, and whichever way a call went: to a millionth of the sum."""
    each = [by_the_price_list(record) for record in several]
    cost = added(several).cost
    true = sum(one or 0.0 for one in each)
    assert abs(cost.known / PICO - true) <= true * 1e-6 + 1e-9
    assert cost.unknown >= each.count(None)


@given(st.lists(records(), max_size=6), st.randoms())
def test_no_order_shows(several: list[dict[str, Any]], random: random.Random) -> None:
    """To the last pico-dollar."""
    before = added(several).cost
    random.shuffle(several)
    after = added(several).cost
    assert (before.known, before.calls, before.unknown) == (after.known, after.calls, after.unknown)


def test_most_calls_go_the_fast_way() -> None:
    """Of generated traffic all that has a price and no long prompt."""

    class Counting(Costs):
        long = 0

        def exact(self, line: bytes, rates: Rates) -> Cost:
            self.long += 1
            return super().exact(line, rates)

    costs = Counting(PRICES, 0.0)
    grouped, plain = Grouped(("model",), costs), msgspec.json.Decoder(PlainRow).decode
    for line in lines(500):
        grouped.add(plain(line), line, True)
    assert costs.long <= 5


def test_an_unpriced_model_is_named_and_never_0() -> None:
    """With its calls and tokens; the cost of all is a least one."""
    call: dict[str, Any] = {"event": "token_usage", "provider": "generic", "model": "nobody/knows-this-one", "timestamp": "2026-01-01"}
    call |= dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 5)
    grouped = Grouped(("model",), Costs(PRICES, 0.0))
    for _ in range(2):
        row = read_row(json.dumps(call).encode())
        assert not isinstance(row, str)
        grouped.add(row, json.dumps(call).encode())
    grouped.settle()
    assert grouped.overall().cost.value is None
    # Cached tokens are more than the input: they are not in it.
    assert grouped.unpriced() == [("generic", "nobody/knows-this-one", 2, 40)]


def test_a_rule_is_told() -> None:
    """A way of serving that has no price of its own is not passed over."""
    call: dict[str, Any] = {"event": "token_usage", "provider": "openai", "model": "gpt-4o", "timestamp": "2026-01-01T00:00:00Z"}
    call |= dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 5)
    line = json.dumps({**call, "usage": {"service_tier": "scale"}}).encode()
    costs = Costs(PRICES, 0.0)
    grouped, row = Grouped((), costs), read_row(line)
    assert not isinstance(row, str)
    grouped.add(row, line)
    assert costs.assumed == {"unpriced-tier:scale": 1}


SINCE = """
[models."gpt-5".since.2025-01-01]
input_per_million = 1
output_per_million = 0
[models."gpt-5".since.2026-02-01]
input_per_million = 100
output_per_million = 0
"""


@pytest.mark.parametrize(
    "odd",
    [None, "", "2026", "2025-06-01T10:0", "2025-06-01T10:00:00+14:00", "20260601", "2025-06-01 10:00:00.000Z",
     "2026-W22-1T10:00:00.000Z", "2026-10-15T10:99:99.000Z"],
)  # fmt: skip
@pytest.mark.parametrize("by", ["model", "hour"])
def test_an_odd_time_changes_no_price_of_others(odd: str | None, by: str, tmp_path: Path) -> None:
    """Neither before it nor after, whatever calls are grouped by."""
    (tmp_path / "since.toml").write_text(SINCE)
    prices = open_price_list(str(tmp_path / "since.toml"))
    times = ["2025-06-01T10:05:00.000Z", odd, "2026-06-01T10:05:00.000Z", "2025-06-01T10:06:00.000Z"]
    counts: dict[str, Any] = dict.fromkeys(COUNTS[:4], 0) | {"input_tokens": 1_000_000}
    several = [PlainRow(provider="openai", model="gpt-5", timestamp=when, **counts) for when in times]

    def cost(rows: list[PlainRow]) -> int:
        grouped = Grouped([by], Costs(prices, 1_780_000_000.0))
        assert grouped.count(rows, True) == []
        grouped.settle()
        return grouped.overall().cost.known

    each = [cost([row]) for row in several]
    assert each[0] * 100 == each[2]
    for order in ([0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 3, 0], [0, 1, 3, 2]):
        assert cost([several[place] for place in order]) == sum(each)


def test_a_tier_without_rates_is_a_least_cost() -> None:
    """The standard rates are what it costs at least."""
    record: dict[str, Any] = {"provider": "openai", "model": "gpt-3.5-turbo", "timestamp": "2026-06-01T10:00:00.000Z"}
    record |= dict.fromkeys(COUNTS[:4], 0) | {"input_tokens": 1_000, "usage": {"service_tier": "priority"}}
    cost = added([record]).cost
    assert cost.known > 0 and cost.unknown == 1


@pytest.mark.parametrize(
    ("provider", "source", "least"),
    [("anthropic", "reported", 1), ("anthropic", "estimated", 0), ("bedrock", "reported", 0), ("openai", "reported", 0)],
)
def test_cached_tokens_that_are_missing_make_a_least_sum(provider: str, source: str, least: int) -> None:
    """Where the input does not count them, and the provider always tells them."""
    record: dict[str, Any] = {"provider": provider, "model": "claude-sonnet-4-5", "timestamp": "2026-06-01T10:00:00.000Z"}
    record |= dict.fromkeys(COUNTS[:4], 0) | {"input_tokens": 1_000, "usage_source": source}
    totals = added([record | {"unknown": ["cache_read_tokens", "cache_write_tokens"]}])
    assert totals.total.unknown == least
    assert totals.cost.unknown == max(least, totals.unpriced)


@pytest.mark.parametrize("when", ["2026-W03-1T10:00:00.000Z", "2026-01-12 10:00:00.000Z"])
def test_a_time_of_the_same_length_has_its_own_price(when: str, tmp_path: Path) -> None:
    """That of the day which it tells."""
    (tmp_path / "since.toml").write_text(SINCE)
    row = PlainRow(provider="openai", model="gpt-5", timestamp=when)
    rates = Costs(open_price_list(str(tmp_path / "since.toml")), 1_780_000_000.0).rates(row)
    assert rates is not None and rates.input == PICO // 1_000_000


def test_what_was_written_is_priced_where_its_count_is_not_known() -> None:
    """By the provider's own object, in every report alike."""
    record: dict[str, Any] = {"provider": "anthropic", "model": "claude-sonnet-4-5", "timestamp": "2026-06-01T10:00:00.000Z"}
    record |= dict.fromkeys(COUNTS[:4], 0) | {"input_tokens": 1_000, "unknown": ["cache_write_tokens"]}
    plain = added([record]).cost.known
    for name, factor in (("ephemeral_5m_input_tokens", 1.25), ("ephemeral_1h_input_tokens", 2)):
        told = record | {"usage": {"cache_creation": {name: 1_000}}}
        assert added([told]).cost.known == pytest.approx(plain * (1 + factor))
        step = Reader(Costs(PRICES, 0.0), Filters(), Seen(), Remarks()).step(json.dumps(told).encode())
        assert isinstance(step, Step) and step.cost == added([told]).cost.known


def test_a_price_that_changes_within_an_hour() -> None:
    """Calls of one hour, and of one bucket, each by its own time."""
    prices = open_price_list()
    counts: dict[str, Any] = dict.fromkeys(COUNTS[:4], 0) | {"input_tokens": 1_000_000}
    times = ["2025-06-01T16:25:00.000Z", "2025-06-01T16:35:00.000Z", "2025-06-01T16:29:59.999Z"]
    several = [PlainRow(provider="generic", model="deepseek-chat", timestamp=when, **counts) for when in times]

    def cost(rows: list[PlainRow]) -> int:
        grouped = Grouped([], Costs(prices, 1_780_000_000.0))
        assert grouped.count(rows, True) == []
        grouped.settle()
        return grouped.overall().cost.known

    dear, cheap, again = (cost([row]) for row in several)
    assert dear == again > cheap
    assert cost(several) == dear + cheap + again
