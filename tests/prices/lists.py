"""Price lists and records to test with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from awfproxy.core.consumption import Consumption
from awfproxy.core.records import TokenUsageRecord
from awfproxy.prices.price_list import Price, PriceList


class FixedPrice:
    """So many dollars for a million tokens of input, cached ones for a tenth of it, and of output."""

    source = "override"

    def __init__(self, name: str, input_rate: float, output_rate: float) -> None:
        self.name = name
        self._rates = input_rate, output_rate

    def cost(self, consumed: Consumption) -> float:
        given, _ = self._rates
        plain = consumed.prompt - consumed.cache_read
        return (plain * given + consumed.cache_read * given / 10) / 1_000_000 + self.output_cost(consumed)

    def output_cost(self, consumed: Consumption) -> float:
        _, made = self._rates
        return (consumed.output + consumed.reasoning) * made / 1_000_000


class FixedList:
    """A price list of these models, whatever the provider; it counts how often it is asked.

    :param prices: by model, dollars for a million of input and output
    """

    description = "fixed"

    def __init__(self, prices: Mapping[str, tuple[float, float]]) -> None:
        self._prices = {name: FixedPrice(name, *rates) for name, rates in prices.items()}
        self.finds = 0

    def price(self, name: str) -> Price:
        return cast(Price, self._prices[name])

    def find(self, provider: str, model: str, at: float) -> Price | None:
        self.finds += 1
        return cast("Price | None", self._prices.get(model))

    def dearest(self, provider: str, at: float) -> Price:
        return cast(Price, max(self._prices.values(), key=lambda price: price._rates))

    def __call__(self, path: str | None) -> PriceList:
        """Opens itself."""
        return cast(PriceList, self)


def usage_record(input_tokens: int, output_tokens: int, **more: Any) -> TokenUsageRecord:
    """A record of OpenAI."""
    made = TokenUsageRecord(
        timestamp="2026-03-01T00:10:00.500Z", request_id="0198c0de-0000-7000-8000-000000000000", provider="openai",
        model="m", path="/v1/chat/completions", status=200, streaming=False, input_tokens=input_tokens,
        output_tokens=output_tokens, cache_read_tokens=0, cache_write_tokens=0, duration_ms=1.0, request_bytes=1,
        response_bytes=1, usage_source="reported", outcome="complete", port="openai", input_tokens_include_cache=True,
    )  # fmt: skip
    for name, value in more.items():
        setattr(made, name, value)
    return made
