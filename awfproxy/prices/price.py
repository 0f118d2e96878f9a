"""What a model's tokens cost, ready to be multiplied.

Rules: no look-ups and no dates are left, and nothing changes: a `Price` may be used from any thread.  What of a cost is
by a rule, and not by a published rate, can be asked for: it is never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from awfproxy.core.consumption import Consumption
from awfproxy.prices.rates import Rates

Source = Literal["override", "genai-prices"]

#: Times all token rates where the provider keeps the call to one country (platform.claude.com/docs, "Data residency").
REGIONAL_FACTOR: Final = 1.1

_NONE: Final[Mapping[str, tuple[Rates, str | None]]] = MappingProxyType({})


class Price:
    """What a model's tokens cost at one time.  Immutable: any thread may use it."""

    __slots__ = ("_standard", "_tiers", "name", "source")

    source: Source
    #: the model as the price list calls it, with the provider whose price it is: ``openai/gpt-5``
    name: str

    def __init__(
        self, source: Source, name: str, standard: Rates, tiers: Mapping[str, tuple[Rates, str | None]] = _NONE
    ) -> None:
        """
        :param tiers: for other ways of serving (`Consumption.service_tier`) the rates, and what `assumed` says of them
        """
        self.source = source
        self.name = name
        self._standard = standard
        self._tiers = tiers

    def __repr__(self) -> str:
        return f"<Price {self.name} by {self.source}>"

    @property
    def steps(self) -> tuple[int, ...]:
        """Lengths of the prompt, in tokens, above which other standard rates hold; ascending, none: always the same."""
        return tuple(over for over, _ in self._standard.bands[1:])

    def cost(self, consumed: Consumption) -> float:
        """Dollars, at least 0."""
        rates = self._rates(consumed)
        vector = _band(rates, consumed)
        dollars = (
            consumed.input * vector[0]
            + consumed.cache_read * vector[1]
            + consumed.cache_write * vector[2]
            + consumed.cache_write_1h * vector[3]
            + consumed.output * vector[4]
            + consumed.reasoning * vector[5]
        )
        if consumed.media:
            dollars += (
                consumed.input_audio * vector[6]
                + consumed.input_image * vector[7]
                + consumed.input_video * vector[8]
                + consumed.cache_read_audio * vector[9]
                + consumed.cache_read_image * vector[10]
                + consumed.output_audio * vector[11]
                + consumed.output_image * vector[12]
                + consumed.output_video * vector[13]
            )
        if consumed.regional:
            dollars *= REGIONAL_FACTOR
        return dollars + rates.call + consumed.web_searches * rates.search

    def output_cost(self, consumed: Consumption) -> float:
        """The part of it that what was generated costs."""
        vector = _band(self._rates(consumed), consumed)
        dollars = consumed.output * vector[4] + consumed.reasoning * vector[5]
        if consumed.output_audio or consumed.output_image or consumed.output_video:
            dollars += (
                consumed.output_audio * vector[11]
                + consumed.output_image * vector[12]
                + consumed.output_video * vector[13]
            )
        return dollars * REGIONAL_FACTOR if consumed.regional else dollars

    def _rates(self, consumed: Consumption) -> Rates:
        tier = consumed.service_tier
        return self._standard if tier is None or tier not in self._tiers else self._tiers[tier][0]

    def assumed(self, consumed: Consumption) -> str | None:
        """What of the cost is by a rule and not by a published rate, in a word for reports; None: nothing.

        * ``tier:flex``: the model has no rates for that way of serving; its provider's general rule was applied.
        * ``unpriced-tier:priority``: there is no rule either; the standard rates were taken.
        * ``unpriced-class:output``: tokens of that class have no rate and cost nothing here.
        """
        tier, rates = consumed.service_tier, self._standard
        if tier is not None:
            if tier not in self._tiers:
                return f"unpriced-tier:{tier}"
            rates, note = self._tiers[tier]
            if note is not None:
                return note
        for name in sorted(rates.without):
            if getattr(consumed, name):
                return f"unpriced-class:{name}"
        return None


def _band(rates: Rates, consumed: Consumption) -> Sequence[float]:
    """What each class costs where the prompt is as long as it is."""
    bands = rates.bands
    vector = bands[0][1]
    if len(bands) > 1:
        prompt = consumed.prompt
        for over, dearer in bands:
            if prompt > over:
                vector = dearer
    return vector
