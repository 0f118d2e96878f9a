"""How the simulated providers count tokens: rules simple enough for a test to apply by itself.

* A token of text is a word: a run of characters that are not white space.
* The prompt is every string found in the members of `PROMPT_MEMBERS`, however deep, but for those that are not text
  (`NOT_TEXT`: roles, types, ids, names, inline data).
* A prompt is never less than one token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

#: Members of a request body that hold what the model reads, over all the APIs simulated here.
PROMPT_MEMBERS = (
    "messages",
    "system",
    "instructions",
    "input",
    "prompt",
    "contents",
    "content",
    "systemInstruction",
    "system_instruction",
    "generateContentRequest",
)

#: Members inside those that are no text.
NOT_TEXT = frozenset(
    {"role", "type", "id", "name", "call_id", "tool_call_id", "tool_use_id", "toolUseId", "data", "mimeType", "model"}
)

#: OpenAI caches prompts of at least this many tokens, ... (platform.openai.com/docs/guides/prompt-caching)
CACHE_FROM = 1024
#: ... and reports the cached part in steps of this many.
CACHE_STEP = 128


class Figures(msgspec.Struct, frozen=True):
    """What one answer used, in the sense of a token-usage record.

    ``input`` is the prompt in the provider's own sense (Anthropic's leaves cache reads and writes out, the others'
    include them); ``output`` is all that was generated, ``reasoning`` the part of it that is not shown.
    """

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


def words(text: str) -> int:
    """The tokens of one text."""
    return len(text.split())


def text_tokens(value: object) -> int:
    """The words of every string inside ``value``.  Walks with a list of its own: nesting may be deep."""
    total = 0
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += words(item)
        elif isinstance(item, Mapping):
            waiting.extend(member for name, member in item.items() if name not in NOT_TEXT)
        elif isinstance(item, list):
            waiting.extend(item)
    return total


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """The tokens of a request's whole prompt, cached or not.  At least 1."""
    return max(1, sum(text_tokens(body[name]) for name in PROMPT_MEMBERS if name in body))


def marked_tokens(body: Mapping[str, Any]) -> int:
    """The words of the blocks that bear Anthropic's ``cache_control`` or stand before Bedrock's ``cachePoint``."""
    total = 0
    waiting: list[object] = [body.get("system"), body.get("messages")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            if item.get("cache_control"):
                total += text_tokens({name: member for name, member in item.items() if name != "cache_control"})
            else:
                waiting.extend(item.values())
        elif isinstance(item, list):
            points = [at for at, block in enumerate(item) if isinstance(block, Mapping) and "cachePoint" in block]
            cached = points[-1] if points else 0
            total += text_tokens(item[:cached])
            waiting.extend(item[cached:])
    return total


def cached_tokens(prompt: int) -> int:
    """The part of an OpenAI prompt that is reported as cached."""
    return prompt // CACHE_STEP * CACHE_STEP if prompt >= CACHE_FROM else 0
