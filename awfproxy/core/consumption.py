"""What a call consumed, in classes that have prices of their own: facts split, nothing priced (`awfproxy.prices` does).

Rules:

* Classes are disjoint: a token stands in exactly one of them.  Where a provider counts cached tokens in its input
  (OpenAI, Gemini; `Usage.input_tokens_include_cache`) they are taken out of it, where it does not (Anthropic, Bedrock
  Converse) they are left.  What is taken out is never more than there is: no class is below 0.
* Reasoning is a part of the output.  It stands in a class of its own because few models price it apart; all others
  price it as output.
* Parts that a provider names (audio, images, what was kept for an hour) are taken out of the class they are part of, as
  far as it has that many.
* A count that nobody reported adds nothing, and where nothing at all is known there is no consumption: None, not 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

import msgspec

from awfproxy.core.counts import Usage, as_count
from awfproxy.core.fields import STANDARD_TIERS

#: Providers whose own figure of the input is always without the cached tokens.
APART: Final = frozenset({"anthropic", "bedrock"})
#: The one that serves models of both kinds.
MIXED: Final = "copilot"

_NOTHING: Final[Mapping[str, Any]] = {}

#: Members that tell the tier.  Anthropic's `speed` stands beside its `service_tier`, and is what decides the price.
_TIERS: Final = ("speed", "service_tier", "trafficType")
#: Google writes the tier with its type before it (``ON_DEMAND_FLEX``, ``SERVICE_TIER_PRIORITY``).
_TIER_PREFIXES: Final = ("on_demand_", "service_tier_", "traffic_type_")
#: The place where Anthropic serves a call for a surcharge (its page on data residency); "global" and "not_available"
#: are without.
_REGIONAL: Final = "us"


class Consumption(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one call, by class; each at least 0.  Input is the sum of all but the output's and the searches."""

    #: text of the prompt, and whatever of it is in no class below; neither read from the cache nor written to it
    input: int = 0
    cache_read: int = 0
    #: written to be kept for five minutes, or for as long as the provider keeps by default
    cache_write: int = 0
    #: written to be kept for an hour (Anthropic)
    cache_write_1h: int = 0
    #: everything generated that is in no class below
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    input_image: int = 0
    input_video: int = 0
    cache_read_audio: int = 0
    cache_read_image: int = 0
    output_audio: int = 0
    output_image: int = 0
    output_video: int = 0
    #: searches of the web that the provider made and bills apart, in calls
    web_searches: int = 0
    #: the provider's word for a way of serving that has prices of its own ("batch", "flex", "priority", "fast", ...),
    #: in small letters; None: the standard one, or not said
    service_tier: str | None = None
    #: true: the provider kept the call to one country for a surcharge (Anthropic's ``inference_geo``)
    regional: bool = False

    @property
    def media(self) -> bool:
        """Some of it is audio, images or video."""
        return bool(
            self.input_audio
            or self.input_image
            or self.input_video
            or self.cache_read_audio
            or self.cache_read_image
            or self.output_audio
            or self.output_image
            or self.output_video
        )

    @property
    def prompt(self) -> int:
        """All tokens of the input, cached or not: what prices by the length of the prompt go by."""
        return (
            self.input
            + self.cache_read
            + self.cache_write
            + self.cache_write_1h
            + self.input_audio
            + self.input_image
            + self.input_video
            + self.cache_read_audio
            + self.cache_read_image
        )


class Counted(Protocol):
    """The members of a usage record that tell what was consumed: `records.TokenUsageRecord` has them all; AWF's own
    records have the four counts and None in the others."""

    @property
    def provider(self) -> str: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def input_tokens_include_cache(self) -> bool | None: ...
    @property
    def reasoning_tokens(self) -> int | None: ...
    @property
    def unknown(self) -> Collection[str] | None: ...
    @property
    def usage(self) -> Mapping[str, Any] | None: ...


def consumption(usage: Usage, extra: Mapping[str, Any] | None = None) -> Consumption | None:
    """What a call consumed by its usage as it was read.

    :param extra: the provider's own usage object; None: `usage.raw`
    :returns: None: neither input nor output nor cache counts are known
    """
    return _split(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.input_tokens_include_cache,
        usage.raw if extra is None else extra,
    )


def of_record(record: Counted) -> Consumption | None:
    """The same from a line of ``token-usage.jsonl``, AWF's own too; counts named in `unknown` are not known."""
    unknown = record.unknown or ()
    fresh = None if "input_tokens" in unknown else record.input_tokens
    read = None if "cache_read_tokens" in unknown else record.cache_read_tokens
    written = None if "cache_write_tokens" in unknown else record.cache_write_tokens
    included = record.input_tokens_include_cache
    return _split(
        fresh,
        None if "output_tokens" in unknown else record.output_tokens,
        read,
        written,
        record.reasoning_tokens,
        guessed_to_include(record.provider, fresh, read, written) if included is None else included,
        record.usage or _NOTHING,
    )


def guessed_to_include(
    provider: str | None, input_tokens: int | None, cache_read: int | None, cache_write: int | None
) -> bool:
    """Whether the input counts the cached tokens too, in a record that does not say.

    Ours say it wherever there are cached tokens.  AWF's api-proxy says it only where it saw an answer of OpenAI's shape
    with cached tokens, and drops it from what it writes (`mergeCopilotBreakdown`, `buildTokenUsageRecord`): of Copilot,
    which answers in both shapes, its input is with the cached ones or without.  Answers of OpenAI's shape tell no
    writes, and a part is never more than the whole.

    :param input_tokens: this and the others: None: not known
    """
    if provider in APART or (provider == MIXED and cache_write):
        return False
    return input_tokens is None or (cache_read or 0) + (cache_write or 0) <= input_tokens


