"""The shapes of the answers: what each API tells equals what the ledger says was used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.simulator.site import Site
from tests.simulator.reading import events, serve, whole

QUESTION = "one two three"
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": QUESTION}]}
RESPONSES: dict[str, Any] = {"model": "gpt-5-mini", "input": QUESTION}
MESSAGES: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]}
GEMINI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
FLASH = "/v1beta/models/gemini-2.5-flash"


def test_chat_document() -> None:
    """One word a token, the model's name back, the words really there."""
    served = serve("openai", "/v1/chat/completions", CHAT | {"n": 2})
    value = json.loads(whole(served.answer))
    assert served.call is not None
    assert [len(choice["message"]["content"].split()) for choice in value["choices"]] == [12, 12]
    assert (value["usage"]["prompt_tokens"], value["usage"]["completion_tokens"]) == (3, 24)
    assert (served.call.input, served.call.output, served.call.reported) == (3, 24, True)


@given(words=st.integers(0, 40), limit=st.integers(1, 40), choices=st.integers(1, 3), asked=st.booleans())
@settings(max_examples=50)
def test_chat_stream(words: int, limit: int, choices: int, asked: bool) -> None:
    """Any length under any limit: the words streamed are the tokens told, and told only if asked for."""
    body = CHAT | {"stream": True, "max_tokens": limit, "n": choices} | (ASKED if asked else {})
    served = serve("openai", "/v1/chat/completions", body, {"x-sim-events": str(words)})
    chunks = events(whole(served.answer))
    texts = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    finishes = {choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]} - {None}
    assert served.call is not None
    assert sum(bool(text) for text in texts) == min(words, limit) * choices == served.call.output
    assert finishes == {"length" if limit < words else "stop"}
    if asked:
        assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == served.call.output
    else:
        assert all("usage" not in chunk for chunk in chunks)
    assert served.call.reported is asked


def test_chat_usage_modes() -> None:
    """'always' grows to the final count in every chunk; 'absent' says nothing even when asked."""
    always = events(whole(serve("openai", "/v1/chat/completions", CHAT | ASKED, {"x-sim-usage": "always"}).answer))
    counts = [chunk["usage"]["completion_tokens"] for chunk in always]
    assert counts == sorted(counts)
    assert counts[-1] == 12
    absent = serve("openai", "/v1/chat/completions", CHAT | ASKED, {"x-sim-usage": "absent"})
    assert b'"usage"' not in whole(absent.answer).replace(b'\\"usage\\"', b"")
    assert absent.call is not None
    assert absent.call.reported is False


def test_copilot() -> None:
    """Filter results first, both usages in the chunk that ends the text, the token scheme accepted."""
    chunks = events(whole(serve("copilot", "/chat/completions", CHAT | ASKED).answer))
    assert "prompt_filter_results" in chunks[0]
    details = {part["token_type"]: part["token_count"] for part in chunks[-1]["copilot_usage"]["token_details"]}
    assert details == {"input": 3, "cache_read": 0, "cache_write": 0, "output": 12}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize("provider", ["groq", "mistral"])
@pytest.mark.parametrize("asked", [True, False])
def test_usage_unasked(provider: str, asked: bool) -> None:
    """In the chunk that ends the text, asked or not, Groq's inside ``x_groq``; asked, Groq has a chunk of its own too."""
    served = serve(provider, "/openai/v1/chat/completions", CHAT | (ASKED if asked else {"stream": True}))
    told = events(whole(served.answer))
    last = [chunk for chunk in told if chunk["choices"]][-1]
    usage = last["x_groq"]["usage"] if provider == "groq" else last["usage"]
    assert usage["completion_tokens"] == 12
    assert bool(told[-1]["choices"]) is not (asked and provider == "groq")
    assert served.call is not None
    assert served.call.reported is True


@pytest.mark.parametrize("limit", [None, 10])
def test_responses_stream(limit: int | None) -> None:
    """Numbered events, reasoning counted inside the output, 'incomplete' where the limit ended it."""
    body = RESPONSES | {"stream": True} | ({"max_output_tokens": limit} if limit else {})
    served = serve("openai", "/v1/responses", body)
    told = events(whole(served.answer))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["type"] == ("response.incomplete" if limit else "response.completed")
    usage = told[-1]["response"]["usage"]
    words = sum(event["type"] == "response.output_text.delta" for event in told)
    assert usage["output_tokens"] == words + usage["output_tokens_details"]["reasoning_tokens"]
    assert usage["output_tokens"] == (limit or 20)
    assert all(event["response"]["usage"] is None for event in told[:-1] if "response" in event)


