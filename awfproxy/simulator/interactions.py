"""Google's interactions (ai.google.dev/api/interactions-api): steps instead of candidates, kept on the server.

Usage stands in the finished interaction only, in a stream inside the ``interaction`` of ``interaction.completed``.
Thoughts are counted beside the output, so the billable output is the sum.  Where the client is to run a tool the
interaction ends with ``requires_action``, its usage told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, big_pieces, shaped, sse, visible_text, with_big_text
from awfproxy.simulator.asking import Ask

SIGNATURE = "c2ltdWxhdGVk"


def usage(ask: Ask) -> dict[str, Any]:
    """The usage object of a finished interaction."""
    figures = ask.figures
    return {
        "total_tokens": figures.input + figures.output,
        "total_input_tokens": figures.input,
        "input_tokens_by_modality": [{"modality": "text", "tokens": figures.input}],
        "total_cached_tokens": figures.cache_read,
        "total_output_tokens": figures.output - figures.reasoning,
        "total_tool_use_tokens": 0,
        "total_thought_tokens": figures.reasoning,
    }


def identity(ask: Ask) -> str:
    """The id under which the interaction is stored."""
    return f"v1_sim{ask.serial:06d}"


def finished(ask: Ask) -> dict[str, Any]:
    """The interaction as it stands at the end."""
    return _ended(ask) | {"steps": [_step(ask, kind) for kind in _kinds(ask)]}


def unfinished(ask: Ask, status: str) -> dict[str, Any]:
    """The interaction before its end, or after it was cancelled."""
    value = {"id": identity(ask), "status": status, "created": _when(ask), "updated": _when(ask)}
    return value | {"object": "interaction"} | _who(ask)


def answer(ask: Ask) -> Answer:
    """The whole answer: a document, a stream, or the promise of one (``background``)."""
    if ask.stream:
        return stream(ask)
    if ask.background:
        return Answer(200, "application/json", (as_json(unfinished(ask, "in_progress")),), api=ask.api, model=ask.model)
    return document(ask)


def document(ask: Ask) -> Answer:
    """The finished interaction as a whole answer."""
    value = finished(ask)
    pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),)
    return Answer(200, "application/json", pieces, **_told(ask))


def stream(ask: Ask, begin: str = "") -> Answer:
    """All events of the interaction.

    :param begin: the ``event_id`` after which to begin; "": with the first
    """
    events = shaped(_events(ask, begin), ask, errors.event("gemini", ask.api))
    return Answer(200, "text/event-stream", events, streaming=True, **_told(ask))


def _told(ask: Ask) -> dict[str, Any]:
    return {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}


def _who(ask: Ask) -> dict[str, str]:
    return {"model": ask.model} if ask.model else {"agent": str(ask.body.get("agent", ""))}


def _when(ask: Ask) -> str:
    return datetime.fromtimestamp(ask.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ended(ask: Ask) -> dict[str, Any]:
    status = "incomplete" if ask.limited else "requires_action" if ask.tool else "completed"
    value = unfinished(ask, "failed" if ask.mode.fails else status) | {"service_tier": "standard"}
    return value | ({"usage": usage(ask)} if ask.says_usage else {})


def _kinds(ask: Ask) -> list[str]:
    """The kinds of the steps, in order."""
    return (["thought"] if ask.figures.reasoning else []) + ["function_call" if ask.tool else "model_output"]


def _step(ask: Ask, kind: str) -> dict[str, Any]:
    if kind == "thought":
        return {"type": kind, "signature": SIGNATURE}
    if ask.tool is not None:
        arguments = msgspec.json.decode(ask.tool.arguments)
        return {"type": kind, "id": f"fc_sim{ask.serial:06d}", "name": ask.tool.name, "arguments": arguments}
    text = visible_text(ask, story.text(ask.words))
    return {"type": kind, "content": [{"type": "text", "text": text}]}


def _deltas(ask: Ask, kind: str) -> Iterator[dict[str, Any]]:
    if kind == "thought":
        yield {"type": "thought_signature", "signature": SIGNATURE}
    elif ask.tool is not None:
        for piece in ask.tool.pieces():
            yield {"type": "arguments_delta", "arguments": piece}
    else:
        count = 0
        while ask.mode.endless or count < ask.words:
            yield {"type": "text", "text": story.word(count)}
            count += 1


def _events(ask: Ask, begin: str) -> Iterator[bytes]:
    skipping = bool(begin)
    for number, (name, members) in enumerate(_named(ask)):
        event_id = f"{identity(ask)}.{number:05d}"
        if skipping:
            skipping = event_id != begin
            continue
        mark = {"event_id": event_id} if ask.background else {}
        event = sse({"event_type": name} | members | mark, name)
        if ask.mode.big_line and b"@BIG@" in event:
            before, _, behind = event.partition(b"@BIG@")
            yield from big_pieces(before, ask.mode.big_line, behind)
        else:
            yield event
    if not ask.mode.no_end:
        yield b"event: done\ndata: [DONE]\n\n"


def _named(ask: Ask) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = {"id": identity(ask), "status": "in_progress", "object": "interaction"} | _who(ask)
    yield "interaction.created", {"interaction": begun}
    yield "interaction.status_update", {"interaction_id": identity(ask), "status": "in_progress"}
    for index, kind in enumerate(_kinds(ask)):
        step: dict[str, Any] = {"type": kind}
        if kind == "function_call":
            step = _step(ask, kind) | {"arguments": {}}
        yield "step.start", {"index": index, "step": step}
        for delta in _deltas(ask, kind):
            yield "step.delta", {"index": index, "delta": delta}
        if kind == "model_output" and ask.mode.big_line:
            yield "step.delta", {"index": index, "delta": {"type": "text", "text": "@BIG@"}}
        yield "step.stop", {"index": index}
    if not ask.mode.no_end:
        yield "interaction.completed", {"interaction": _ended(ask)}
