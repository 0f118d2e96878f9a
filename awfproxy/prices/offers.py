"""A model as a provider sells it: all its prices, by time and way of serving.

Rules:

* Of several prices of a model the last counts whose condition holds, and where none holds the first; the user's own
  count only while they hold.
* A sheet without any rate is how the library writes "free of charge" as well as "not known".  It is free where the
  provider says so (`_FREE`), else no price at all.
"""

from __future__ import annotations

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from awfproxy.prices.moments import Span, span_of
from awfproxy.prices.price import Price, Source
from awfproxy.prices.rates import Rates, Sheet, rates_of
from awfproxy.prices.tiers import TIER_FACTORS, tier_of

#: The end of the names of models that cost nothing (openrouter.ai/docs, and those who took it over).
FREE_NAME: Final = ":free"
#: Providers and models of the library that are free where it has no rate for them.
_FREE: Final = (
    ("*", f"*{FREE_NAME}"),
    ("github-copilot", "*"),  # docs.github.com, "Models and pricing": included in the subscription
    ("google", "gemma-*"),  # ai.google.dev/gemini-api/docs/pricing: free of charge
    ("openai", "*moderation*"),  # developers.openai.com/api/docs/pricing: free
)
_NOTHING: Final[Sheet] = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
#: Output that is no text.
_OTHER_OUTPUT: Final = ("output_audio_mtok", "output_image_mtok", "output_video_mtok")


class Offer:
    """One model of one provider."""

    def __init__(
        self,
        provider: str,
        model: str,
        sheets: list[tuple[Span, Sheet]],
        variants: list[tuple[str, Span, Sheet]] | None = None,
        *,
        source: Source = "genai-prices",
        free: bool = False,
    ) -> None:
        """
        :param provider: by the library's name
        :param sheets: standard rates; where the conditions of several hold, the last one's, where none does, the
            first one's, but of the user's own prices none
        :param variants: for a way of serving (`tiers`) the rates that differ; the first whose condition holds
        :param free: this provider charges nothing for it
        """
        self.provider = provider
        self.name = f"{provider}/{model}" if provider else model
        self.free = free
        self._sheets = sheets
        self._variants = variants or []
        self._source = source
        self._claude = "claude" in model.lower()
        self._spans = [span for span, _ in sheets] + [span for _, span, _ in self._variants]
        self._dated = any(span != Span() for span in self._spans)
        #: whether its price changes at full hours only
        self.hourly = all(span.hourly for span in self._spans)
        #: prices by which of the spans hold
        self._made: dict[tuple[bool, ...], Price | None] = {}

    @property
    def priced(self) -> bool:
        """Whether it has a price at any time."""
        return any(rates_of(sheet, claude=self._claude) is not None for _, sheet in self._sheets)

    def price(self, at: float) -> Price | None:
        """What it costs; None: it has no price.

        :param at: seconds since the epoch
        """
        held = tuple([span.holds(at) for span in self._spans]) if self._dated else ()
        if held not in self._made:
            self._made[held] = self._make(at)
        return self._made[held]

    def text_rates(self, at: float) -> Rates | None:
        """Its standard rates if it takes and gives text; None: it does not."""
        sheet = self._sheet(at)
        if sheet.get("input_mtok") is None or sheet.get("output_mtok") is None:
            return None
        return None if any(key in sheet for key in _OTHER_OUTPUT) else rates_of(sheet, claude=self._claude)

    def _sheet(self, at: float) -> Sheet:
        for span, sheet in reversed(self._sheets):
            if span.holds(at):
                return sheet
        return self._sheets[0][1] if self._source == "genai-prices" else {}

    def _make(self, at: float) -> Price | None:
        sheet = self._sheet(at)
        standard = rates_of(sheet, claude=self._claude)
        if standard is None:
            return None
        tiers: dict[str, tuple[Rates, str | None]] = {
            tier: (standard.times(factor), f"tier:{tier}")
            for (provider, tier), factor in TIER_FACTORS.items()
            if provider == self.provider
        }
        own: dict[str, dict[str, Any]] = {}
        for tier, span, differing in self._variants:
            if span.holds(at):
                own[tier] = {**differing, **own.get(tier, {})}
        for tier, differing in own.items():
            if (rates := rates_of({**sheet, **differing}, claude=self._claude)) is not None:
                tiers[tier] = (rates, None)
        return Price(self._source, self.name, standard, tiers)


def offer_of(provider: str, model: Any) -> Offer:
    """The offer of a model of the library's (`published.types.ModelInfo`)."""
    if isinstance(model.prices, list):
        sheets = [(span_of(one.constraint), _given(one.prices)) for one in model.prices]
    else:
        sheets = [(span_of(None), _given(model.prices))]
    free = not any(sheet for _, sheet in sheets) and any(
        fnmatchcase(provider, seller) and fnmatchcase(model.id, name) for seller, name in _FREE
    )
    if free:
        sheets = [(span_of(None), _NOTHING)]
    variants = [
        (tier, span_of(variant.constraint), _given(variant.prices))
        for variant in model.price_variants or ()
        if (tier := tier_of(variant.when)) is not None
    ]
    return Offer(provider, model.id, sheets, variants, free=free)


def _given(prices: Any) -> Sheet:
    return {key: rate for key, rate in vars(prices).items() if rate is not None}
