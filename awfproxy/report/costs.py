"""What records cost, by the price list: exact for each call, and fast for the many whose price is plain.

Rules:

* The cost of a call is `Price.cost` of `core.consumption.of_record`.  Where a call has nothing but tokens of text, was
  served the standard way, and its prompt is not so long that dearer rates begin, that is a sum of counts times `Rates`.
  They are in whole pico-dollars, so that no order of adding shows.  Every other call goes the long way (`exact`).
* Which calls are plain the decoder says: a record whose `usage` has anything with a price of its own does not decode as
  a `PlainRow`.
* Prices are those of the time at which the call was admitted: its ten minutes, where they change within an hour.
* Where the way of serving, or a part of what was used, has no rate of its own, the cost is a least one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from awfproxy.core.consumption import Consumption, of_record
from awfproxy.core.fields import COUNT_MAX
from awfproxy.report.rows import COUNTS, Count, Counted, Row, UsageRow, decoded
from awfproxy.report.times import HOUR, TEN_MINUTES, comparable, moment

if TYPE_CHECKING:
    from awfproxy.prices.price_list import Price, PriceList

#: pico-dollars in a dollar: a rate of a cent a million tokens is 10,000 of them a token
PICO: Final = 10**12
#: tokens by which a rate is found: so few that no price of long prompts is met
SAMPLE: Final = 1_000
#: how the words of the price list begin for what has no rate
UNPRICED: Final = "unpriced-"
#: rates that are kept, by provider, model and ten minutes
KEPT_MAX: Final = 8_192

#: Words for the standard way of serving: those of `core.consumption`, as providers write them.
_Standard = Literal["", "default", "standard", "standard_only", "auto", "on_demand", "unspecified", "ON_DEMAND"]
#: Words that are the same objects in every row: those are found faster, and most records have no others.
_Source = Literal["reported", "partial", "estimated"]
_Unknown = Literal["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "status"]
_None = Annotated[int, Meta(ge=0, le=0)]


class _Kept(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: Count | None = None


class _Parts(msgspec.Struct, gc=False):
    audio_tokens: _None | None = None
    image_tokens: _None | None = None
    cached_tokens_details: None = None


class _Kind(msgspec.Struct, gc=False):
    modality: Literal["TEXT"]


class _Searches(msgspec.Struct, gc=False):
    web_search_requests: _None | None = None


class _Plain(msgspec.Struct, gc=False):
    """A usage object in which nothing has a price of its own, but for what is kept for an hour."""

    cache_creation: _Kept | None = None
    prompt_tokens_details: _Parts | None = None
    completion_tokens_details: _Parts | None = None
    service_tier: _Standard | None = None
    server_tool_use: _Searches | None = None
    input_tokens_details: _Parts | None = None
    output_tokens_details: _Parts | None = None
    cached_tokens_details: None = None
    promptTokensDetails: list[_Kind] | None = None
    candidatesTokensDetails: list[_Kind] | None = None
    responseTokensDetails: list[_Kind] | None = None
    cacheTokensDetails: list[_Kind] | None = None
    cacheDetails: None = None
    speed: _Standard | None = None
    trafficType: _Standard | None = None
    inference_geo: Literal["global", "not_available", ""] | None = None


class PlainCounted(Counted):
    """The same as `PlainRow`, without labels."""

    usage_source: _Source | None = None
    unknown: tuple[_Unknown, ...] | None = None
    usage: _Plain | None = None


class PlainRow(Row):
    """A row whose price is its counts times its model's rates."""

    usage_source: _Source | None = None
    unknown: tuple[_Unknown, ...] | None = None
    usage: _Plain | None = None


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Pico-dollars a token, as far as prompts are not longer than `longest`."""

    price: Price
    longest: int
    #: a call, whatever it used
    call: int
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int
    reasoning: int

    def of(self, calls: int, fresh: int, read: int, written: int, hour: int, output: int, thought: int) -> int:
        """Pico-dollars of so many calls that consumed so many tokens of each class together."""
        return (
            calls * self.call
            + fresh * self.input
            + read * self.cache_read
            + written * self.cache_write
            + hour * self.cache_write_1h
            + output * self.output
            + thought * self.reasoning
        )


class Cost(NamedTuple):
    """Of one call."""

    #: pico-dollars
    pico: int
    #: it is at least that: not all of it has a rate
    least: bool = False


class Costs:
    """Prices rows.

    :param now: when a call was made that does not say when, seconds since the epoch
    """

    def __init__(self, prices: PriceList, now: float) -> None:
        self._prices = prices
        self._now = now
        self._kept: dict[tuple[str | None, str | None, str | None], Rates | None] = {}
        #: by provider and model
        self._spans: dict[tuple[str | None, str | None], int] = {}
        #: the price list has few prices, and the same one for the same model
        self._by_price: dict[Price, Rates] = {}
        #: calls of which a part of the cost is by a rule, or left out, by the price list's word for it
        self.assumed: dict[str, int] = {}
        #: where the prices that were used are from
        self.sources: set[str] = set()

    @property
    def description(self) -> str:
        """Where all prices are from."""
        return self._prices.description

    def rates(self, row: Counted) -> Rates | None:
        """The rates of the row's model at its time; None: it has no price."""
        return self.rates_at(row, comparable(row.when))

    def rates_at(self, row: Counted, when: str | None) -> Rates | None:
        """The same at another time, or at its own where that has been looked into.

        :param when: `comparable`; None: now
        """
        key = (row.provider, row.model, when and when[:TEN_MINUTES])
        kept = self._kept
        if key in kept:
            return kept[key]
        if len(kept) >= KEPT_MAX:
            kept.clear()
        begun = None if when is None else moment(f"{when[:TEN_MINUTES]}0:00Z")
        at = self._now if begun is None else begun.timestamp()
        price = self._prices.find(row.provider or "", row.model or "", at)
        rates = None
        if price is not None:
            rates = self._by_price.get(price)
            if rates is None:
                self.sources.add(price.source)
                rates = self._by_price[price] = _rates_of(price)
        kept[key] = rates
        return rates

    def span(self, row: Counted) -> int:
        """Characters of a canonical time such that calls of the row's model whose times begin alike have one price:
        `HOUR` or `TEN_MINUTES`."""
        key = (row.provider, row.model)
        found = self._spans.get(key)
        if found is None:
            if len(self._spans) >= KEPT_MAX:
                self._spans.clear()
            hourly = self._prices.hourly(row.provider or "", row.model or "")
            found = self._spans[key] = HOUR if hourly else TEN_MINUTES
        return found

    def exact(self, line: bytes, rates: Rates) -> Cost:
        """The long way: of the call of this line; 0 where nothing is known of what it used."""
        row = decoded(line, _decode)
        if isinstance(row, str):
            raise TypeError(f"only records have a cost: {row}")
        consumed = of_record(Consumer(row))
        if consumed is None:
            return Cost(0)
        word = rates.price.assumed(consumed)
        if word is not None:
            self.assumed[word] = self.assumed.get(word, 0) + 1
        return Cost(_pico(rates.price.cost(consumed)), word is not None and word.startswith(UNPRICED))


