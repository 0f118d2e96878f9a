"""Anthropic's Messages API (docs.anthropic.com/en/api/messages-streaming).

Input and cache counts come with ``message_start``, the output's count, cumulative, with ``message_delta``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, big_pieces, shaped, sse, visible_text, with_big_text
from awfproxy.simulator.asking import Ask

#: What a block lacks when it begins.
_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}
#: How a simulated thought reads; its tokens are counted, not its words.
THOUGHT = "The keeper is thinking it over."


def usage(ask: Ask, output: int) -> dict[str, Any]:
    """The usage object, with that many output tokens so far."""
    figures = ask.figures
    return {
        "input_tokens": figures.input,
        "cache_creation_input_tokens": figures.cache_write,
        "cache_read_input_tokens": figures.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": figures.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def answer(ask: Ask) -> Answer:
    """The whole answer: a document or a stream of named events."""
    told: dict[str, Any] = {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}
    if not ask.stream:
        value = document(ask)
        pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),)
        return Answer(200, "application/json", pieces, **told)
    stream = shaped(_named(ask), ask, errors.event("anthropic", ask.api))
    headers = (("Cache-Control", "no-cache"),)
    return Answer(200, "text/event-stream; charset=utf-8", stream, streaming=True, headers=headers, **told)


def document(ask: Ask) -> dict[str, Any]:
    """The finished message."""
    value = _message(ask, [visible_block(ask, block) for block in _blocks(ask)]) | {"stop_reason": _stop_reason(ask)}
    if ask.says_usage:
        value["usage"] = usage(ask, ask.figures.output)
    return value


def visible_block(ask: Ask, kind: str) -> dict[str, Any]:
    """One block of the finished content."""
    if kind == "thinking":
        return {"type": "thinking", "thinking": THOUGHT, "signature": "c2ltdWxhdGVk"}
    if ask.tool is not None:
        arguments = msgspec.json.decode(ask.tool.arguments)
        return {"type": "tool_use", "id": f"toolu_sim{ask.serial:06d}", "name": ask.tool.name, "input": arguments}
    return {"type": "text", "text": visible_text(ask, story.text(ask.words))}


def _blocks(ask: Ask) -> list[str]:
    return (["thinking"] if ask.figures.reasoning else []) + ["tool_use" if ask.tool else "text"]


def _stop_reason(ask: Ask) -> str:
    return "tool_use" if ask.tool else "max_tokens" if ask.limited else "end_turn"


def _message(ask: Ask, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"msg_sim{ask.serial:06d}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _named(ask: Ask) -> Iterator[bytes]:
    for value in events(ask):
        event = sse(value, value["type"])
        if ask.mode.big_line and b"@BIG@" in event:
            before, _, behind = event.partition(b"@BIG@")
            yield from big_pieces(before, ask.mode.big_line, behind)
        else:
            yield event


def events(ask: Ask) -> Iterator[dict[str, Any]]:
    """The events of a stream; the text ``@BIG@`` stands for the huge one of a mode."""
    opening = _message(ask, [])
    if ask.says_usage:
        opening["usage"] = usage(ask, min(1, ask.figures.output))
    yield {"type": "message_start", "message": opening}
    for index, kind in enumerate(_blocks(ask)):
        at = {"index": index}
        yield {"type": "content_block_start"} | at | {"content_block": visible_block(ask, kind) | _EMPTY[kind]}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(ask, kind):
            yield {"type": "content_block_delta"} | at | {"delta": delta}
        if kind == "text" and ask.mode.big_line:
            yield {"type": "content_block_delta"} | at | {"delta": {"type": "text_delta", "text": "@BIG@"}}
        yield {"type": "content_block_stop"} | at
    end: dict[str, Any] = {"type": "message_delta"}
    end["delta"] = {"stop_reason": _stop_reason(ask), "stop_sequence": None}
    if ask.says_usage:
        counted = usage(ask, ask.figures.output)
        del counted["cache_creation"], counted["service_tier"]
        end["usage"] = counted
    yield end
    if not ask.mode.no_end:
        yield {"type": "message_stop"}


def _deltas(ask: Ask, kind: str) -> Iterator[dict[str, Any]]:
    if kind == "thinking":
        yield {"type": "thinking_delta", "thinking": THOUGHT}
        yield {"type": "signature_delta", "signature": "c2ltdWxhdGVk"}
    elif ask.tool is not None:
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in ask.tool.pieces():
            yield {"type": "input_json_delta", "partial_json": piece}
    else:
        count = 0
        while ask.mode.endless or count < ask.words:
            yield {"type": "text_delta", "text": story.word(count)}
            count += 1
