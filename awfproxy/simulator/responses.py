"""OpenAI's Responses API (also on Copilot): every event of a stream, the stored answer, the compact object.

Usage stands inside the ``response`` of the terminal event only (platform.openai.com/docs/api-reference/
responses-streaming): ``response.completed``, or ``response.incomplete`` where the request's own limit ended the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, big_pieces, shaped, sse, visible_text, with_big_text
from awfproxy.simulator.asking import Ask
from awfproxy.simulator.chat import copilot_usage


def usage(ask: Ask) -> dict[str, Any]:
    """The usage object of a finished response."""
    figures = ask.figures
    return {
        "input_tokens": figures.input,
        "input_tokens_details": {"cached_tokens": figures.cache_read},
        "output_tokens": figures.output,
        "output_tokens_details": {"reasoning_tokens": figures.reasoning},
        "total_tokens": figures.input + figures.output,
    }


def identity(ask: Ask) -> str:
    """The id under which the response is stored."""
    return f"resp_sim{ask.serial:06d}"


def finished(ask: Ask) -> dict[str, Any]:
    """The response object as it stands at the end."""
    if ask.mode.fails:
        error = {"code": "server_error", "message": "The model failed to generate a response."}
        return unfinished(ask, "failed") | {"error": error}
    status = "incomplete" if ask.limited else "completed"
    value = unfinished(ask, status) | {"output": [_final(ask, item) for item in _items(ask)]}
    if ask.limited:
        value["incomplete_details"] = {"reason": "max_output_tokens"}
    if ask.says_usage:
        value["usage"] = usage(ask)
    if ask.provider == "copilot":
        value["copilot_usage"] = copilot_usage(ask.figures)
    return value


def first_status(ask: Ask) -> str:
    """What the answer says that only promises the work, and the first event of a stream."""
    return "queued" if ask.background else "in_progress"


def answer(ask: Ask) -> Answer:
    """The whole answer: a document, a stream, or the promise of one (``background``)."""
    if ask.stream:
        return stream(ask)
    if ask.background:
        value = unfinished(ask, first_status(ask))
        return Answer(200, "application/json", (as_json(value, 2),), api=ask.api, model=ask.model)
    return document(ask)


def document(ask: Ask) -> Answer:
    """The finished response as a whole answer."""
    value = finished(ask)
    pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value, 2),)
    return Answer(200, "application/json", pieces, **_told(ask))


def stream(ask: Ask, begin: str = "") -> Answer:
    """All events of the response.

    :param begin: the ``sequence_number`` after which to begin; "": with the first
    """
    events = shaped(_numbered(ask, int(begin) if begin.isdecimal() else -1), ask, errors.event(ask.provider, ask.api))
    return Answer(200, "text/event-stream; charset=utf-8", events, streaming=True, **_told(ask))


def _told(ask: Ask) -> dict[str, Any]:
    return {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}


_EMPTY: dict[str, dict[str, Any]] = {
    "reasoning": {},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}


def unfinished(ask: Ask, status: str) -> dict[str, Any]:
    """The response before its end, or after it was cancelled."""
    body = ask.body
    return {
        "id": identity(ask),
        "object": "response",
        "created_at": ask.now,
        "status": status,
        "background": ask.background,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": "medium" if ask.figures.reasoning else None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _items(ask: Ask) -> list[str]:
    """The kinds of the output items, in order."""
    return (["reasoning"] if ask.figures.reasoning else []) + ["function_call" if ask.tool else "message"]


def _item_id(ask: Ask, kind: str) -> str:
    return {"reasoning": "rs", "function_call": "fc", "message": "msg"}[kind] + f"_sim{ask.serial:06d}"


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _final(ask: Ask, kind: str) -> dict[str, Any]:
    item: dict[str, Any] = {"id": _item_id(ask, kind), "type": kind}
    if kind == "reasoning":
        return item | {"summary": [], "encrypted_content": "c2ltdWxhdGVk"}
    if ask.tool is not None:
        call = {"call_id": f"call_sim{ask.serial}", "name": ask.tool.name, "arguments": ask.tool.arguments}
        return item | {"status": "completed"} | call
    text = _text_part(visible_text(ask, story.text(ask.words)))
    return item | {"status": "incomplete" if ask.limited else "completed", "role": "assistant", "content": [text]}


def _begun(ask: Ask, kind: str) -> dict[str, Any]:
    return _final(ask, kind) | _EMPTY[kind]


def _numbered(ask: Ask, after: int) -> Iterator[bytes]:
    for number, (name, members) in enumerate(_events(ask)):
        if number <= after:
            continue
        if name == "@BIG@":
            before, _, behind = members["bytes"].partition(b"@BIG@")
            yield from big_pieces(before, ask.mode.big_line, behind)
            continue
        yield sse({"type": name, "sequence_number": number} | members, name)


def _events(ask: Ask) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": unfinished(ask, first_status(ask))}
    if ask.background:
        yield "response.queued", {"response": unfinished(ask, "queued")}
    yield "response.in_progress", {"response": unfinished(ask, "in_progress")}
    for index, kind in enumerate(_items(ask)):
        place = {"output_index": index}
        at = place | {"item_id": _item_id(ask, kind)}
        yield "response.output_item.added", place | {"item": _begun(ask, kind)}
        if kind == "message":
            at["content_index"] = 0
            yield "response.content_part.added", at | {"part": _text_part("")}
            count = 0
            while ask.mode.endless or count < ask.words:
                delta = {"delta": story.word(count), "logprobs": [], "obfuscation": "x"}
                yield "response.output_text.delta", at | delta
                count += 1
            if ask.mode.big_line:
                big = sse(
                    {"type": "response.output_text.delta"} | at | {"delta": "@BIG@"}, "response.output_text.delta"
                )
                yield "@BIG@", {"bytes": big}
            text = story.text(ask.words)
            yield "response.output_text.done", at | {"text": text, "logprobs": []}
            yield "response.content_part.done", at | {"part": _text_part(text)}
        elif kind == "function_call" and ask.tool is not None:
            for piece in ask.tool.pieces():
                yield "response.function_call_arguments.delta", at | {"delta": piece}
            yield "response.function_call_arguments.done", at | {"arguments": ask.tool.arguments, "name": ask.tool.name}
        yield "response.output_item.done", place | {"item": _final(ask, kind)}
    if not ask.mode.no_end:
        last = finished(ask)
        yield f"response.{last['status']}", {"response": last}
