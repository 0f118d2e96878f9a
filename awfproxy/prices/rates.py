"""From published rates to dollars a token, for every class of `core.consumption`, by length of the prompt.

Rules:

* A class without a rate of its own has that of the class it is part of: what is read from the cache is input, reasoning
  is output, audio is what text is.
* Claude models have cache writes at 1.25 times the input's rate, and at twice that where they are kept for an hour,
  unless there are rates for them (platform.claude.com/docs, "Prompt caching", pricing).
* A rate that rises with the prompt's length holds for all tokens of the call ("cliff"), as providers bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

_MILLION: Final = 1_000_000
_THOUSAND: Final = 1_000


class _Class(NamedTuple):
    name: str
    #: the library's word for its rate, in dollars a million tokens
    key: str
    #: whose rate it has where there is none of its own, the first that has one
    part_of: tuple[str, ...]


#: Every class of tokens, in the order of `Vector`.  A class stands after those that it may be part of.
_CLASSES: Final = (
    _Class("input", "input_mtok", ()),
    _Class("cache_read", "cache_read_mtok", ("input",)),
    _Class("cache_write", "cache_write_mtok", ("input",)),
    _Class("cache_write_1h", "cache_write_1h_mtok", ("cache_write",)),
    _Class("output", "output_mtok", ()),
    _Class("reasoning", "output_reasoning_mtok", ("output",)),
    _Class("input_audio", "input_audio_mtok", ("input",)),
    _Class("input_image", "input_image_mtok", ("input",)),
    _Class("input_video", "input_video_mtok", ("input",)),
    _Class("cache_read_audio", "cache_audio_read_mtok", ("cache_read", "input_audio")),
    _Class("cache_read_image", "cache_image_read_mtok", ("cache_read", "input_image")),
    _Class("output_audio", "output_audio_mtok", ("output",)),
    _Class("output_image", "output_image_mtok", ("output",)),
    _Class("output_video", "output_video_mtok", ("output",)),
)
CLASS_NAMES: Final = tuple(one.name for one in _CLASSES)
#: Rates of the library that are not of tokens: dollars for a thousand.
SEARCHES_KEY: Final = "web_searches_kcount"
CALLS_KEY: Final = "requests_kcount"

#: Times the input's rate (platform.claude.com/docs, "Prompt caching").
_CLAUDE_WRITES: Final = (("cache_write_mtok", Decimal("1.25")), ("cache_write_1h_mtok", Decimal(2)))

#: Rates by the library's words for them: `Decimal` or `types.TieredPrices`.
Sheet = Mapping[str, Any]
#: Dollars a token, one for each of `CLASS_NAMES`.
Vector = tuple[float, ...]
#: Vectors with the number of tokens that the prompt must have more of, ascending; the first has 0.
Bands = tuple[tuple[int, Vector], ...]


class Rates(NamedTuple):
    """All rates of one model under one way of serving."""

    bands: Bands
    #: dollars a call, a search
    call: float
    search: float
    #: classes that have no rate, not even of what they are part of
    without: frozenset[str]

    def times(self, factor: float) -> Rates:
        """With all tokens at `factor` times their rate."""
        bands = tuple((over, tuple(rate * factor for rate in vector)) for over, vector in self.bands)
        return self._replace(bands=bands)


def rates_of(sheet: Sheet, *, claude: bool) -> Rates | None:
    """The rates of a sheet; None: it has none for tokens of text.

    :param claude: the model is one of Anthropic's
    """
    if sheet.get("input_mtok") is None and sheet.get("output_mtok") is None:
        return None
    starts = {0}
    for value in sheet.values():
        starts.update(tier.start for tier in getattr(value, "tiers", ()))
    bands, without = [], frozenset[str]()
    for start in sorted(starts):
        rates = _filled(sheet, start, claude=claude)
        without = frozenset(name for name, rate in rates.items() if rate is None)
        bands.append((start, tuple(float((rate or Decimal(0)) / _MILLION) for rate in rates.values())))
    return Rates(tuple(bands), _thousandth(sheet.get(CALLS_KEY)), _thousandth(sheet.get(SEARCHES_KEY)), without)


def _filled(sheet: Sheet, start: int, *, claude: bool) -> dict[str, Decimal | None]:
    own = {one.name: _rate(sheet.get(one.key), start) for one in _CLASSES}
    if claude and (plain := own["input"]) is not None:
        for one in _CLASSES:
            factor = dict(_CLAUDE_WRITES).get(one.key)
            if factor is not None and own[one.name] is None:
                own[one.name] = plain * factor
    rates: dict[str, Decimal | None] = {}
    for one in _CLASSES:
        rate = own[one.name]
        if rate is None:
            wholes = [whole for whole in one.part_of if own[whole] is not None] or list(one.part_of[:1])
            rate = rates[wholes[0]] if wholes else None
        rates[one.name] = rate
    return rates


def _rate(value: Any, start: int) -> Decimal | None:
    """The rate of prompts with more than `start` tokens."""
    if value is None or isinstance(value, Decimal):
        return value
    rate: Decimal = value.base
    for tier in sorted(value.tiers, key=lambda tier: tier.start):
        if tier.start <= start:
            rate = tier.price
    return rate


def _thousandth(value: Any) -> float:
    rate = _rate(value, 0)
    return 0.0 if rate is None else float(rate / _THOUSAND)
