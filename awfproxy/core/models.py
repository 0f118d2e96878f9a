"""What is known of models by their names: the longest answer, and what a picture in the request costs at most.

For upper bounds only, so every figure may be too large and none too small: a family has the figure of its largest
member.  A model that is not in the table is not known; nothing is assumed of it.

Longest answers (tokens, reasoning included): the model pages of OpenAI (developers.openai.com/api/docs/models),
Anthropic (platform.claude.com/docs/en/about-claude/models/overview) and Google (ai.google.dev/gemini-api/docs/models).

Pictures (tokens each, whatever their size): OpenAI scales a picture down and counts tiles (85 and 8 times 170 at most,
gpt-4o-mini 2,833 and 8 times 5,667) or patches (2.46 times 1,536 at most; 1.2 times 10,000 with the ``original`` detail
of gpt-5.4 and later); Anthropic scales it to some 1,600 tokens, newer models to 4,800 (the vision pages of both).
Google cuts it into as many tiles as it takes, so there is no figure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple


class Known(NamedTuple):
    """One family of models."""

    #: tokens
    output: int
    #: tokens of one picture; None: no bound is known, or it takes none
    picture: int | None


#: names that are remembered with what is known of them: agents use a few, and clients can make up any
NAMES_MAX: Final = 256

_TILED: Final = 1_500
_PATCHED: Final = 4_000
_ORIGINAL: Final = 15_000
_CLAUDE: Final = 2_000
_CLAUDE_FINE: Final = 5_000

#: by the beginning of the name; the longest that fits stands
MODELS: Final[dict[str, Known]] = {
    "gpt-3.5-turbo": Known(16_384, None),
    "gpt-4": Known(8_192, None),
    "gpt-4-32k": Known(32_768, None),
    "gpt-4-turbo": Known(4_096, _TILED),
    "gpt-4o": Known(16_384, _TILED),
    "gpt-4o-mini": Known(16_384, 50_000),
    "chatgpt-4o": Known(16_384, _TILED),
    "gpt-4.1": Known(32_768, _PATCHED),
    "gpt-4.5": Known(16_384, _TILED),
    "gpt-5": Known(128_000, _ORIGINAL),
    "gpt-5-pro": Known(272_000, _ORIGINAL),
    "o1": Known(100_000, _TILED),
    "o3": Known(100_000, _TILED),
    "o4-mini": Known(100_000, _PATCHED),
    "codex-mini": Known(100_000, _PATCHED),
    "claude-3-haiku": Known(4_096, _CLAUDE),
    "claude-3-sonnet": Known(4_096, _CLAUDE),
    "claude-3-opus": Known(4_096, _CLAUDE),
    "claude-3-5": Known(8_192, _CLAUDE),
    "claude-3-7": Known(128_000, _CLAUDE),
    "claude-opus-4": Known(128_000, _CLAUDE_FINE),
    "claude-sonnet-4": Known(128_000, _CLAUDE_FINE),
    "claude-haiku-4": Known(64_000, _CLAUDE_FINE),
    "gemini-1.5": Known(8_192, None),
    "gemini-2.0": Known(65_536, None),
    "gemini-2.5": Known(65_536, None),
    "gemini-3": Known(65_536, None),
}

#: models that search, or call tools of their own, so that their input is not what was sent
_SELF_WILLED: Final = re.compile(r"search|sonar|compound|deep-research|deepresearch|online|agent")
#: before the name itself: ids of gateways ("openai/"), of Bedrock ("us.anthropic."), of fine-tuned models, of Google
_BEFORE: Final = re.compile(r"^(?:ft:|.*/|(?:[a-z-]+\.)*?anthropic\.)+")


@lru_cache(maxsize=NAMES_MAX)
def known(model: str) -> Known | None:
    """What is known of ``model``; None: nothing."""
    name = _BEFORE.sub("", model.lower())
    best = max((each for each in MODELS if name.startswith(each)), key=len, default=None)
    return None if best is None else MODELS[best]


@lru_cache(maxsize=NAMES_MAX)
def self_willed(model: str) -> bool:
    """Whether the provider adds input of its own to what is sent to this model."""
    return _SELF_WILLED.search(model.lower()) is not None
