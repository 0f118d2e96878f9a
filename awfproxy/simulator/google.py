"""Google's generateContent, on the Gemini API and on Vertex AI (ai.google.dev/api/generate-content).

Usage comes in every chunk of a stream and grows; Vertex says only ``trafficType`` until the last.  Thoughts are
counted beside the candidates, so the billable output is the sum.  Without ``alt=sse`` a stream is one JSON array.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, big_pieces, shaped, sse, visible_text, with_big_text
from awfproxy.simulator.asking import Ask


def usage(ask: Ask, candidates: int) -> dict[str, Any]:
    """The usageMetadata, with that many candidate tokens so far."""
    figures = ask.figures
    told: dict[str, Any] = {"promptTokenCount": figures.input, "candidatesTokenCount": candidates}
    if figures.cache_read:
        told["cachedContentTokenCount"] = figures.cache_read
    if figures.reasoning:
        told["thoughtsTokenCount"] = figures.reasoning
    told["totalTokenCount"] = figures.input + candidates + figures.reasoning
    told["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": figures.input}]
    if ask.provider == "vertex":
        told["trafficType"] = "ON_DEMAND"
    return told


def answer(ask: Ask, as_events: bool) -> Answer:
    """The whole answer: a document, a stream of events (``alt=sse``), or a stream as one JSON array."""
    common: dict[str, Any] = {
        "api": ask.api,
        "model": ask.model,
        "figures": ask.figures,
        "reported": ask.says_usage,
        "headers": (("Vary", "Origin, X-Origin, Referer"), ("X-Content-Type-Options", "nosniff")),
    }
    if not ask.stream:
        parts = [_part(ask)] if ask.tool else [{"text": visible_text(ask, story.text(ask.words))}]
        value = _chunk(ask, parts, last=True)
        pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value, 2),)
        return Answer(200, "application/json; charset=UTF-8", pieces, **common)
    if as_events:
        events = (sse(chunk, line_end=b"\r\n") for chunk in _chunks(ask))
        big: Iterator[bytes] = iter(())
        if ask.mode.big_line:
            before, _, behind = sse(_chunk(ask, [{"text": "@BIG@"}], last=False), line_end=b"\r\n").partition(b"@BIG@")
            big = big_pieces(before, ask.mode.big_line, behind)
        stream = shaped(chain(big, events), ask, errors.event(ask.provider, ask.api))
        return Answer(200, "text/event-stream", stream, streaming=True, **common)
    return Answer(200, "application/json; charset=UTF-8", _array(ask), streaming=True, **common)


def _finish(ask: Ask) -> str:
    return "MAX_TOKENS" if ask.limited else "STOP"


def _part(ask: Ask) -> dict[str, Any]:
    assert ask.tool is not None
    return {"functionCall": {"name": ask.tool.name, "args": msgspec.json.decode(ask.tool.arguments)}}


def _chunk(ask: Ask, parts: list[dict[str, Any]], *, last: bool, candidates: int | None = None) -> dict[str, Any]:
    visible = ask.figures.output - ask.figures.reasoning
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = _finish(ask)
    chunk: dict[str, Any] = {"candidates": [candidate]}
    if ask.says_usage:
        if ask.provider == "vertex" and not last:
            chunk["usageMetadata"] = {"trafficType": "ON_DEMAND"}
        else:
            chunk["usageMetadata"] = usage(ask, visible if candidates is None else candidates)
    chunk["modelVersion"] = ask.model
    chunk["responseId"] = f"sim{ask.serial:06d}"
    return chunk


def _chunks(ask: Ask) -> Iterator[dict[str, Any]]:
    if ask.tool is not None:
        yield _chunk(ask, [_part(ask)], last=True)
        return
    index = 0
    while ask.mode.endless or index < ask.words:
        last = index == ask.words - 1 and not ask.mode.endless
        yield _chunk(ask, [{"text": story.word(index)}], last=last, candidates=index + 1)
        index += 1
    if not ask.words and not ask.mode.endless:
        yield _chunk(ask, [{"text": ""}], last=True, candidates=0)


def _array(ask: Ask) -> Iterator[bytes]:
    opening = b"["
    for chunk in _chunks(ask):
        yield opening + as_json(chunk, 2).rstrip(b"\n")
        opening = b"\n,\n"
    yield b"]\n" if opening != b"[" else b"[]\n"
