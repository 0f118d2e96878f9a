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
    if not ask.stream:
        content = [visible_block(ask, block) for block in _blocks(ask)]
        value = _message(ask, content) | {"stop_reason": _stop_reason(ask)}
        if ask.says_usage:
            value["usage"] = usage(ask, ask.figures.output)
        return Answer(
            200,
            "application/json",
            with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),),
            api=ask.api,
            model=ask.model,
            figures=ask.figures,
            reported=ask.says_usage,
        )
    return Answer(
        200,
        "text/event-stream; charset=utf-8",
        shaped(_events(ask), ask, errors.event("anthropic", ask.api)),
        streaming=True,
        headers=(("Cache-Control", "no-cache"),),
        api=ask.api,
        model=ask.model,
        figures=ask.figures,
        reported=ask.says_usage,
    )


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


def _event(name: str, **members: Any) -> bytes:
    return sse({"type": name} | members, name)


def _events(ask: Ask) -> Iterator[bytes]:
    opening = _message(ask, [])
    if ask.says_usage:
        opening["usage"] = usage(ask, min(1, ask.figures.output))
    yield _event("message_start", message=opening)
    for index, kind in enumerate(_blocks(ask)):
        yield _event("content_block_start", index=index, content_block=visible_block(ask, kind) | _EMPTY[kind])
        if index == 0:
            yield _event("ping")
        for delta in _deltas(ask, kind):
            yield _event("content_block_delta", index=index, delta=delta)
        if kind == "text" and ask.mode.big_line:
            big = _event("content_block_delta", index=index, delta={"type": "text_delta", "text": "@BIG@"})
            before, _, behind = big.partition(b"@BIG@")
            yield from big_pieces(before, ask.mode.big_line, behind)
        yield _event("content_block_stop", index=index)
    end: dict[str, Any] = {"delta": {"stop_reason": _stop_reason(ask), "stop_sequence": None}}
    if ask.says_usage:
        counted = usage(ask, ask.figures.output)
        del counted["cache_creation"], counted["service_tier"]
        end["usage"] = counted
    yield _event("message_delta", **end)
    if not ask.mode.no_end:
        yield _event("message_stop")


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
