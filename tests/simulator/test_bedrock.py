"""Bedrock's answers: binary streams that AWS's own reader reads, and the counts wherever Bedrock tells them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.simulator import eventstream
from awfproxy.simulator.site import Served
from tests.simulator.reading import serve, whole

MODELS = {
    "anthropic": "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
    "nova": "amazon.nova-lite-v1%3A0",
    "mistral": "mistral.mistral-7b-instruct-v0%3A2",
}
CONVERSE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "one two three"}]}]}
ASKS: dict[str, dict[str, Any]] = {
    "anthropic": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100}
    | {"messages": [{"role": "user", "content": "one two three"}]},
    "nova": CONVERSE | {"schemaVersion": "messages-v1"},
    "mistral": {"prompt": "one two three"},
}
TOOLS = {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"properties": {"place": {}}}}}}]}
GUARDED = {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"}}


def ask(verb: str, body: dict[str, Any], headers: dict[str, str] | None = None, model: str = "nova") -> Served:
    """One call."""
    return serve("bedrock", f"/model/{MODELS[model]}/{verb}", body, headers)


def messages(body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message, by botocore, which checks both CRCs."""
    reader = pytest.importorskip("botocore.eventstream").EventStreamBuffer()
    reader.add_data(body)
    return [(message.headers, message.payload) for message in reader]


def streamed(served: Served) -> list[tuple[str, dict[str, Any]]]:
    """Type and content of each event, those of models taken out of their wrapping."""
    assert served.answer.content_type == "application/vnd.amazon.eventstream"
    found = []
    for headers, payload in messages(whole(served.answer)):
        assert headers[":message-type"] == "event"
        value = json.loads(payload)
        assert value.pop("p")
        if headers[":event-type"] == "chunk":
            value = json.loads(base64.b64decode(value["bytes"]))
        found.append((headers[":event-type"], value))
    return found


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=3), st.binary(max_size=300))
def test_messages_are_read_by_botocore(headers: dict[str, str], payload: bytes) -> None:
    """Law: what is written is what AWS's own reader reads."""
    assert messages(eventstream.message(headers, payload) * 2) == [(headers, payload)] * 2


def test_converse() -> None:
    """A text of twelve words; cached tokens beside the input, in the total; a guardrail's usage is another's."""
    cached = [{"text": "a b c d e"}, {"cachePoint": {"type": "default"}}]
    served = ask("converse", CONVERSE | GUARDED | {"system": cached})
    value = json.loads(whole(served.answer))
    assert len(value["output"]["message"]["content"][0]["text"].split()) == 12
    counts = {"inputTokens": 3, "outputTokens": 12, "totalTokens": 20}
    cache = {"cacheReadInputTokens": 2, "cacheWriteInputTokens": 3}
    assert value["usage"] == counts | cache | {"serverToolUsage": {}}
    assert "inputTokens" in json.dumps(value["trace"])
    assert served.call is not None
    assert (served.call.input, served.call.output, served.call.cache_read, served.call.cache_write) == (3, 12, 2, 3)
    assert served.call.model == "amazon.nova-lite-v1:0"


def test_converse_stream() -> None:
    """The usage is in the last event, after the stop reason."""
    told = streamed(ask("converse-stream", CONVERSE | {"inferenceConfig": {"maxTokens": 5}}))
    assert [kind for kind, _ in told] == [
        "messageStart",
        *["contentBlockDelta"] * 5,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert told[-2][1] == {"stopReason": "max_tokens"}
    assert told[-1][1]["usage"]["outputTokens"] == 5


@pytest.mark.parametrize("verb", ["converse", "converse-stream"])
def test_tools(verb: str) -> None:
    """The first tool is called with the arguments of its schema, until the conversation ends with its result."""
    served = ask(verb, CONVERSE | {"toolConfig": TOOLS})
    if verb == "converse":
        content = json.loads(whole(served.answer))["output"]["message"]["content"]
        assert content[0]["toolUse"]["input"] == {"place": "lighthouse"}
    else:
        deltas = [value["delta"]["toolUse"]["input"] for kind, value in streamed(served) if kind == "contentBlockDelta"]
        assert json.loads("".join(deltas)) == {"place": "lighthouse"}
    assert served.call is not None
    assert served.call.output == 6
    result = {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "four"}]}}]}
    ended = ask(verb, {"messages": [*CONVERSE["messages"], result], "toolConfig": TOOLS})
    assert ended.call is not None
    assert (ended.call.input, ended.call.output) == (4, 12)


