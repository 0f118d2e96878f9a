"""Upper bounds: rules by rule, what cannot be bounded, and every recorded call that said what it used.

The recorded calls are other projects'; without them that part is skipped.  Run with ``-s`` to see how many are bounded.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core import kinds
from awfproxy.core.bounding import bounding
from awfproxy.core.bounds import A_TOOL, COHERE_OVERHEAD, OVERHEAD, TOOLS_OVERHEAD, upper_bound
from awfproxy.core.kinds import Kind, kind, url_model
from awfproxy.core.models import MODELS, known
from awfproxy.core.request import ALL_SLICED_TO, MESSAGES_MAX

from .test_corpus import records

MODEL = "gpt-4o"
PICTURE = "data:image/png;base64," + "A" * 4000
#: recorded calls that used more, and why that is not our bound's fault
EXCEPTIONS = {
    "a request whose system prompt was cut by its recorder": (
        "test_bedrock_prompt_caching_metrics/test_prompt_cache.yaml",
    ),
    "a gateway that adds a system prompt of its own": ("cassettes/venice/",),
}


def bound(body: dict[str, Any], which: Kind = kinds.CHAT, model: str | None = MODEL) -> int:
    """The bound of a request that has one."""
    tokens, reason = upper_bound(which, json.dumps(body).encode(), model)
    assert tokens is not None, reason
    return tokens


def reason(body: dict[str, Any], which: Kind = kinds.CHAT, model: str | None = MODEL) -> str:
    """Why a request has none."""
    tokens, found = upper_bound(which, json.dumps(body).encode(), model)
    assert tokens is None
    assert found
    return found


def ask(content: object, **more: Any) -> dict[str, Any]:
    """A chat."""
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 100} | more


def size(body: dict[str, Any]) -> int:
    """Its bytes."""
    return len(json.dumps(body))


@pytest.mark.parametrize(
    ("which", "body", "answers", "limit"),
    [
        (kinds.CHAT, {"max_tokens": 100}, 1, 100),
        (kinds.CHAT, {"max_completion_tokens": 100}, 1, 100),
        (kinds.CHAT, {"max_tokens": 50, "max_completion_tokens": 100}, 1, 100),
        (kinds.CHAT, {"max_tokens": 100, "n": 3}, 3, 100),
        (kinds.CHAT, {"max_tokens": 1}, 1, 16),
        (kinds.CHAT, {"max_tokens": 100, "n": None}, 1, 100),
        (kinds.CHAT, {}, 1, 16_384),
        (kinds.CHAT, {"n": 2}, 2, 16_384),
        (kinds.CHAT, {"max_tokens": "100"}, None, None),
        (kinds.CHAT, {"max_tokens": -1}, 1, 16_384),
        # limits of other APIs are kept by nobody
        (kinds.CHAT, {"max_output_tokens": 100}, 1, 16_384),
        (kinds.CHAT, {"generationConfig": {"maxOutputTokens": 100}}, 1, 16_384),
        (kinds.RESPONSES, {"max_output_tokens": 100}, 1, 100),
        (kinds.RESPONSES, {"max_tokens": 100}, 1, 16_384),
        (kinds.MESSAGES, {"max_tokens": 100}, 1, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100, "prompt": "x"}, 1, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100, "prompt": ["x", "y"], "n": 2}, 4, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100, "prompt": "x", "n": 2, "best_of": 5}, 5, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100, "prompt": [1, 2, 3]}, 1, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100, "prompt": [[1, 2], [3]]}, 2, 100),
        (kinds.GENERATE, {"generationConfig": {"maxOutputTokens": 100, "candidateCount": 4}}, 4, 100),
        (kinds.GENERATE, {"generation_config": {"max_output_tokens": 100, "candidate_count": 2}}, 2, 100),
        (kinds.GENERATE, {"max_tokens": 100}, 1, 16_384),
        (kinds.CONVERSE, {"inferenceConfig": {"maxTokens": 100}}, 1, 100),
        (kinds.OLLAMA, {"options": {"num_predict": 100}}, 1, 100),
        (kinds.OLLAMA, {"options": {"num_predict": -1}}, 1, 16_384),
        (kinds.EMBEDDINGS, {"input": ["a", "b"]}, 0, 0),
        (kinds.EMBEDDINGS, {"input": [[1, 2, 3]], "max_tokens": 100}, 0, 0),
        (kinds.MODERATIONS, {"input": "a"}, 0, 0),
    ],
)
def test_input_by_bytes_output_by_the_limit(
    which: Kind, body: dict[str, Any], answers: int | None, limit: int | None
) -> None:
    """Bytes and overhead, and for each answer the API's own limit, else the model's longest answer."""
    if answers is None or limit is None:
        assert reason(body, which) == "not understood"
    else:
        assert bound(body, which) == size(body) + OVERHEAD + answers * limit


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens":9000,"max_tokens":1}',
        b'{"max_tokens":1,"max_tokens":9000}',
        b'{"max_tokens":1,"max_tokens":null}',
        b'{"max_tokens":1,"max_\\u0074okens":9000}',
        b'{"max_completion_tokens":9000,"max_tokens":2,"max_completion_tokens":1}',
        b'{"n":9,"max_tokens":1,"n":1}',
        b'{"max_tokens":1,"generationConfig":{"maxOutputTokens":9000},"generationConfig":{"maxOutputTokens":1}}',
        b'{"max_tokens":1,"generationConfig":{},"generationConfig":{"maxOutputTokens":1}}',
        b'{"max_tokens":1,"generationConfig":{"maxOutputTokens":9000},"generationConfig":null}',
        b'{"max_tokens":1,"generationConfig":{"maxOutputTokens":9000,"maxOutputTokens":1}}',
        b'\xef\xbb\xbf{"max_tokens":9000,"messages":"\\ud83d","max_tokens":1}',
        b'{"max_tokens":-9223372036854775808}',  # the one number that is not counted as it is read
    ],
)
def test_limits_that_are_given_twice(body: bytes) -> None:
    """Under one name, however it is written: readers of JSON disagree on which of them counts.  In whatever API, as the
    one that is asked for may be behind a gateway."""
    for which in (kinds.CHAT, kinds.GENERATE, kinds.MESSAGES):
        assert upper_bound(which, body, MODEL) == (None, "a limit given twice")


def test_a_flood_of_limits_costs_no_more() -> None:
    """It is not read to its end."""
    body = b'{"n":1,%b"m":1}' % (b'"n":1,' * 500_000)
    assert upper_bound(kinds.CHAT, body, MODEL) == (None, "not understood")
    assert upper_bound(kinds.GENERATE, body.replace(b'"n":1', b'"options":{}'), MODEL) == (None, "not understood")


names = st.sampled_from(["max_tokens", "max_completion_tokens", "max_output_tokens", "n"])


@given(st.lists(st.tuples(names, st.integers(0, 10**6)), max_size=6), st.booleans())
def test_whichever_limit_a_server_keeps_it_is_within_the_bound(given: list[tuple[str, int]], any_server: bool) -> None:
    """Of several the largest; twice the same, and there is none.  Of an unknown server the oldest one must be there, and
    a model's name bounds nothing."""
    body = b"{%b}" % b",".join(b'"%b":%d' % (name.encode(), number) for name, number in given)
    tokens = upper_bound(kinds.CHAT, body, MODEL, any_server=any_server).tokens
    said = dict(given)
    untrusted = any_server and "max_tokens" not in said
    assert (tokens is None) == (len(said) < len(given) or untrusted)
    if tokens is None:
        return
    kept = [said[name] for name in ("max_tokens", "max_completion_tokens") if name in said]
    answers = said.get("n") or 1
    assert tokens == len(body) + OVERHEAD + answers * max(16, max(kept, default=16_384))


