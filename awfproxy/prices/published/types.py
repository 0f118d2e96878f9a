"""The shapes in which genai-prices writes its table, as far as prices need them.

Rules: names and members are the library's, and nothing reads a member of these that the library's own have not, so that
the library itself can stand in for them.  What no price needs is taken and dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import msgspec

__all__ = (
    "ArrayMatch",
    "ClauseAnd",
    "ClauseContains",
    "ClauseEndsWith",
    "ClauseEquals",
    "ClauseOr",
    "ClauseRegex",
    "ClauseStartsWith",
    "ConditionalPrice",
    "ModelInfo",
    "ModelPrice",
    "PriceVariant",
    "Provider",
    "StartDateConstraint",
    "Tier",
    "TieredPrices",
    "TimeOfDateConstraint",
    "UsageExtractor",
    "UsageExtractorMapping",
)


class Clause(msgspec.Struct):
    """Whether a name of a model, in small letters, is meant."""

    def is_match(self, text: str) -> bool:
        raise NotImplementedError


class ClauseEquals(Clause):
    equals: str

    def is_match(self, text: str) -> bool:
        return text == self.equals.lower()


class ClauseStartsWith(Clause):
    starts_with: str

    def is_match(self, text: str) -> bool:
        return text.startswith(self.starts_with.lower())


class ClauseEndsWith(Clause):
    ends_with: str

    def is_match(self, text: str) -> bool:
        return text.endswith(self.ends_with.lower())


class ClauseContains(Clause):
    contains: str

    def is_match(self, text: str) -> bool:
        return self.contains.lower() in text


class ClauseRegex(Clause):
    regex: str

    def is_match(self, text: str) -> bool:
        return re.search(self.regex, text) is not None


class ClauseOr(Clause):
    or_: list[Clause]

    def is_match(self, text: str) -> bool:
        return any(clause.is_match(text) for clause in self.or_)


class ClauseAnd(Clause):
    and_: list[Clause]

    def is_match(self, text: str) -> bool:
        return all(clause.is_match(text) for clause in self.and_)


class Tier(msgspec.Struct):
    """A rate for prompts of more than `start` tokens."""

    start: int
    price: Decimal


class TieredPrices(msgspec.Struct):
    base: Decimal
    tiers: list[Tier]


class ModelPrice:
    """Rates by the library's keys, in its ``__dict__``: `Decimal` or `TieredPrices`."""

    def __init__(self, **rates: Decimal | TieredPrices | None) -> None:
        self.__dict__.update(rates)


class StartDateConstraint(msgspec.Struct):
    """From the beginning of this day, UTC."""

    start_date: date


class TimeOfDateConstraint(msgspec.Struct):
    """Daily, from one time to the other."""

    start_time: time
    end_time: time


class ConditionalPrice(msgspec.Struct):
    """Of several the last counts whose constraint is met; where none is, the first."""

    prices: ModelPrice
    constraint: StartDateConstraint | TimeOfDateConstraint | None = None


class PriceVariant(msgspec.Struct):
    """Rates that go before the others for requests of a kind: ``{"service_tier": "flex"}``."""

    when: dict[str, str]
    prices: ModelPrice
    constraint: StartDateConstraint | TimeOfDateConstraint | None = None


class ModelInfo:
    __slots__ = ("deprecated", "id", "match", "price_variants", "prices")

    def __init__(
        self,
        *,
        id: str,
        match: Clause,
        prices: ModelPrice | list[ConditionalPrice],
        price_variants: list[PriceVariant] | None = None,
        deprecated: bool | None = None,
        **_: Any,
    ) -> None:
        self.id = id
        self.match = match
        self.prices = prices
        self.price_variants = price_variants
        self.deprecated = deprecated


class Provider:
    __slots__ = ("fallback_model_providers", "id", "model_match", "models")

    def __init__(
        self,
        *,
        id: str,
        models: Sequence[ModelInfo],
        model_match: Clause | None = None,
        fallback_model_providers: Sequence[str] | None = None,
        **_: Any,
    ) -> None:
        self.id = id
        self.models = models
        self.model_match = model_match
        self.fallback_model_providers = fallback_model_providers


def _dropped(*_: Any, **__: Any) -> None:
    """How the library finds counts in answers; ours are read elsewhere (`core.fields`)."""


ArrayMatch = UsageExtractor = UsageExtractorMapping = _dropped
