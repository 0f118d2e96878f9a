"""Amazon Bedrock's Converse and ConverseStream, one shape for all models.

A stream's last event, ``metadata``, has the usage; ``inputTokens`` leaves cached tokens out, ``totalTokens`` has them.
Where the request asks for a guardrail's trace the answer has its metrics too, whose ``usage`` counts other things (here
under names of token counts, to be a trap).
Every event is padded with a member ``p`` so that its length does not tell its text.

Sources: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …_ConverseStream.html.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from awfproxy.simulator import errors, eventstream, story
from awfproxy.simulator.answers import MIB, Answer, as_json, visible_text, with_big_text
from awfproxy.simulator.asking import Ask
from awfproxy.simulator.modes import after

#: What a simulated call takes, in milliseconds.
LATENCY = 25
#: Largest text of one event in MiB: AWS's messages have at most 16 MiB of payload, and an invoked model's is in base64.
BIG_LINE_MAX = 8
#: What events are padded with, and the number of lengths.
PADDING = string.ascii_letters + string.digits
#: A text that `big_event` replaces.
BIG_MARK = "@BIG@"

Event = tuple[str, dict[str, Any]]


def answer(ask: Ask) -> Answer:
    """The whole answer: a document, or a binary stream of events."""
    told: dict[str, Any] = {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}
    if ask.stream:
        messages = (eventstream.event(name, big(ask, padded(value, n))) for n, (name, value) in enumerate(events(ask)))
        return streamed(ask, messages, told)
    value: dict[str, Any] = {
        "metrics": {"latencyMs": LATENCY},
        "output": {"message": {"role": "assistant", "content": [visible_block(ask)]}},
        "stopReason": stop_reason(ask),
    }
    if ask.says_usage:
        value["usage"] = usage(ask)
    value |= _trace(ask)
    pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),)
    return Answer(200, "application/json", pieces, **told)


def streamed(ask: Ask, messages: Iterable[bytes], told: dict[str, Any]) -> Answer:
    """A binary stream under the modes that change one; modes that are for text are refused."""
    if ask.mode.comments or ask.mode.lines is not None or ask.mode.big_line > BIG_LINE_MAX:
        return errors.answer("bedrock", 400, "A binary stream has no comments, no lines, and no event of this size.")
    return Answer(200, eventstream.CONTENT_TYPE, _until_error(ask, messages), streaming=True, **told)


def _until_error(ask: Ask, messages: Iterable[bytes]) -> Iterator[bytes]:
    stop = after(str(ask.mode.error_event)) if ask.mode.error_event is not None else None
    for index, one in enumerate(messages):
        if index == stop:
            yield errors.event("bedrock", ask.api)
            return
        yield one


def usage(ask: Ask) -> dict[str, Any]:
    """The usage object; cache counts only where there are any."""
    figures = ask.figures
    total = figures.input + figures.cache_read + figures.cache_write + figures.output
    told = {"inputTokens": figures.input, "outputTokens": figures.output, "totalTokens": total}
    if figures.cache_read or figures.cache_write:
        told |= {"cacheReadInputTokens": figures.cache_read, "cacheWriteInputTokens": figures.cache_write}
    return told | {"serverToolUsage": {}}


def events(ask: Ask) -> Iterator[Event]:
    """The events of a stream, each with its type."""
    yield "messageStart", {"role": "assistant"}
    at = {"contentBlockIndex": 0}
    if ask.tool is not None:
        started = {"toolUse": {"toolUseId": _tool_id(ask), "name": ask.tool.name}}
        yield "contentBlockStart", at | {"start": started}
        for piece in ask.tool.pieces():
            yield "contentBlockDelta", at | {"delta": {"toolUse": {"input": piece}}}
    else:
        count = 0
        while ask.mode.endless or count < ask.words:
            yield "contentBlockDelta", at | {"delta": {"text": story.word(count)}}
            count += 1
        if ask.mode.big_line:
            yield "contentBlockDelta", at | {"delta": {"text": BIG_MARK}}
    yield "contentBlockStop", at
    yield "messageStop", {"stopReason": stop_reason(ask)}
    if not ask.mode.no_end:
        told = {"usage": usage(ask)} if ask.says_usage else {}
        yield "metadata", told | {"metrics": {"latencyMs": LATENCY}} | _trace(ask)


def visible_block(ask: Ask) -> dict[str, Any]:
    """The finished content: a text, or a call of a tool."""
    if ask.tool is not None:
        arguments = msgspec.json.decode(ask.tool.arguments)
        return {"toolUse": {"toolUseId": _tool_id(ask), "name": ask.tool.name, "input": arguments}}
    return {"text": visible_text(ask, story.text(ask.words))}


def stop_reason(ask: Ask) -> str:
    """Why the text ended."""
    return "tool_use" if ask.tool else "max_tokens" if ask.limited else "end_turn"


def padded(value: dict[str, Any], number: int) -> dict[str, Any]:
    """An event with its padding, of a length that depends on its number."""
    return value | {"p": PADDING[: 1 + number * 7 % len(PADDING)]}


def big(ask: Ask, value: dict[str, Any]) -> dict[str, Any]:
    """An event whose text is `BIG_MARK`, with one as long as the mode says; any other as it is."""
    delta = value.get("delta")
    if ask.mode.big_line and isinstance(delta, dict) and delta.get("text") == BIG_MARK:
        return value | {"delta": delta | {"text": "lighthouse-keepr" * (ask.mode.big_line * MIB // 16)}}
    return value


def _tool_id(ask: Ask) -> str:
    return f"tooluse_sim{ask.serial:06d}"


def _trace(ask: Ask) -> dict[str, Any]:
    config = ask.body.get("guardrailConfig")
    if not isinstance(config, Mapping) or config.get("trace") not in ("enabled", "enabled_full"):
        return {}
    units = {"topicPolicyUnits": 1, "contentPolicyUnits": 1, "inputTokens": 99, "outputTokens": 99}
    metrics = {"guardrailProcessingLatency": 3, "usage": units, "guardrailCoverage": {"textCharacters": {"total": 9}}}
    return {"trace": {"guardrail": {"inputAssessment": {"sim": {"invocationMetrics": metrics}}}}}