@pytest.mark.parametrize(
    ("which", "body", "limit"),
    [
        (kinds.CHAT, {"max_tokens": 100}, 100),
        (kinds.CHAT, {"max_completion_tokens": 100}, None),
        (kinds.CHAT, {"max_tokens": None, "max_completion_tokens": 100}, None),
        (kinds.CHAT, {"max_tokens": 50, "max_completion_tokens": 100}, 100),
        (kinds.COMPLETIONS, {"max_tokens": 100}, 100),
        (kinds.MESSAGES, {"max_tokens": 100}, 100),
        (kinds.RESPONSES, {"max_output_tokens": 100}, None),
        (kinds.GENERATE, {"generationConfig": {"maxOutputTokens": 100}}, None),
        (kinds.CONVERSE, {"inferenceConfig": {"maxTokens": 100}}, 100),
        (kinds.OLLAMA, {"options": {"num_predict": 100}}, 100),
        (kinds.COHERE_CHAT, {"max_tokens": 100}, 100),
    ],
)
def test_limits_that_any_server_keeps(which: Kind, body: dict[str, Any], limit: int | None) -> None:
    """Of APIs that are imitated the oldest alone; where nothing is sure there is no bound, whatever the model's name."""
    raw = json.dumps(body).encode()
    found = upper_bound(which, raw, "gpt-4", any_server=True)
    known_server = upper_bound(which, raw, "gpt-4")
    assert known_server.tokens is not None
    assert found == (known_server if limit is not None else (None, "no limit that every server keeps"))
    overhead = COHERE_OVERHEAD if which is kinds.COHERE_CHAT else OVERHEAD
    assert limit is None or found.tokens == len(raw) + overhead + limit


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("no limit that every server keeps", ask("x", max_tokens=None)),
        ("no limit that every server keeps", ask("x", max_tokens=None, max_completion_tokens=100_000)),
        ("pictures for this model", ask([{"type": "image_url", "image_url": {"url": PICTURE}}])),
    ],
)
def test_a_models_name_bounds_nothing_where_nobody_knows_the_server(said: str, body: dict[str, Any]) -> None:
    """A server of one's own may call any model `gpt-4o`."""
    raw = json.dumps(body).encode()
    assert upper_bound(kinds.CHAT, raw, MODEL, any_server=True) == (None, said)
    assert upper_bound(kinds.CHAT, raw, MODEL).tokens is not None


