"""Usage objects that are plain, read in one pass: what nearly every answer brings.

Plain is an object of known names with sound counts, nothing else: then there is nothing to leave out, and each member
is looked up once in a table of roles made from the rows of `fields`.  Whatever is not plain is left to `counts`, whose
answer is the same by law (tests/core/test_plain_usage.py), only six times as dear.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .counts import Usage
from .fields import (
    CACHE_READ_NAMES,
    CACHE_WRITE_NAMES,
    COUNT_MAX,
    EXTRA_INPUT_NAMES,
    EXTRA_OUTPUT_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    REASONING_NAMES,
    TOTAL_NAMES,
    Name,
)

#: the roles, as places in a list of figures
_INPUT, _OUTPUT, _READ, _WRITE, _REASONING, _EXTRA_IN, _EXTRA_OUT, _TOTAL = range(8)
_ROWS: Final[tuple[tuple[Name, ...], ...]] = (
    INPUT_NAMES, OUTPUT_NAMES, CACHE_READ_NAMES, CACHE_WRITE_NAMES, REASONING_NAMES, EXTRA_INPUT_NAMES,
    EXTRA_OUTPUT_NAMES, TOTAL_NAMES,
)  # fmt: skip
#: further members that occur in plain objects and have no role
_BYSTANDERS: Final = (
    "audio_tokens", "text_tokens", "image_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
    "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "web_search_requests", "web_fetch_requests",
    "prompt_cache_miss_tokens",
)  # fmt: skip
_GROUPS: Final = ("server_tool_use", "cache_creation")
#: members whose value is a short enumeration
_WORDS: Final = frozenset(("service_tier", "speed", "inference_geo", "trafficType"))
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]*").fullmatch
#: characters of an enumeration's word
_WORD_MAX: Final = 64

#: figure and rank within it
_Role = tuple[int, int]


def _tables() -> tuple[dict[str, list[_Role]], dict[str, dict[str, list[_Role]]]]:
    outer: dict[str, list[_Role]] = {name: [] for name in _BYSTANDERS}
    inner: dict[str, dict[str, list[_Role]]] = {group: {name: [] for name in _BYSTANDERS} for group in _GROUPS}
    for figure, names in enumerate(_ROWS):
        for rank, name in enumerate(names):
            if len(name.path) == 1:
                outer.setdefault(name.path[0], []).append((figure, rank))
            elif len(name.path) == 2:
                group = inner.setdefault(name.path[0], {name: [] for name in _BYSTANDERS})
                group.setdefault(name.path[1], []).append((figure, rank))
    return outer, inner


_OUTER, _INNER = _tables()
_UNRANKED: Final = 1000


def read_plain(given: dict[str, Any], excludes_cache: bool) -> Usage | None:
    """The figures of a plain usage object, with itself as its raw; None: it is not plain."""
    figures: list[int | None] = [None] * 8
    ranks = [_UNRANKED] * 8
    for key, value in given.items():
        kind = type(value)
        if kind is int:
            roles = _OUTER.get(key)
            if roles is None or not 0 <= value <= COUNT_MAX:
                return None
            for figure, rank in roles:
                if rank < ranks[figure]:
                    figures[figure], ranks[figure] = value, rank
        elif kind is dict:
            group = _INNER.get(key)
            if group is None:
                return None
            for name, count in value.items():
                roles = group.get(name)
                if roles is None:
                    return None
                if count is None:
                    continue
                if type(count) is not int or not 0 <= count <= COUNT_MAX:
                    return None
                for figure, rank in roles:
                    if rank < ranks[figure]:
                        figures[figure], ranks[figure] = count, rank
        elif value is None:
            if key not in _OUTER and key not in _INNER and key not in _WORDS:
                return None
        elif kind is not str or key not in _WORDS or len(value) > _WORD_MAX or _WORD(value) is None:
            return None
    tokens_in, tokens_out, read, write, reasoning, extra_in, beside, total = figures
    if (
        beside is None
        and reasoning
        and tokens_out is not None
        and total == (tokens_in or 0) + tokens_out + reasoning
    ):
        beside = reasoning  # xAI's chat: the total alone tells that reasoning stands beside the completion
    include_cache = None if tokens_in is None else INPUT_NAMES[ranks[_INPUT]].include_cache
    if include_cache is None:
        anthropic = "cache_read_input_tokens" in given or "cache_creation_input_tokens" in given
        include_cache = not (excludes_cache or (anthropic and "input_tokens" in given))
    if extra_in is not None:
        tokens_in = extra_in + (tokens_in or 0)
    if beside is not None:
        tokens_out = beside + (tokens_out or 0)
    return Usage(tokens_in, tokens_out, read, write, reasoning, include_cache, given)
