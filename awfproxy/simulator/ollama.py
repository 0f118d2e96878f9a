"""Ollama's own API (github.com/ollama/ollama/blob/main/docs/api.md): one JSON object a line, counts on the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, shaped, visible_text, with_big_text
from awfproxy.simulator.asking import Ask

#: Durations are nanoseconds; a simulated token takes a tenth of a millisecond.
_TOKEN_NS = 100_000


def answer(ask: Ask) -> Answer:
    """The whole answer: lines, or (``stream: false``) one document."""
    common: dict[str, Any] = {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}
    if ask.stream:
        lines = shaped(_lines(ask), ask, errors.event("ollama", ask.api))
        return Answer(200, "application/x-ndjson", lines, streaming=True, **common)
    value = _line(ask, visible_text(ask, story.text(ask.words))) | _end(ask)
    pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),)
    return Answer(200, "application/json; charset=utf-8", pieces, **common)


def _line(ask: Ask, text: str) -> dict[str, Any]:
    said: dict[str, Any] = {"response": text}
    if "messages" in ask.body:
        said = {"message": {"role": "assistant", "content": text}}
    return {"model": ask.model, "created_at": "2025-01-01T00:00:00.000000Z"} | said | {"done": False}


def _end(ask: Ask) -> dict[str, Any]:
    end: dict[str, Any] = {"done": True, "done_reason": "length" if ask.limited else "stop", "load_duration": 1_000_000}
    if ask.says_usage:
        end |= {
            "prompt_eval_count": ask.figures.input,
            "prompt_eval_duration": ask.figures.input * _TOKEN_NS,
            "eval_count": ask.figures.output,
            "eval_duration": ask.figures.output * _TOKEN_NS,
        }
    return end


def _lines(ask: Ask) -> Iterator[bytes]:
    count = 0
    while ask.mode.endless or count < ask.words:
        yield as_json(_line(ask, story.word(count))) + b"\n"
        count += 1
    if not ask.mode.no_end:
        yield as_json(_line(ask, "") | _end(ask)) + b"\n"