class Used(Counted):
    """A row with the provider's own usage object, and without labels."""

    usage: Any = None


class Consumer:
    """A row as `core.consumption` takes records."""

    __slots__ = (*COUNTS, "input_tokens_include_cache", "provider", "unknown", "usage")

    def __init__(self, row: UsageRow | Used) -> None:
        self.provider = row.provider or ""
        self.input_tokens = row.input_tokens or 0
        self.output_tokens = row.output_tokens or 0
        self.cache_read_tokens = row.cache_read_tokens or 0
        self.cache_write_tokens = row.cache_write_tokens or 0
        self.reasoning_tokens = row.reasoning_tokens
        self.input_tokens_include_cache = row.input_tokens_include_cache
        self.unknown = {name for name in COUNTS if getattr(row, name) is None} | {*(row.unknown or ())}
        self.usage: dict[str, Any] | None = row.usage if isinstance(row.usage, dict) else None


def _rates_of(price: Price) -> Rates:
    call = _pico(price.cost(Consumption()))

    def rate(consumed: Consumption) -> int:
        return round((_pico(price.cost(consumed)) - call) / SAMPLE)

    # Where a class has no rate, that is to be told of every call: they all go the long way.
    told = price.assumed(Consumption(input=1, cache_read=1, cache_write=1, cache_write_1h=1, output=1, reasoning=1))
    return Rates(
        price,
        min(price.steps, default=COUNT_MAX * len(COUNTS)) if told is None else -1,
        call,
        rate(Consumption(input=SAMPLE)),
        rate(Consumption(cache_read=SAMPLE)),
        rate(Consumption(cache_write=SAMPLE)),
        rate(Consumption(cache_write_1h=SAMPLE)),
        rate(Consumption(output=SAMPLE)),
        rate(Consumption(reasoning=SAMPLE)),
    )


def _pico(dollars: float) -> int:
    return round(dollars * PICO)


_decode: Final = msgspec.json.Decoder(Used).decode