def test_messages_stream() -> None:
    """Input and cache counts at the beginning, the output's at the end; cached tokens beside the input."""
    system = [{"type": "text", "text": "a b c d e", "cache_control": {"type": "ephemeral"}}]
    served = serve("anthropic", "/v1/messages", MESSAGES | {"stream": True, "system": system})
    told = events(whole(served.answer))
    start = told[0]["message"]["usage"]
    assert (start["input_tokens"], start["cache_read_input_tokens"], start["cache_creation_input_tokens"]) == (3, 2, 3)
    assert told[-2]["usage"]["output_tokens"] == 12 == sum(event["type"] == "content_block_delta" for event in told)
    assert [told[0]["type"], told[-1]["type"]] == ["message_start", "message_stop"]


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
@pytest.mark.parametrize("as_events", [True, False])
def test_google_streams(provider: str, as_events: bool) -> None:
    """Events with CRLF or one array; the last chunk counts, thoughts beside the candidates."""
    path = FLASH + ":streamGenerateContent" + ("?alt=sse" if as_events else "")
    served = serve(provider, path, GEMINI)
    body = whole(served.answer)
    chunks = events(body) if as_events else json.loads(body)
    assert (b"\r\n\r\n" in body) is as_events
    last = chunks[-1]["usageMetadata"]
    assert served.call is not None
    assert last["candidatesTokenCount"] + last["thoughtsTokenCount"] == served.call.output == 20
    assert last["totalTokenCount"] == 23
    assert ("promptTokenCount" in chunks[0]["usageMetadata"]) is (provider == "gemini")
    assert served.call.model == "gemini-2.5-flash"


def test_ollama() -> None:
    """Streams unless told not to; counts on the last line."""
    lines = [json.loads(line) for line in whole(serve("ollama", "/api/chat", CHAT).answer).splitlines()]
    assert [line["done"] for line in lines] == [False] * 12 + [True]
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (3, 12)
    one = json.loads(whole(serve("ollama", "/api/generate", {"model": "m", "prompt": "a b", "stream": False}).answer))
    assert (one["prompt_eval_count"], one["eval_count"]) == (2, 12)


TOOL = {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        ("openai", "/v1/chat/completions", CHAT | ASKED | {"tools": [{"type": "function", "function": TOOL}]}),
        ("openai", "/v1/responses", RESPONSES | {"stream": True, "tools": [{"type": "function", **TOOL}]}),
        (
            "anthropic",
            "/v1/messages",
            MESSAGES | {"stream": True, "tools": [TOOL | {"input_schema": TOOL["parameters"]}]},
        ),
        ("gemini", FLASH + ":streamGenerateContent?alt=sse", GEMINI | {"tools": [{"functionDeclarations": [TOOL]}]}),
    ],
)
def test_tool_calls(provider: str, path: str, body: dict[str, Any]) -> None:
    """Where tools are offered one is called, with arguments its schema names; each piece is a token."""
    served = serve(provider, path, body)
    text = whole(served.answer).decode()
    assert "look" in text
    assert served.call is not None
    assert served.call.output == 6 + (served.call.reasoning or 0)  # {"place":"lighthouse"} is 22 characters


def test_small_apis() -> None:
    """Embeddings use only a prompt; counting and lists use nothing."""
    served = serve("openai", "/v1/embeddings", {"model": "e", "input": ["a b", "c"], "encoding_format": "base64"})
    value = json.loads(whole(served.answer))
    assert (len(value["data"]), value["usage"]) == (2, {"prompt_tokens": 3, "total_tokens": 3})
    count = serve("anthropic", "/v1/messages/count_tokens", MESSAGES)
    assert json.loads(whole(count.answer)) == {"input_tokens": 3}
    for provider, path in (("openai", "/v1/models"), ("anthropic", "/v1/models"), ("gemini", "/v1beta/models")):
        listed = serve(provider, path, None)
        assert listed.call is not None
        assert (listed.call.status, listed.call.input) == (200, None)


