"""OpenAI-shaped chat completions (OpenAI, Copilot, servers compatible with them) and legacy completions.

With ``stream_options.include_usage`` every chunk has ``"usage":null`` but the last, whose ``choices`` is empty
(platform.openai.com/docs/api-reference/chat-streaming).  Copilot begins with a chunk of filter results and adds
``copilot_usage`` to the chunk that ends the text.  Groq and Mistral tell usage unasked in the chunk that ends the text,
Groq inside ``x_groq`` (console.groq.com/docs/api-reference, docs.mistral.ai/api).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from awfproxy.simulator import errors, story
from awfproxy.simulator.answers import Answer, as_json, big_pieces, shaped, sse, visible_text, with_big_text
from awfproxy.simulator.asking import Ask
from awfproxy.simulator.tokens import Figures

DONE = b"data: [DONE]\n\n"
#: Providers whose streams tell usage in the chunk that ends the text, whether asked to or not.
UNASKED = ("groq", "mistral")


def usage(ask: Ask, output: int | None = None) -> dict[str, Any]:
    """The usage object; ``output`` overrides the final count while the answer grows."""
    figures = ask.figures
    generated = figures.output if output is None else output
    told: dict[str, Any] = {
        "prompt_tokens": figures.input,
        "completion_tokens": generated,
        "total_tokens": figures.input + generated,
    }
    if ask.api == "chat":
        told["prompt_tokens_details"] = {"cached_tokens": figures.cache_read, "audio_tokens": 0}
        if figures.cache_write:
            told["prompt_tokens_details"]["cache_write_tokens"] = figures.cache_write
        told["completion_tokens_details"] = {
            "reasoning_tokens": figures.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return told


def copilot_usage(figures: Figures) -> dict[str, Any]:
    """What Copilot adds: the same counts by kind, with the quota they cost."""
    kinds = {
        "input": figures.input - figures.cache_read,
        "cache_read": figures.cache_read,
        "cache_write": figures.cache_write,
        "output": figures.output,
    }
    details = [
        {"batch_size": 1_000_000, "cost_per_batch": 0, "token_count": count, "token_type": kind}
        for kind, count in kinds.items()
    ]
    return {"token_details": details, "total_nano_aiu": 0}


def answer(ask: Ask) -> Answer:
    """The whole answer: a document, or a stream that tells usage only if asked to."""
    if not ask.stream:
        value = _document(ask)
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
        shaped(_events(ask), ask, errors.event(ask.provider, ask.api)),
        streaming=True,
        api=ask.api,
        model=ask.model,
        figures=ask.figures,
        reported=ask.says_usage
        and (_asked_for_usage(ask) or ask.mode.usage == "always" or ask.provider in UNASKED),
    )


def _asked_for_usage(ask: Ask) -> bool:
    options = ask.body.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def _frame(ask: Ask, kind: str) -> dict[str, Any]:
    prefix = "cmpl" if ask.api == "completions" else "chatcmpl"
    frame: dict[str, Any] = {"id": f"{prefix}-sim{ask.serial:06d}", "object": kind, "created": ask.now}
    frame["model"] = ask.model
    if ask.api == "chat":
        frame |= {"service_tier": "default", "system_fingerprint": "fp_simulated"}
    return frame


def _finish(ask: Ask) -> str:
    return "tool_calls" if ask.tool else "length" if ask.limited else "stop"


def _document(ask: Ask) -> dict[str, Any]:
    text = visible_text(ask, story.text(ask.words))
    choices: list[dict[str, Any]] = []
    for index in range(ask.choices):
        choice: dict[str, Any] = {"index": index}
        if ask.api == "completions":
            choice["text"] = text
        elif ask.tool is not None:
            call = {"name": ask.tool.name, "arguments": ask.tool.arguments}
            calls = [{"id": f"call_sim{ask.serial}_{index}", "type": "function", "function": call}]
            choice["message"] = {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None}
        else:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice |= {"logprobs": None, "finish_reason": _finish(ask)}
        choices.append(choice)
    kind = "text_completion" if ask.api == "completions" else "chat.completion"
    value = _frame(ask, kind) | {"choices": choices}
    if ask.says_usage:
        value["usage"] = usage(ask)
        if ask.provider == "copilot":
            value["copilot_usage"] = copilot_usage(ask.figures)
    return value


def _deltas(ask: Ask) -> Iterator[dict[str, Any]]:
    """The choice objects of the stream, one a chunk, all choices in turn."""
    finish = _finish(ask)
    if ask.api == "completions":
        for text in story.words(ask.words):
            for index in range(ask.choices):
                yield {"index": index, "text": text, "logprobs": None, "finish_reason": None}
        for index in range(ask.choices):
            yield {"index": index, "text": "", "logprobs": None, "finish_reason": finish}
        return
    for index in range(ask.choices):
        first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if ask.tool is not None:
            call = {"name": ask.tool.name, "arguments": ""}
            first["content"] = None
            first["tool_calls"] = [
                {"index": 0, "id": f"call_sim{ask.serial}_{index}", "type": "function", "function": call}
            ]
        yield {"index": index, "delta": first, "logprobs": None, "finish_reason": None}
    if ask.tool is not None:
        parts: Iterator[dict[str, Any]] = (
            {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ask.tool.pieces()
        )
    else:
        parts = ({"content": text} for text in _texts(ask))
    for delta in parts:
        for index in range(ask.choices):
            yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    for index in range(ask.choices):
        yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": finish}


def _texts(ask: Ask) -> Iterator[str]:
    index = 0
    while ask.mode.endless or index < ask.words:
        yield story.word(index)
        index += 1


def _unasked(ask: Ask) -> dict[str, Any]:
    """Usage in the chunk that ends the text."""
    told = {"usage": usage(ask)}
    return {"x_groq": {"id": f"req_sim{ask.serial:06d}"} | told} if ask.provider == "groq" else told


def _events(ask: Ask) -> Iterator[bytes]:
    asked, always = _asked_for_usage(ask) and ask.says_usage, ask.mode.usage == "always"
    kind = "text_completion" if ask.api == "completions" else "chat.completion.chunk"
    frame = _frame(ask, kind)
    copilot = ask.provider == "copilot"
    if copilot:
        frame.pop("service_tier")
        filters = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}]
        opening = {"id": "", "created": 0, "model": "", "prompt_filter_results": filters, "choices": []}
        yield sse(opening)
    if ask.mode.big_line:
        chunk = frame | {"choices": [{"index": 0, "delta": {"content": "@BIG@"}, "finish_reason": None}]}
        before, _, behind = sse(chunk).partition(b"@BIG@")
        yield from big_pieces(before, ask.mode.big_line, behind)
    for count, choice in enumerate(_deltas(ask)):
        chunk = frame | {"choices": [choice]}
        last = choice["finish_reason"] is not None
        if copilot and asked and last and choice["index"] == ask.choices - 1:
            chunk |= {"usage": usage(ask), "copilot_usage": copilot_usage(ask.figures)}
        elif ask.provider in UNASKED:
            if last and choice["index"] == ask.choices - 1 and ask.says_usage:
                chunk |= _unasked(ask)
        elif always:
            chunk["usage"] = usage(ask, ask.figures.output if last else min(count, ask.figures.output))
        elif asked and not copilot:
            chunk["usage"] = None
        yield sse(chunk)
    if asked and not copilot and ask.provider != "mistral":
        yield sse(frame | {"choices": [], "usage": usage(ask)})
    if not ask.mode.no_end:
        yield DONE
