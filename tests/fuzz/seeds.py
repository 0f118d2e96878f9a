"""Inputs to begin with: what the simulated providers answer and real clients ask, with the choices before them.

``python -m tests.fuzz`` adds recorded answers where there are any (`recorded`); nothing of them is kept here.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.fuzz import aws_messages as aws
from tests.fuzz.choices import HEAD
from tests.simulator.reading import serve, whole

#: bytes of a recorded answer that is taken: a fuzzer's inputs are to stay small
_RECORDED_MAX: Final = 1500
#: and of the answers there are, each so many-th
_RECORDED_STEP: Final = 17

_QUESTION: Final = [{"role": "user", "content": "one two"}]
_CHAT: Final[dict[str, Any]] = {"model": "gpt-4o", "messages": _QUESTION}
_ASKED: Final = {"stream": True, "stream_options": {"include_usage": True}}
_TOOLS: Final = [{"type": "function", "function": {"name": "look", "parameters": {"properties": {"a": {}}}}}]
_GEMINI: Final = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}
_FEW: Final = {"x-sim-events": "1"}

_ASKS: Final[list[tuple[str, str, dict[str, Any]]]] = [
    ("openai", "/v1/chat/completions", _CHAT),
    ("openai", "/v1/chat/completions", _CHAT | _ASKED),
    ("openai", "/v1/chat/completions", _CHAT | _ASKED | {"tools": _TOOLS, "n": 2}),
    ("openai", "/v1/completions", {"model": "davinci", "prompt": "one", **_ASKED}),
    ("openai", "/v1/embeddings", {"model": "text-embedding-3-small", "input": "one"}),
    ("openai", "/v1/responses", {"model": "gpt-5-mini", "input": "one two"}),
    ("openai", "/v1/responses", {"model": "gpt-5-mini", "input": "one two", "stream": True}),
    ("anthropic", "/v1/messages", {"model": "claude", "max_tokens": 9, "messages": _QUESTION}),
    ("anthropic", "/v1/messages", {"model": "claude", "max_tokens": 9, "messages": _QUESTION, "stream": True}),
    ("copilot", "/chat/completions", _CHAT | _ASKED),
    ("gemini", "/v1beta/models/gemini-2.5-flash:generateContent", _GEMINI),
    ("gemini", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", _GEMINI),
    ("gemini", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", _GEMINI),
    ("ollama", "/api/chat", {"model": "llama3", "messages": _QUESTION}),
]  # fmt: skip

_CONVERSATION: Final = {
    "model": "gpt-4o",
    "max_tokens": 5,
    "stream": True,
    "stream_options": {"include_usage": False, "x": 1},
    "messages": [
        {"role": "system", "content": "be brief"},
        *_QUESTION,
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ],
    "tools": _TOOLS,
    "generationConfig": {"maxOutputTokens": 5, "candidateCount": 2},
}

_AWS_BODY: Final = b"".join(
    [
        aws.event("messageStart", b'{"role":"assistant"}'),
        aws.event("contentBlockDelta", b'{"delta":{"text":"one"}}'),
        aws.event("messageStop", b'{"stopReason":"end_turn"}'),
        aws.event("metadata", b'{"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}'),
    ]
)
_INVOKED: Final = (
    b'{"type":"message_start","message":{"model":"claude","usage":{"input_tokens":3,"output_tokens":1}}}',
    b'{"type":"content_block_delta","delta":{"text":"usage"}}',
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}',
    b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4}}',
)
_INVOKE_BODY: Final = b"".join(
    aws.event("chunk", b'{"bytes":"' + base64.b64encode(document) + b'","p":"abc"}') for document in _INVOKED
)

#: words that no fuzzer guesses soon
WORDS: Final = (
    b"data:", b"data: ", b"data: [DONE]", b"event: ", b"id:", b"\n\n", b"\r\n\r\n", b"\r\r", b"\xef\xbb\xbf", b"\\u0075sage",
    b'"usage"', b'"usage":null', b'"usage":{', b'"prompt_tokens":', b'"completion_tokens":', b'"input_tokens":',
    b'"output_tokens":', b'"choices":[]', b'"choices":[{', b'"finish_reason":"stop"', b'"type":"message_start"',
    b'"type":"message_delta"', b'"type":"message_stop"', b'"message":{', b'"type":"response.completed"', b'"response":{',
    b'"usageMetadata":{', b'"promptTokenCount":', b'"candidatesTokenCount":', b'"prompt_eval_count":', b'"eval_count":',
    b'"done":true', b'"x_groq":{', b'"copilot_usage":{', b'"token_details":[', b'"model":"m"', b'"error":{',
    b'"meta":{"tokens":{', b'"billed_units":{', b"NaN", b"1e400", b"-1", b":event-type", b":message-type", b"metadata",
    b"chunk", b'{"bytes":"', b"exception", b"stream_options", b"include_usage", b"max_tokens", b"\\ud83d", b"..", b"%2e",
    b"%25", b"/v1/v1", b"key=", b"Transfer-Encoding: chunked\r\n", b"Content-Length: ", b"Host: x\r\n", b"Connection: ",
    b"Upgrade: h2c\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n",
)  # fmt: skip

_REQUESTS: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na\r\n\r\n\r\n3;e=1\r\nxyz\r\n0\r\nT: 1\r\n\r\n",
    b"\r\nGET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n\r\n",
)
_RESPONSES: Final = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabcde",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)
_HEADS: Final = (
    b"/v1/chat/completions?key=1&x=2\nAuthorization: Bearer x\nCookie: a=b\nx-awf-user: me\nx-initiator: user\n",
    b"//v1/../models/%2e%2e/m:generateContent\nConnection: x-api-key, close\nOrigin: null\nHost: localhost:1\n",
)


def answers() -> list[bytes]:
    """Answers of every shape that the simulated providers have."""
    bodies = [whole(serve(provider, path, body, _FEW).answer) for provider, path, body in _ASKS]
    lines = ["cr", "crlf"]
    bodies += [whole(serve(*_ASKS[1], {**_FEW, "x-sim-lines": line, "x-sim-comments": "1"}).answer) for line in lines]
    return bodies


def recorded(folder: Path) -> Iterator[bytes]:
    """Some of the recorded answers in a folder of them, if it is there."""
    number = 0
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path) as exchanges:
            for line in exchanges:
                number += 1
                if number % _RECORDED_STEP == 0:
                    body = base64.b64decode(json.loads(line)["body_b64"])
                    if len(body) <= _RECORDED_MAX:
                        yield body


def _headed(bodies: list[bytes], heads: int) -> list[bytes]:
    """Each body under as many heads: cuts and choices that differ."""
    return [
        bytes((17 * number + 41 * at * index) % 256 for index in range(HEAD)) + body
        for number, body in enumerate(bodies)
        for at in range(heads)
    ]


def seeds(target: str) -> list[bytes]:
    """The inputs that one target begins with."""
    conversation = json.dumps(_CONVERSATION).encode()
    asked = [json.dumps(body).encode() for _, _, body in _ASKS]
    form = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
    bodies: dict[str, list[bytes]] = {
        "scan": [*answers(), _AWS_BODY, _INVOKE_BODY],
        "outlines": [*answers()[:8], *_INVOKED, b"{}", b"[{}]", b"{}{}"],
        "decoders": [_HEADS[0], gzip.compress(_HEADS[0]), answers()[1]],
        "peek": [conversation, *asked, form],
        "conversation": [conversation, *asked],
        "fields": list(_HEADS),
        "requests": list(_REQUESTS),
        "responses": list(_RESPONSES),
        "held": [_HEADS[0]],
    }
    return _headed(bodies[target], 3 if target == "scan" else 2)