@pytest.mark.parametrize(
    ("provider", "path", "status", "words"),
    [
        ("openai", "/v1/chat/completions", 401, "invalid_api_key"),
        ("anthropic", "/v1/messages", 401, "authentication_error"),
        ("copilot", "/chat/completions", 401, "unauthorized"),
        ("gemini", FLASH + ":generateContent", 400, "API_KEY_INVALID"),
        ("vertex", FLASH + ":generateContent", 401, "UNAUTHENTICATED"),
    ],
)
def test_a_wrong_key(provider: str, path: str, status: int, words: str) -> None:
    """Each provider's own words; the ledger says missing or wrong, and keeps no key."""
    from tests.simulator import reading

    site = Site(lambda: 0.0, {provider: "another"})
    wrong = serve(provider, path, CHAT, site=site)
    assert wrong.answer.status == status
    assert words in whole(wrong.answer).decode()
    assert wrong.call is not None
    assert wrong.call.key == "wrong"
    assert reading.KEY_HEADERS[provider][1].split()[-1] not in site.ledger.as_json()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 529])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "copilot", "gemini", "vertex", "ollama"])
def test_error_statuses(provider: str, status: int) -> None:
    """A JSON body with an error in it, and nothing used."""
    path = {"anthropic": "/v1/messages", "ollama": "/api/chat"}.get(provider, "/v1/chat/completions")
    served = serve(provider, path, CHAT, {"x-sim-status": str(status), "x-sim-retry-after": "7"})
    assert served.answer.status == status
    assert json.loads(whole(served.answer))["error"]
    assert ("Retry-After", "7") in served.answer.headers
    assert served.call is not None
    assert served.call.input is None


def test_streams_that_go_wrong() -> None:
    """An error event ends the stream; an end can be left out; old servers refuse stream_options."""
    broken = whole(serve("anthropic", "/v1/messages", MESSAGES | {"stream": True}, {"x-sim-error-event": "4"}).answer)
    assert [event["type"] for event in events(broken)][-1] == "error"
    assert len(events(broken)) == 5
    endless = whole(serve("openai", "/v1/chat/completions", CHAT | {"stream": True}, {"x-sim-no-end": "1"}).answer)
    assert not endless.endswith(b"[DONE]\n\n")
    refused = serve("openai", "/v1/chat/completions", CHAT | ASKED, {"x-sim-refuse-stream-options": "1"})
    assert refused.answer.status == 400


@pytest.mark.parametrize("lines", ["lf", "crlf", "cr"])
def test_line_ends_and_comments(lines: str) -> None:
    """The same events under every line end, with comments between."""
    plain = events(whole(serve("openai", "/v1/chat/completions", CHAT | ASKED).answer))
    headers = {"x-sim-lines": lines, "x-sim-comments": "1"}
    other = whole(serve("openai", "/v1/chat/completions", CHAT | ASKED, headers).answer)
    assert events(other) == plain
    assert (b"\n" in other) is (lines != "cr")


def test_what_is_not_served() -> None:
    """Unknown paths, bodies that are no JSON, misspelt modes."""
    assert serve("openai", "/v1/nothing", CHAT).answer.status == 404
    assert serve("openai", "/v1/chat/completions", CHAT, {"x-sim-pase": "1"}).answer.status == 400
    site = Site(lambda: 0.0)
    assert serve("openai", "/_sim/ready", None, site=site).call is None
    assert json.loads(whole(serve("openai", "/_sim/calls", None, site=site).answer)) == []


@pytest.mark.parametrize("stream", [True, False])
def test_big_answers_are_made_piece_by_piece(stream: bool) -> None:
    """One line of 3 MiB, in pieces of at most 64 KiB, and the usage behind it."""
    mode = {"x-sim-big-line" if stream else "x-sim-big-body": "3"}
    served = serve("openai", "/v1/chat/completions", CHAT | (ASKED if stream else {}), mode)
    pieces = list(served.answer.pieces)
    assert max(map(len, pieces)) <= 1 << 16
    body = b"".join(pieces)
    assert max(map(len, body.splitlines())) > 3 << 20
    usage = events(body)[-1]["usage"] if stream else json.loads(body)["usage"]
    assert served.call is not None
    assert usage["completion_tokens"] == served.call.output == 1
