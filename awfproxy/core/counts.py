"""One usage object made sound: checked counts, the provider's own names, and the normalised figures.

* A count is a whole number from 0 to `COUNT_MAX`; ``28.0`` is one, ``true``, ``"12"``, ``1.5``, ``-5`` and ``1e400``
  are not.  What is no count is left out and reported, never recorded.
* Other numbers (costs, seconds) are kept when finite.  Of strings only short enumerations stay (``"ON_DEMAND"``): no
  text of a prompt or an answer may pass here.
* None means that the provider did not say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from . import fields
from .fields import COUNT_MAX, KNOWN_MEMBERS, Name

#: Encoded bytes of a usage object that go into a record.
RAW_MAX = 4 * 1024
#: Bounds of what is looked at inside one object; recorded ones have 4 levels and 20 elements.
DEPTH_MAX = 6
ELEMENTS_MAX = 64

_WORD = re.compile(r"[A-Za-z0-9_.:/<>-]{0,64}\Z")
_COUNT_KEYS = ("tokens", "Tokens", "TokenCount", "token_count", "eval_count")
_DROP: Any = object()

Reject = Callable[[str], None]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What one call used (docs/records.md).  None: not reported."""

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_tokens_include_cache: bool
    #: the provider's own names and numbers, as far as sound
    raw: dict[str, Any]


def parse(text: bytes) -> dict[str, Any] | None:
    """A usage object from its JSON text; None when it is no object, or an empty one, or holds no number at all."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        try:
            value = json.loads(text.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, dict):
        return None
    for member in value.values():
        if type(member) is int:
            return value
    return value if _has_number(value, DEPTH_MAX) else None


def _has_number(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and any(_has_number(member, depth - 1) for member in value.values())
    if isinstance(value, list):
        return depth > 0 and any(_has_number(member, depth - 1) for member in value[:ELEMENTS_MAX])
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def sound(value: dict[str, Any], reject: Reject) -> tuple[dict[str, Any], bool]:
    """The object without what may not be recorded, and whether it had to be cut to `RAW_MAX`."""
    kept: dict[str, Any] = _sound(value, "", DEPTH_MAX, reject)
    if len(msgspec.json.encode(kept)) <= RAW_MAX:
        return kept, False
    kept = {key: member for key, member in kept.items() if key in KNOWN_MEMBERS}
    if len(msgspec.json.encode(kept)) > RAW_MAX:
        kept = {key: member for key, member in kept.items() if not isinstance(member, (dict, list))}
    return kept, True


def _sound(value: Any, key: str, depth: int, reject: Reject) -> Any:
    if isinstance(value, dict):
        if depth == 0:
            return _DROP
        members = {}
        for name, member in value.items():
            if _WORD.match(name) and (kept := _sound(member, name, depth - 1, reject)) is not _DROP:
                members[name] = kept
        return members
    if isinstance(value, list):
        if depth == 0:
            return _DROP
        kept_items = (_sound(item, key, depth - 1, reject) for item in value[:ELEMENTS_MAX])
        return [item for item in kept_items if item is not _DROP]
    if value is None:
        return None
    if key.endswith(_COUNT_KEYS):
        count = as_count(value)
        if count is None:
            reject("bad-count")
            return _DROP
        return count
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else _refuse(reject)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else _refuse(reject)
    return value if isinstance(value, str) and _WORD.match(value) else _DROP


def _refuse(reject: Reject) -> Any:
    reject("bad-number")
    return _DROP


def as_count(value: object) -> int | None:
    """The value as a count of tokens; None when it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX:
        return value
    return None


def _pick(raw: dict[str, Any], names: tuple[Name, ...]) -> tuple[int | None, Name | None]:
    """The first of the names that the object has a count under."""
    for name in names:
        value: Any = raw
        for key in name.path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and (count := as_count(value)) is not None:
            return count, name
    return None, None


def normalise(raw: dict[str, Any], excludes_cache: bool) -> Usage:
    """The figures of a sound usage object.

    `excludes_cache`: the document has Anthropic's shape, whose ``input_tokens`` are without cached ones.
    """
    given = _copilot_counts(raw) if "token_details" in raw else raw
    cache_write, _ = _pick(given, fields.CACHE_WRITE_NAMES)
    if cache_write is None and isinstance(raw.get("copilot_usage"), dict):
        cache_write, _ = _pick(_copilot_counts(raw["copilot_usage"]), fields.CACHE_WRITE_NAMES)
    input_tokens, input_name = _pick(given, fields.INPUT_NAMES)
    output_tokens, _ = _pick(given, fields.OUTPUT_NAMES)
    reasoning, _ = _pick(given, fields.REASONING_NAMES)
    beside, _ = _pick(given, fields.EXTRA_OUTPUT_NAMES)
    if beside is None and reasoning and output_tokens is not None:
        # xAI's chat: the total alone tells that reasoning stands beside the completion.
        total, _ = _pick(given, fields.TOTAL_NAMES)
        if total is not None and total == (input_tokens or 0) + output_tokens + reasoning:
            beside = reasoning
    extra, _ = _pick(given, fields.EXTRA_INPUT_NAMES)
    include_cache = input_name.include_cache if input_name is not None else None
    if include_cache is None:
        include_cache = not (excludes_cache or _anthropic_names(given))
    cache_read, _ = _pick(given, fields.CACHE_READ_NAMES)
    if cache_read is None:
        for group, member in fields.TYPED_LISTS:
            details = raw.get(group)
            if cache_read is None and isinstance(details, dict):
                cache_read = _typed_count(details.get(member), member, fields.TYPED_CACHE_READ)
    return Usage(
        input_tokens=_add(input_tokens, extra),
        output_tokens=_add(output_tokens, beside),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=reasoning,
        input_tokens_include_cache=include_cache,
        raw=raw,
    )


def _add(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _typed_count(items: object, member: str, kind: str) -> int | None:
    """The sum of the counts of this ``token_type`` in a list, and in the lists under `member` of its elements."""
    total = None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            if item.get("token_type") == kind:
                total = _add(total, as_count(item.get("token_count")))
            total = _add(total, _typed_count(item.get(member), member, kind))
    return total


def _anthropic_names(raw: dict[str, Any]) -> bool:
    return "input_tokens" in raw and ("cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw)


def writes_cache(raw: dict[str, Any]) -> bool:
    """Does this ``copilot_usage`` tell of cache writes?  Copilot lumps them into ``prompt_tokens`` without a name."""
    return bool(_pick(_copilot_counts(raw), fields.CACHE_WRITE_NAMES)[0])


def _copilot_counts(raw: dict[str, Any]) -> dict[str, Any]:
    """``copilot_usage`` in the names of a usage object: a type may come in several parts."""
    details = raw.get("token_details")
    counts: dict[str, Any] = {}
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and (name := fields.COPILOT_TYPES.get(str(detail.get("token_type")))):
            count = _add(counts.get(name), as_count(detail.get("token_count")))
            if count is not None:
                counts[name] = count
    return counts