def _split(
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None,
    cache_write: int | None,
    reasoning: int | None,
    included: bool,
    raw: Mapping[str, Any],
) -> Consumption | None:
    written_1h, written = _written(cache_write, raw)
    if input_tokens is None and output_tokens is None and cache_read is None and cache_write is None:
        return None
    read = cache_read or 0
    # Cached tokens that are in the input's figure too, and those that are not, mean the same from here on.
    plain = (input_tokens or 0) - (read + written + written_1h if included else 0)
    if plain < 0:
        plain = 0
    made = output_tokens or 0
    prompt_parts, cached_parts = _prompt_parts(raw)
    output_parts = _output_parts(raw)
    searches, tier = _count(raw.get("server_tool_use"), "web_search_requests"), _tier(raw)
    regional = raw.get("inference_geo") == _REGIONAL
    if prompt_parts is cached_parts is output_parts is _NO_PARTS:
        # Nearly every call; every argument costs a tenth of a microsecond.
        thought = 0 if reasoning is None else min(reasoning, made)
        return Consumption(
            input=plain,
            cache_read=read,
            cache_write=written,
            cache_write_1h=written_1h,
            output=made - thought,
            reasoning=thought,
            web_searches=searches,
            service_tier=tier,
            regional=regional,
        )
    heard_before, shown_before = _within(read, *cached_parts[:2])
    heard, shown, filmed = prompt_parts
    heard, shown, filmed = _within(plain, max(heard - heard_before, 0), max(shown - shown_before, 0), filmed)
    thought, spoken, drawn, played = _within(made, reasoning or 0, *output_parts)
    return Consumption(
        input=plain - heard - shown - filmed,
        cache_read=read - heard_before - shown_before,
        cache_write=written,
        cache_write_1h=written_1h,
        output=made - thought - spoken - drawn - played,
        reasoning=thought,
        input_audio=heard,
        input_image=shown,
        input_video=filmed,
        cache_read_audio=heard_before,
        cache_read_image=shown_before,
        output_audio=spoken,
        output_image=drawn,
        output_video=played,
        web_searches=searches,
        service_tier=tier,
        regional=regional,
    )


def _within(whole: int, *parts: int) -> tuple[int, ...]:
    """The parts, together never more than the whole: first come, first served."""
    left, kept = whole, []
    for part in parts:
        kept.append(min(part, left))
        left -= kept[-1]
    return tuple(kept)


def _written(total: int | None, raw: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the cache: for an hour (Anthropic's ``cache_creation``, Bedrock's ``cacheDetails``), others."""
    created, details = raw.get("cache_creation"), raw.get("cacheDetails")
    if created is None and details is None:
        return 0, total or 0
    hour = _count(created, "ephemeral_1h_input_tokens")
    if isinstance(details, list):
        hour += sum(_count(detail, "inputTokens") for detail in details if _member(detail, "ttl") == "1h")
    whole = hour + _count(created, "ephemeral_5m_input_tokens") if total is None else total
    hour = min(hour, whole)
    return hour, whole - hour


#: Tokens of audio, images and video.
_Parts = tuple[int, int, int]
_NO_PARTS: Final[_Parts] = (0, 0, 0)


def _prompt_parts(raw: Mapping[str, Any]) -> tuple[_Parts, _Parts]:
    """Of the whole input, what was read from the cache too; and of that."""
    details = raw.get("prompt_tokens_details") or raw.get("input_tokens_details")
    if details:
        return _named(details), _named(_member(details, "cached_tokens_details"))
    return _listed(raw.get("promptTokensDetails")), _listed(raw.get("cacheTokensDetails"))


def _output_parts(raw: Mapping[str, Any]) -> _Parts:
    details = raw.get("completion_tokens_details") or raw.get("output_tokens_details")
    return _named(details) if details else _listed(raw.get("candidatesTokensDetails"))


def _named(details: object) -> _Parts:
    """OpenAI's and xAI's: a member for each kind."""
    audio, image = _count(details, "audio_tokens"), _count(details, "image_tokens")
    return (audio, image, 0) if audio or image else _NO_PARTS


def _listed(elements: object) -> _Parts:
    """Google's: an element for each kind."""
    if not isinstance(elements, list):
        return _NO_PARTS
    sums = {"AUDIO": 0, "IMAGE": 0, "VIDEO": 0}
    for element in elements:
        kind = _member(element, "modality")
        if isinstance(kind, str) and kind in sums:
            sums[kind] += _count(element, "tokenCount")
    return (sums["AUDIO"], sums["IMAGE"], sums["VIDEO"]) if any(sums.values()) else _NO_PARTS


def _member(holder: object, member: str) -> object:
    return holder.get(member) if isinstance(holder, dict) else None


def _count(holder: object, member: str) -> int:
    if not isinstance(holder, dict) or not (value := holder.get(member)):
        return 0
    return as_count(value) or 0


def _tier(raw: Mapping[str, Any]) -> str | None:
    for name in _TIERS:
        if name in raw and isinstance(word := raw[name], str) and word not in STANDARD_TIERS:
            word = word.lower()
            for prefix in _TIER_PREFIXES:
                word = word.removeprefix(prefix)
            if word not in STANDARD_TIERS:
                return word
    return None