def test_bedrock_serves_its_models_itself() -> None:
    """Of `invoke` a Claude's name tells which limit it has, and no more."""
    raw = json.dumps(ask("hi")).encode()
    claude = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    assert upper_bound(kinds.INVOKE, raw, claude, any_server=True) == (len(raw) + OVERHEAD + 100, None)
    assert upper_bound(kinds.INVOKE, b"{}", claude, any_server=True).tokens is None


def test_unknown_models() -> None:
    """Without a limit there is no bound; with one there is."""
    body = ask("hi")
    assert bound(body, model="llama9") == bound(body, model=None) == bound(body)
    del body["max_tokens"]
    assert reason(body, model="llama9") == reason(body, model=None) == "no limit, and an unknown model"
    assert "unknown model" in reason(ask("hi"), kinds.INVOKE, "meta.llama3")
    assert bound(ask("hi"), kinds.INVOKE, "us.anthropic.claude-3-5-haiku-20241022-v1:0")


def test_tools_of_the_client() -> None:
    """They are in the body; the provider's prompts for them are added."""
    functions = [
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "name": "g"},
        {"name": "h", "input_schema": {}},
        {"type": "bash_20250124", "name": "bash"},
        {"function": {"name": "i"}},
    ]
    body = ask("hi", tools=functions)
    assert bound(body) == size(body) + OVERHEAD + TOOLS_OVERHEAD + 5 * A_TOOL + 100
    gemini = {"contents": [], "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}]}
    assert bound(gemini, kinds.GENERATE) == size(gemini) + OVERHEAD + TOOLS_OVERHEAD + 3 * A_TOOL + 16_384
    bedrock = {"messages": [], "toolConfig": {"tools": [{"toolSpec": {"name": "a"}}]}, "inferenceConfig": {"maxTokens": 50}}
    assert bound(bedrock, kinds.CONVERSE) == size(bedrock) + OVERHEAD + TOOLS_OVERHEAD + A_TOOL + 50
    assert bound({"tool_config": {"function_calling_config": {}}, "toolConfig": {"functionCallingConfig": {}}})


def test_pictures_in_the_body() -> None:
    """They count what they cost at most, and not by their bytes; where that is not known there is no bound."""
    parts: dict[str, tuple[Kind, Any]] = {
        "gpt-4o": (kinds.CHAT, {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}}),
        "gpt-4.1": (kinds.RESPONSES, {"type": "input_image", "image_url": PICTURE}),
        "claude-opus-4-1": (
            kinds.MESSAGES,
            {
                "type": "tool_result",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
                ],
            },
        ),
    }
    for model, (which, part) in parts.items():
        body = ask([{"type": "text", "text": "what is it?"}, part], max_output_tokens=100)
        if which is kinds.RESPONSES:
            body["input"] = body.pop("messages")
        facts = MODELS[model.removesuffix("-1")]
        assert facts.picture is not None
        assert bound(body, which, model) == size(body) - len(PICTURE) - 2 + OVERHEAD + facts.picture + 100
        assert reason(body, which, "llama9") == "pictures for this model"
    assert "inlineData" in reason({"contents": [{"parts": [{"inlineData": {"data": "x"}}]}]}, kinds.GENERATE)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("image_url by reference", ask([{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}])),
        ("image_url by reference", ask([{"type": "image_url", "image_url": "https://example.com/x.png"}])),
        ("input_image", ask([{"type": "input_image", "file_id": "file-1"}])),
        ("image by url", ask([{"type": "image", "source": {"type": "url", "url": "https://x"}}])),
        ("document by base64", ask([{"type": "document", "source": {"type": "base64", "data": "JVBE"}}])),
        ("document by file", ask([{"type": "document", "source": {"type": "file", "file_id": "f"}}])),
        ("image by url", ask([{"type": "tool_result", "content": [{"type": "image", "source": {"type": "url"}}]}])),
        ("image by url", ask([{"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url"}}]}}])),
        ("file", ask([{"type": "file", "file": {"file_id": "f"}}])),
        ("input_audio", ask([{"type": "input_audio", "input_audio": {"data": "AAAA"}}])),
        ("video_url", ask([{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}}])),
        ("audio", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        ("audio", ask("hi", audio={"voice": "alloy"})),
        ("images", {"messages": [{"role": "user", "content": "x", "images": ["AAAA"]}]}),
        ("item_reference", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("item_reference", {"input": [{"type": "item_reference", "id": "msg_1", "content": []}]}),
        # OpenAI's ItemReferenceParam: `type` is optional
        ("item by id", {"input": [{"id": "msg_1"}]}),
        ("item by id", {"input": {"id": "msg_1"}}),
        ("item by id", {"input": [{"role": "user", "content": "x"}, {"id": "msg_1", "role": "user"}]}),
        ("item by id", {"input": ["x", {"id": "msg_1", "content": "x"}]}),
        ("not understood", {"input": [{"id": "msg_1", "type": None}]}),
        ("reasoning by id", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
        ("previous_response_id", {"input": "go on", "previous_response_id": "resp_1"}),
        ("conversation", {"input": "go on", "conversation": {"id": "conv_1"}}),
        ("background", {"input": "go on", "background": True}),
        ("prompt", {"input": "go on", "prompt": {"id": "pmpt_1"}}),
        ("mcp_servers", ask("hi", mcp_servers=[{"url": "https://x"}])),
        ("container", ask("hi", container="c_1")),
        ("context_management", ask("hi", context_management={"edits": [{"type": "compact_20260112"}]})),
        ("web_search_options", ask("hi", web_search_options={"user_location": {}})),
        ("plugins", ask("hi", plugins=[{"id": "web"}])),
        ("cachedContent", {"contents": [], "cachedContent": "cachedContents/1"}),
        ("modalities", ask("hi", modalities=["text", "image"])),
        ("modalities", {"contents": [], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}),
        ("fileData", {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x"}}]}]}),
        ("fileData", {"contents": [{"parts": [{"text": "x"}, {"fileData": {"fileUri": "gs://x"}}]}]}),
        ("functionResponse.parts", {"contents": [{"parts": [{"functionResponse": {"parts": [{}]}}]}]}),
        ("inlineData", {"systemInstruction": {"parts": [{"inlineData": {}}]}}),
        ("image", ask([{"image": {"format": "png", "source": {"bytes": "AAAA"}}}])),
        ("image", ask([{"toolResult": {"content": [{"image": {"source": {}}}]}}])),
        ("web_search_20250305", ask("hi", tools=[{"type": "web_search_20250305", "name": "web_search"}])),
        ("code_interpreter", ask("hi", tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])),
        ("googleSearch", ask("hi", tools=[{"functionDeclarations": []}, {"googleSearch": {}}])),
        ("systemTool", ask("hi", toolConfig={"tools": [{"systemTool": {"name": "nova_grounding"}}]})),
        ("reasoning.mode", ask("hi", reasoning={"mode": "pro"})),
        ("nesting", ask([{"type": "tool_result", "content": [{"type": "tool_result", "content": [{"type": "tool_result", "content": [{"type": "text"}]}]}]}])),
    ],
)  # fmt: skip
def test_what_has_no_bound(said: str, body: dict[str, Any]) -> None:
    """Each is named; in no API does it matter which other it belongs to, and escapes in names hide nothing."""
    for which in (kinds.CHAT, kinds.RESPONSES, kinds.MESSAGES, kinds.GENERATE):
        assert said in reason(body, which)
    text = json.dumps(body)
    for name in ("previous_response_id", "image_url", "plugins", "fileData", "type"):
        text = text.replace(f'"{name}":', f'"{name[0]}\\u{ord(name[1]):04x}{name[2:]}" :')
    assert upper_bound(kinds.CHAT, text.encode(), MODEL).tokens is None


@pytest.mark.parametrize(
    "body",
    [
        ask("https://example.com/x.png is an \"image_url\", {\"type\":\"file\"}"),
        ask([{"type": "text", "text": "previous_response_id"}]),
        ask("x", previous_response_id=None, background=False, mcp_servers=[], container=None),
        {"messages": [{"role": "assistant", "content": None, "audio": None, "tool_calls": [{"id": "1"}]}]},
        {"messages": [{"role": "user", "content": ["a", "b"]}]},
        {"input": [{"type": "function_call", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "output": "x"}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_text", "text": "x"}]}]},
        {"input": [{"type": "reasoning", "encrypted_content": "xxxxxxxx"}, {"role": "user", "content": "x"}]},
        {"input": [{"type": "input_text", "text": "x"}]},
        {"contents": [{"parts": [{"text": "x", "thought": True}, {"functionCall": {}}]}], "systemInstruction": {"parts": [{"text": "x"}]}},
        {"contents": {"parts": {"text": "x"}}, "generationConfig": {"responseModalities": ["Text"]}},
        {"system": [{"type": "text", "text": "x"}], "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
        {"system": [{"text": "x"}], "messages": [{"content": [{"toolResult": {"content": [{"json": {}}]}}, {"cachePoint": {}}]}]},
        {"requests": [{"content": {"parts": [{"text": "x"}]}}], "content": {"parts": [{"text": "x"}]}},
    ],
)  # fmt: skip
def test_what_is_bounded_by_its_bytes(body: dict[str, Any]) -> None:
    """Texts that only speak of such things, members that say nothing, and all that clients of agents send."""
    for which in (kinds.CHAT, kinds.RESPONSES, kinds.MESSAGES, kinds.GENERATE):
        assert bound(body, which) >= size(body)


@pytest.mark.parametrize(
    ("method", "target", "said"),
    [
        ("POST", "/v1/images/generations", "images"),
        ("POST", "/v1/audio/speech", "audio"),
        ("POST", "/v1/threads/t/runs", "assistants"),
        ("POST", "/v1beta/interactions", "interactions"),
        ("POST", "/v1/messages/batches", "a batch"),
        ("POST", "/v1/unheard/of", "an unknown kind of call"),
        ("GET", "/v1/models", None),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1/messages/count_tokens", None),
        ("POST", "/v1/batches", "a batch"),
        ("POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", "a batch"),
        ("GET", "/v1/messages/batches", None),
        ("POST", "/v1/messages/batches/b/cancel", None),
        ("DELETE", "/v1/batches/b", None),
    ],
)
def test_kinds_of_calls(method: str, target: str, said: str | None) -> None:
    """Those whose tokens follow from something else have no bound; those that use none have 0."""
    body = b"{}" if method == "POST" else b""
    found = upper_bound(kind(method.encode(), target.encode()), body, MODEL)
    assert found == (None, said) if said else found == (0, None)


def test_models_that_search() -> None:
    """What they read is not in the request."""
    for model in ("sonar-pro", "gpt-4o-search-preview", "groq/compound", "o3-deep-research"):
        assert reason(ask("hi"), model=model) == "a model that searches"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("GPT-5-Codex", "gpt-5"),
        ("openai/gpt-4.1", "gpt-4.1"),
        ("ft:gpt-4o-mini:acme::x", "gpt-4o-mini"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("anthropic/claude-opus-4.6", "claude-opus-4"),
        ("models/gemini-2.5-flash", "gemini-2.5"),
        ("publishers/google/models/gemini-2.5-pro", "gemini-2.5"),
        ("gpt4", None),
        ("my-gpt-4o", None),
        ("", None),
    ],
)
def test_known_models(name: str, family: str | None) -> None:
    """By the beginning of the name, whatever a gateway put in front; the longest family that fits."""
    assert known(name) == (None if family is None else MODELS[family])


@given(st.binary(max_size=200), st.sampled_from(["chat", "responses", "messages", "generateContent", "completions"]))
def test_no_body_raises(body: bytes, name: str) -> None:
    """Bytes at random are not understood, or nothing is found in them."""
    found = bounding(body, name)
    assert found.unbounded is None or found.unbounded


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "content", "parts", "text", "source", "image_url", "url", "data", "tools", "n", "input"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip
members = st.sampled_from(["messages", "contents", "input", "tools", "system", "prompt", "generationConfig", "n", "max_tokens", "reasoning"])  # fmt: skip


@given(st.dictionaries(members, json_values, max_size=5), st.sampled_from([kinds.CHAT, kinds.RESPONSES, kinds.GENERATE, kinds.COMPLETIONS]))  # fmt: skip
def test_any_json_is_bounded_or_named(body: dict[str, Any], which: Kind) -> None:
    """Whatever stands where: no exception, and a bound is never less than the bytes without pictures."""
    raw = json.dumps(body).encode()
    tokens, why = upper_bound(which, raw, MODEL)
    found = bounding(raw, which.name)
    assert (tokens is None) == (why is not None)
    if tokens is not None:
        assert tokens >= len(raw) - found.picture_bytes + OVERHEAD


@given(st.dictionaries(members, json_values, max_size=5), st.sampled_from(["chat", "responses", "messages", "generateContent"]))  # fmt: skip
def test_long_bodies_say_what_short_ones_say(body: dict[str, Any], name: str) -> None:
    """A long body is read in other steps than a short one, and the same is found in it."""
    raw = json.dumps(body).encode()
    assert bounding(raw + b" " * ALL_SLICED_TO, name) == bounding(raw, name)


def test_text_with_half_an_emoji() -> None:
    """Agents written in JavaScript send it, and servers take it."""
    assert upper_bound(kinds.CHAT, rb'{"max_tokens":20,"messages":[{"content":"\ud83d"}]}', None).tokens


def test_long_bodies_are_not_taken_apart() -> None:
    """Millions of empty messages, parts or tools have no bound, and cost little; long texts have one."""
    many = b",".join([b"{}"] * (ALL_SLICED_TO // 2))
    assert many.count(b"{}") > MESSAGES_MAX
    for body in (b'{"messages":[%b]}', b'{"messages":[{"content":[%b]}]}', b'{"tools":[%b]}', b'{"input":[%b]}'):
        assert upper_bound(kinds.CHAT, body % many, MODEL).reason == "length"
    long = ask([{"type": "text", "text": "x" * ALL_SLICED_TO}, {"type": "text", "text": "y"}])
    assert bound(long) == size(long) + OVERHEAD + 100
    gemini = {"contents": [{"parts": [{"text": "x" * ALL_SLICED_TO}, {"text": "y"}]}]}
    assert bound(gemini, kinds.GENERATE) == size(gemini) + OVERHEAD + 16_384
    gemini["contents"][0]["parts"].append({"fileData": ""})
    assert "fileData" in reason(gemini, kinds.GENERATE)


def test_every_recorded_call(corpus: Path) -> None:
    """What was used is within the bound, in all calls that have one, but for the named ones."""
    table: Counter[str] = Counter()
    over = []
    for record in records(corpus):
        said = record["expect"]
        if not record["request_body"] or (said["input_tokens"] is None and said["output_tokens"] is None):
            continue
        used = sum(said[name] or 0 for name in ("input_tokens", "output_tokens")) + (record["tool_use_prompt_tokens"] or 0)
        if record["output_includes_reasoning"] is False or record["api"] == "generateContent":
            used += said["reasoning_tokens"] or 0
        if record["api"] in ("messages", "converse", "invoke"):
            used += (said["cache_read_tokens"] or 0) + (said["cache_write_tokens"] or 0)
        target = urlsplit(record["url"]).path.encode() or b"/"
        which = kind(record["method"].encode(), target)
        model = record["request_model"] or url_model(target)
        tokens, why = upper_bound(which, record["request_body"].encode(), model)
        table["bounded" if why is None else "not bounded"] += 1
        if tokens is not None and tokens < used:
            over.append(record["id"])
    print(dict(table))
    excused = [part for parts in EXCEPTIONS.values() for part in parts]
    assert [each for each in over if not any(part in each for part in excused)] == []
    assert table["bounded"] > 2 * table["not bounded"]
