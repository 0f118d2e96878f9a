"""A prompt cache that remembers: what a prompt weighs, and how much of it was sent before.

A prompt is tools, then the system prompt, then the conversation, in pieces (a tool list, a block of text, an item);
each beginning of it is known by a hash over its pieces, as providers do it: a piece that changes makes everything after
it new.

* Anthropic caches what ends with a block marked ``cache_control``, and finds it again wherever the mark is by then
  (docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
* OpenAI caches every beginning by itself, in steps of `tokens.CACHE_STEP` (platform.openai.com/docs/guides/
  prompt-caching); of the steps within a piece nothing is known here, so a beginning ends where a piece does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from awfproxy.simulator import tokens

#: APIs whose prompts can be remembered.
REMEMBERING = ("chat", "responses", "messages")
#: The one of them whose clients mark what is to be cached.
MARKED = "messages"
#: Beginnings that are remembered; the oldest are forgotten.
KNOWN_MAX = 10_000
#: Bytes of the tools' JSON that weigh a token: what schemas come to with real tokenizers.
TOOL_BYTES_A_TOKEN = 4.5

_MARK = "cache_control"


class Weighed(msgspec.Struct, frozen=True):
    """A prompt's tokens: all of them, and those read from the cache and written to it."""

    prompt: int
    read: int
    written: int


class Caches:
    """The caches of all models."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def weigh(self, api: str, model: str, body: Mapping[str, Any]) -> Weighed:
        """What the prompt weighs; from now on it is remembered.

        :param api: one of `REMEMBERING`
        """
        hashed = blake2b(model.encode(), digest_size=16)
        prompt = read = marked = 0
        beginnings: list[bytes] = []
        for piece, weight, mark in _pieces(body):
            prompt += weight
            hashed.update(b"%d " % len(piece) + piece)
            beginning = hashed.digest()
            if beginning in self._known:
                read = prompt
            if mark:
                marked = prompt
            if mark or api != MARKED:
                beginnings.append(beginning)
        for beginning in beginnings:
            self._known[beginning] = None
            self._known.move_to_end(beginning)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        if api != MARKED:
            return Weighed(prompt, tokens.cached_tokens(read), 0)
        read, marked = (count if count >= tokens.CACHE_FROM else 0 for count in (read, marked))
        read = min(read, marked)
        return Weighed(prompt, read, marked - read)


def _pieces(body: Mapping[str, Any]) -> Iterator[tuple[bytes, int, bool]]:
    """Each piece, what it weighs, and whether it is marked."""
    if body.get("tools"):
        data = msgspec.json.encode(body["tools"])
        yield data, int(len(data) / TOOL_BYTES_A_TOKEN), False
    for name in ("system", "instructions", "messages", "input"):
        held = body.get(name)
        for item in held if isinstance(held, list) else [] if held is None else [held]:
            blocks = item.get("content") if isinstance(item, Mapping) else None
            for block in blocks if isinstance(blocks, list) else [item]:
                yield _piece(name, item, block)


def _piece(name: str, item: Any, block: Any) -> tuple[bytes, int, bool]:
    whose = item.get("role") if isinstance(item, Mapping) else None
    mark = isinstance(block, Mapping) and bool(block.get(_MARK))
    said = {key: value for key, value in block.items() if key != _MARK} if mark else block
    return msgspec.json.encode([name, whose, said]), tokens.text_tokens(said), mark
