"""What the clients of a soak ask, and how upstream and client misbehave: chosen by a seeded generator.

The upstream is `awfproxy.simulator`, which misbehaves as ``x-sim-...`` headers say.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

#: seconds after which the proxy gives up a silent upstream (`idle_timeout`, `first_byte_timeout`)
PATIENCE = 3

_MESSAGES = [{"role": "user", "content": "one two three"}]
_CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": _MESSAGES}
_STREAM = _CHAT | {"stream": True}
#: the proxy remembers a model that refused `stream_options`, and asks it no more
_OLD = _STREAM | {"model": "gpt-3.5-turbo"}
_CLAUDE = {"model": "claude-sonnet-4", "messages": _MESSAGES, "stream": True, "max_tokens": 50}
_GEMINI = {"contents": [{"parts": [{"text": "one two three"}]}]}
_CHAT_PATH, _CLAUDE_PATH = "/v1/chat/completions", "/v1/messages"
_DONE, _STOPPED = b"data: [DONE]\n\n", b'data: {"type":"message_stop"}\n\n'


@dataclass(frozen=True)
class Kind:
    """One kind of call."""

    name: str
    weight: float
    port: str
    path: str
    request: dict[str, Any]
    #: how the upstream is to behave
    modes: str = ""
    #: what the answer ends with to its reader; None: its framing tells
    end: bytes | None = None
    #: seconds after which the client leaves; None: it stays
    leaves: tuple[float, float] | None = None
    #: the client sends only half of its body
    half: bool = False

    @property
    def body(self) -> bytes:
        return json.dumps(self.request).encode()

    @property
    def headers(self) -> str:
        """Header lines, each with its end."""
        pairs = [each.partition("=") for each in self.modes.split(";") if each]
        return "".join(f"x-sim-{name.strip()}: {value.strip()}\r\n" for name, _, value in pairs)


KINDS = (
    Kind("json", 10, "openai", _CHAT_PATH, _CHAT),
    Kind("stream", 10, "openai", _CHAT_PATH, _STREAM, end=_DONE),
    Kind("stream that asks for usage", 3, "openai", _CHAT_PATH, _STREAM | {"stream_options": {"include_usage": True}}),
    Kind("responses", 5, "openai", "/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}),
    Kind("messages", 8, "anthropic", _CLAUDE_PATH, _CLAUDE, end=_STOPPED),
    Kind("gemini", 5, "gemini", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", _GEMINI),
    Kind("gzip", 3, "openai", _CHAT_PATH, _STREAM, "encoding=gzip"),
    Kind("br", 2, "anthropic", _CLAUDE_PATH, _CLAUDE, "encoding=br"),
    Kind("zstd json", 2, "openai", _CHAT_PATH, _CHAT, "encoding=zstd"),
    Kind("no usage", 2, "openai", _CHAT_PATH, _STREAM, "usage=absent", end=_DONE),
    Kind("old server", 1, "openai", _CHAT_PATH, _OLD, "refuse-stream-options=1", end=_DONE),
    Kind("big line", 0.3, "openai", _CHAT_PATH, _STREAM, "big-line=1", end=_DONE),
    Kind("big body", 0.3, "openai", _CHAT_PATH, _CHAT, "big-body=1"),
    Kind("paced", 8, "anthropic", _CLAUDE_PATH, _CLAUDE, "pace=40; events=30", end=_STOPPED),
    Kind("drip", 3, "openai", _CHAT_PATH, _STREAM, "split-wire=7", end=_DONE),
    Kind("reset", 3, "openai", _CHAT_PATH, _STREAM, "cut=3; cut-how=rst"),
    Kind("cut", 2, "anthropic", _CLAUDE_PATH, _CLAUDE, "cut=2"),
    Kind("cut before a byte", 2, "openai", _CHAT_PATH, _STREAM, "cut=before; cut-how=rst"),
    Kind("stall", 2, "openai", _CHAT_PATH, _STREAM, "stall=2"),
    Kind("stall before a byte", 1, "openai", _CHAT_PATH, _STREAM, "stall=before"),
    Kind("longer than it says", 2, "openai", _CHAT_PATH, _CHAT, "length=-5"),
    Kind("shorter than it says", 2, "openai", _CHAT_PATH, _CHAT, "length=5; idle-close=1"),
    Kind("no end", 2, "openai", _CHAT_PATH, _STREAM, "no-end=1"),
    Kind("error event", 2, "openai", _CHAT_PATH, _STREAM, "error-event=2"),
    Kind("500", 2, "openai", _CHAT_PATH, _CHAT, "status=500"),
    Kind("429", 2, "anthropic", _CLAUDE_PATH, _CLAUDE, "status=429; retry-after=1"),
    Kind("kept connection dies", 2, "openai", _CHAT_PATH, _CHAT, "next=rst"),
    Kind("early answer", 1, "openai", _CHAT_PATH, _CHAT, "early=close"),
    Kind("client leaves", 6, "openai", _CHAT_PATH, _STREAM, "pace=50; events=40", leaves=(0.02, 1.5)),
    Kind("client leaves at once", 2, "anthropic", _CLAUDE_PATH, _CLAUDE, "first-byte=200", leaves=(0.0, 0.05)),
    Kind("half a request", 1, "openai", _CHAT_PATH, _CHAT, leaves=(0.05, 0.3), half=True),
)
_WEIGHTS = [kind.weight for kind in KINDS]


def choose(chance: random.Random) -> Kind:
    """One of the kinds."""
    return chance.choices(KINDS, _WEIGHTS)[0]
