"""Messages of AWS event streams, for tests."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from zlib import crc32


def header(name: str, value: str) -> bytes:
    """A header with a text."""
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()


def message(headers: bytes, payload: bytes) -> bytes:
    """A message with right checksums."""
    total = 16 + len(headers) + len(payload)
    prelude = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    body = prelude + crc32(prelude).to_bytes(4, "big") + headers + payload
    return body + crc32(body).to_bytes(4, "big")


def aws_event(name: str, document: Any, kind: str = "event") -> bytes:
    """An event with this JSON; `document` may be the payload itself."""
    payload = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    which = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[kind]
    told = header(which, name) + header(":content-type", "application/json") + header(":message-type", kind)
    return message(told, payload)


def wrapped(document: Any) -> bytes:
    """An InvokeModel chunk."""
    text = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    return aws_event("chunk", {"bytes": b64encode(text).decode(), "p": "abcdef"})


USAGE = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 7, "firstByteLatency": 3}}
DECOY = {"inputTokens": 99, "outputTokens": 99, "totalTokens": 198}

CONVERSE = (
    aws_event("messageStart", {"role": "assistant", "p": "abc"}),
    aws_event("contentBlockDelta", {"delta": {"text": f'"usage":{json.dumps(DECOY)}'}, "contentBlockIndex": 0}),
    aws_event("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}, "usage": DECOY}),
    aws_event("contentBlockStop", {"contentBlockIndex": 0}),
    aws_event("messageStop", {"stopReason": "end_turn"}),
    aws_event(
        "metadata",
        {"trace": {"guardrail": {"invocationMetrics": {"usage": DECOY}}}, "usage": USAGE, "metrics": {"latencyMs": 1}},
    ),
)
#: Streams of InvokeModel by model; each says 5 in, 7 out.
INVOKE = {
    "anthropic": (
        wrapped({"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 5}}}),
        wrapped({"type": "content_block_delta", "delta": {"text": '"usage":{"input_tokens":99} message_stop'}}),
        wrapped({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        wrapped({"type": "message_stop", **METRICS}),
    ),
    "nova": (
        wrapped({"messageStart": {"role": "assistant"}}),
        wrapped({"contentBlockDelta": {"delta": {"text": '{"metadata":{"usage":{"inputTokens":99}}}'}}}),
        wrapped({"messageStop": {"stopReason": "end_turn"}}),
        wrapped({"metadata": {"usage": USAGE, "trace": {}}, **METRICS}),
    ),
    "llama": (
        wrapped({"generation": "a", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": None}),
        wrapped({"generation": "b", "prompt_token_count": None, "generation_token_count": 7, "stop_reason": None}),
        wrapped({"generation": "", "prompt_token_count": None, "generation_token_count": 7, "stop_reason": "stop"} | METRICS),
    ),
    "titan": (
        wrapped({"outputText": "a", "index": 0, "inputTextTokenCount": 5}),
        wrapped({"outputText": "b", "totalOutputTextTokenCount": 7, "completionReason": "FINISH", **METRICS}),
    ),
    "mistral": (wrapped({"outputs": [{"text": "a"}]}), wrapped({"outputs": [{"stop_reason": "stop"}], **METRICS})),
}
FAILED = aws_event("modelStreamErrorException", {"message": "it broke"}, "exception")