@pytest.mark.parametrize(("model", "told"), [("anthropic", True), ("nova", True), ("mistral", False)])
def test_invoke(model: str, told: bool) -> None:
    """The maker's own body, the counts in Bedrock's headers too; Mistral's are there only."""
    served = ask("invoke", ASKS[model], model=model)
    value = json.loads(whole(served.answer))
    assert ("usage" in value) is told
    headers = dict(served.answer.headers)
    assert headers["X-Amzn-Bedrock-Input-Token-Count"] == "3"
    assert headers["X-Amzn-Bedrock-Output-Token-Count"] == "12"
    if model == "anthropic":
        assert value["model"] == "claude-sonnet-4-5-20250929"
        assert value["usage"]["output_tokens"] == 12
    silent = ask("invoke", ASKS[model], {"x-sim-usage": "absent"}, model)
    assert "X-Amzn-Bedrock-Input-Token-Count" not in dict(silent.answer.headers)


@pytest.mark.parametrize("model", list(MODELS))
def test_invoke_stream(model: str) -> None:
    """The maker's own events in chunks; the last has Bedrock's counts."""
    told = streamed(ask("invoke-with-response-stream", ASKS[model], model=model))
    assert {kind for kind, _ in told} == {"chunk"}
    assert all("amazon-bedrock-invocationMetrics" not in value for _, value in told[:-1])
    last = told[-1][1]
    metrics = last["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (3, 12)
    if model == "anthropic":
        assert (told[0][1]["type"], last["type"]) == ("message_start", "message_stop")
    if model == "nova":
        assert last["metadata"]["usage"]["outputTokens"] == 12


def test_a_model_of_nobody() -> None:
    """400, in Bedrock's shape, its name in a header."""
    served = serve("bedrock", "/model/does-not-exist/invoke", {"prompt": "a"})
    assert served.answer.status == 400
    assert set(json.loads(whole(served.answer))) == {"message"}
    assert ("x-amzn-ErrorType", "ValidationException") in served.answer.headers


def test_streams_that_go_wrong() -> None:
    """An exception ends the stream; its end can be left out; modes for text, and sizes AWS has not, are refused."""
    broken = messages(whole(ask("converse-stream", CONVERSE, {"x-sim-error-event": "3"}).answer))
    assert len(broken) == 4
    assert (broken[-1][0][":message-type"], ":event-type" in broken[-1][0]) == ("exception", False)
    assert streamed(ask("converse-stream", CONVERSE, {"x-sim-no-end": "1"}))[-1][0] == "messageStop"
    for mode in ({"x-sim-comments": "1"}, {"x-sim-lines": "cr"}, {"x-sim-big-line": "9"}):
        assert ask("converse-stream", CONVERSE, mode).answer.status == 400


@pytest.mark.parametrize("verb", ["converse-stream", "invoke-with-response-stream"])
@pytest.mark.parametrize("model", ["anthropic", "nova"])
def test_big_events(verb: str, model: str) -> None:
    """One event with a text of so many MiB, usage after it."""
    told = streamed(ask(verb, CONVERSE if verb == "converse-stream" else ASKS[model], {"x-sim-big-line": "2"}, model))
    assert max(len(json.dumps(value)) for _, value in told) > 2 << 20
    last = told[-1][1]
    counts = last["usage"] if verb == "converse-stream" else last["amazon-bedrock-invocationMetrics"]
    assert 1 in counts.values()
