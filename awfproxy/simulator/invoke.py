"""Amazon Bedrock's InvokeModel and InvokeModelWithResponseStream: the model's own shape, wrapped by Bedrock.

A stream's events are ``chunk``s of ``{"bytes": base64, "p": padding}``; the model's last event has Bedrock's own counts
beside it (``amazon-bedrock-invocationMetrics``).  An answer at once has them in headers, and some models' bodies
(Mistral's here) say nothing about usage at all.

Sources: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html and
…_InvokeModelWithResponseStream.html, docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from awfproxy.simulator import converse, errors, eventstream, messages, story
from awfproxy.simulator.answers import MIB, Answer, Headers, as_json, visible_text, with_big_text
from awfproxy.simulator.asking import Ask

#: The member that Bedrock adds to the last event of a stream.
METRICS = "amazon-bedrock-invocationMetrics"

Events = Callable[[Ask], Iterator[dict[str, Any]]]


class Family(msgspec.Struct, frozen=True):
    """How the models of one maker answer."""

    document: Callable[[Ask], dict[str, Any]]
    events: Events


def answer(ask: Ask) -> Answer:
    """The whole answer in the shape of the model's maker; 400 for a maker that is not simulated."""
    maker = _maker(ask.model)
    if maker not in FAMILIES:
        return errors.answer("bedrock", 400, "The provided model identifier is invalid.")
    if maker == "anthropic":
        ask = msgspec.structs.replace(ask, model=_claude(ask.model))
    family = FAMILIES[maker]
    told: dict[str, Any] = {"api": ask.api, "model": ask.model, "figures": ask.figures, "reported": ask.says_usage}
    if ask.stream:
        told["headers"] = (("X-Amzn-Bedrock-Content-Type", "application/json"),)
        return converse.streamed(ask, _chunks(ask, family.events(ask)), told)
    value = family.document(ask)
    pieces = with_big_text(value, ask.mode.big_body) if ask.mode.big_body else (as_json(value),)
    return Answer(200, "application/json", pieces, headers=_counts(ask), **told)


def _maker(model: str) -> str:
    """The maker in a model's id, which a region's prefix (``us.``, ``eu.``) or an ARN may precede."""
    found = re.search(r"(?:^|[./])(anthropic|amazon\.nova|mistral)[.-]", model)
    return found[1] if found else ""


def _claude(model: str) -> str:
    """Anthropic's name for a model, as its answers say it."""
    return re.sub(r"-v\d+(:\d+)?$", "", model.rpartition("anthropic.")[2])


def _counts(ask: Ask) -> Headers:
    figures = ask.figures
    counts = {
        "Input-Token-Count": figures.input,
        "Output-Token-Count": figures.output,
        "Cache-Read-Input-Token-Count": figures.cache_read,
        "Cache-Write-Input-Token-Count": figures.cache_write,
    }
    told = tuple((f"X-Amzn-Bedrock-{name}", str(count)) for name, count in counts.items()) if ask.says_usage else ()
    return (*told, ("X-Amzn-Bedrock-Invocation-Latency", str(converse.LATENCY)))


def _metrics(ask: Ask) -> dict[str, Any]:
    figures = ask.figures
    return {
        "inputTokenCount": figures.input,
        "outputTokenCount": figures.output,
        "invocationLatency": converse.LATENCY,
        "firstByteLatency": 1,
        "cacheReadInputTokenCount": figures.cache_read,
        "cacheWriteInputTokenCount": figures.cache_write,
    }


def _chunks(ask: Ask, events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    waiting = next(events, None)
    number = 0
    while waiting is not None:
        value, waiting = waiting, next(events, None)
        if waiting is None and ask.says_usage and not ask.mode.no_end:
            value = value | {METRICS: _metrics(ask)}
        text = as_json(value)
        if ask.mode.big_line:
            text = text.replace(converse.BIG_MARK.encode(), b"lighthouse-keepr" * (ask.mode.big_line * MIB // 16))
        yield eventstream.event("chunk", converse.padded({"bytes": base64.b64encode(text).decode()}, number))
        number += 1


def _nova_usage(ask: Ask) -> dict[str, Any]:
    figures = ask.figures
    told = {"inputTokens": figures.input, "outputTokens": figures.output}
    return told | {"cacheReadInputTokenCount": figures.cache_read, "cacheWriteInputTokenCount": figures.cache_write}


def _nova(ask: Ask) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": [converse.visible_block(ask)]}}
    value: dict[str, Any] = {"output": said, "stopReason": converse.stop_reason(ask)}
    if ask.says_usage:
        value["usage"] = _nova_usage(ask) | {"totalTokens": ask.figures.input + ask.figures.output}
    return value


def _nova_events(ask: Ask) -> Iterator[dict[str, Any]]:
    for name, value in converse.events(ask):
        if name == "metadata":
            told: Mapping[str, Any] = {"usage": _nova_usage(ask)} if ask.says_usage else {}
            value = {**told, "metrics": {}, "trace": {}}
        yield {name: value}


def _mistral(ask: Ask) -> dict[str, Any]:
    return {"outputs": [{"text": visible_text(ask, story.text(ask.words)), "stop_reason": _stop(ask)}]}


def _mistral_events(ask: Ask) -> Iterator[dict[str, Any]]:
    count = 0
    while ask.mode.endless or count < ask.words:
        yield {"outputs": [{"text": story.word(count), "stop_reason": None}]}
        count += 1
    if not ask.mode.no_end:
        yield {"outputs": [{"text": "", "stop_reason": _stop(ask)}]}


def _stop(ask: Ask) -> str:
    return "length" if ask.limited else "stop"


FAMILIES: Mapping[str, Family] = {
    "anthropic": Family(messages.document, messages.events),
    "amazon.nova": Family(_nova, _nova_events),
    "mistral": Family(_mistral, _mistral_events),
}
