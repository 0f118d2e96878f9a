"""Generated usage records in the shapes that are really written, as many as wanted, the same for the same seed.

Four providers' `usage` objects, hints of agents and of scripts, calls without figures, a few records twice: what a week
leaves in ``token-usage.jsonl``, of awfproxy or of AWF's api-proxy.  Nothing is held: lines are made as they are taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from awfproxy.core.identifiers import request_ids
from awfproxy.core.records import timestamp

#: when the first call ends: 1 June 2026, 00:00 UTC
BEGIN: Final = 1_780_272_000.0
#: of a hundred records so many stand in the file twice, as where files overlap
TWICE: Final = 2

_encode = msgspec.json.Encoder().encode
_MODELS: Final = {
    "anthropic": ("claude-sonnet-4-5-20250929", "claude-opus-4-1-20250805", "claude-haiku-4-5-20251001"),
    "openai": ("gpt-5-2025-08-07", "gpt-4o-2024-08-06", "gpt-5-mini-2025-08-07"),
    "copilot": ("gpt-4.1-2025-04-14", "claude-sonnet-4.5"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
#: what every record of AWF's api-proxy has (`buildTokenUsageRecord`), in its order
_OF_AWF: Final = (
    "_schema",
    "timestamp",
    "event",
    "request_id",
    "provider",
    "model",
    "path",
    "status",
    "streaming",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "duration_ms",
    "response_bytes",
)
_TOOLS: Final = ["bash", "edit", "glob", "grep", "read", "task", "todo", "web_fetch", "web_search", "write"]


def lines(count: int, *, seed: int = 1, span: float = 7 * 86_400, of_awf: bool = False) -> Iterator[bytes]:
    """So many lines of different calls, and `TWICE` in a hundred of them again.

    :param span: seconds over which the calls are spread
    :param of_awf: with the members that AWF's api-proxy writes, and no others
    """
    dice = random.Random(seed)
    now = [BEGIN]
    next_id = request_ids(lambda: now[0], dice.randbytes)
    before = b""
    for number in range(count):
        now[0] = BEGIN + span * number / count
        record = _record(dice, next_id(), now[0])
        line = _encode({name: record[name] for name in _OF_AWF} if of_awf else record) + b"\n"
        yield line
        if before and dice.randrange(100) < TWICE:
            yield before
        before = line


def _record(dice: random.Random, request_id: str, ended: float) -> dict[str, Any]:
    provider = dice.choices(list(_MODELS), (5, 3, 2, 1))[0]
    model = dice.choice(_MODELS[provider])
    fresh, output = dice.randrange(3, 9_000), dice.randrange(1, 3_000)
    read, write = dice.choice((0, dice.randrange(180_000))), dice.choice((0, dice.randrange(9_000)))
    reasoning = dice.randrange(output) if provider in ("openai", "gemini") else None
    include = provider != "anthropic"
    prompt = fresh + read if include else fresh
    source = dice.choices(("reported", "partial", "estimated"), (96, 2, 2))[0]
    unknown: list[str] = []
    if source == "estimated":
        read = write = 0
        reasoning = None
        unknown = ["cache_read_tokens", "cache_write_tokens"]
    elif include:
        write = 0
        unknown = ["cache_write_tokens"]
    workflow = dice.randrange(40)
    duration = round(dice.lognormvariate(8, 1), 3)
    record: dict[str, Any] = {
        "_schema": "token-usage/v1.0.0",
        "timestamp": timestamp(ended),
        "request_id": request_id,
        "provider": provider,
        "model": model,
        "path": "/v1/messages" if provider == "anthropic" else "/v1/chat/completions",
        "status": 200,
        "streaming": True,
        "input_tokens": prompt,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "duration_ms": duration,
        "request_bytes": prompt * 4,
        "response_bytes": output * 60,
        "usage_source": source,
        "outcome": "complete" if source == "reported" else "client_left",
        "port": provider,
        "event": "token_usage",
        "reasoning_tokens": reasoning,
        "input_tokens_include_cache": None if source == "estimated" else include,
        "unknown": unknown or None,
        "ttfb_ms": round(duration / 5, 3),
        "admitted_at": timestamp(ended - duration / 1000),
        "attempts": 1,
        "request_model": model,
        "user": f"user-{dice.randrange(12)}",
        "feature": "messages" if provider == "anthropic" else "chat",
        "run": f"{17_000_000_000 + workflow}",
        "conversation": f"{dice.getrandbits(64):016x}-{workflow}" if dice.randrange(3) else None,
        "upstream_request_id": f"req_{dice.getrandbits(96):024x}",
        "usage": None if source == "estimated" else _usage(provider, fresh, output, read, write, reasoning or 0),
        "hints": _hints(dice, workflow),
    }
    return {name: value for name, value in record.items() if value is not None}


def _hints(dice: random.Random, workflow: int) -> dict[str, Any]:
    """Half of the calls are an agent's, and have tools; the others a script's."""
    hints: dict[str, Any] = {"messages": dice.randrange(1, 60), "conversation_hash": f"{workflow:016x}"}
    if dice.randrange(2):
        hints["tools_offered"] = _TOOLS
        hints["tools_called"] = [dice.choice(_TOOLS)]
        hints["tool_result_hashes"] = [f"{dice.getrandbits(64):016x}"]
    return hints


def _usage(provider: str, fresh: int, output: int, read: int, write: int, reasoning: int) -> dict[str, Any]:
    """The provider's own object, as its API reference has it."""
    if provider == "anthropic":
        hour = write // 3
        return {
            "input_tokens": fresh,
            "cache_creation_input_tokens": write,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
            "output_tokens": output,
            "service_tier": "standard",
        }
    if provider == "gemini":
        return {
            "promptTokenCount": fresh + read,
            "candidatesTokenCount": output - reasoning,
            "thoughtsTokenCount": reasoning,
            "cachedContentTokenCount": read,
            "totalTokenCount": fresh + read + output,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": fresh + read}],
        }
    return {
        "prompt_tokens": fresh + read,
        "completion_tokens": output,
        "total_tokens": fresh + read + output,
        "prompt_tokens_details": {"cached_tokens": read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }
