"""What is read of a request's body, and the change that asks for usage."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from awfproxy.core.kinds import kind
from awfproxy.core.request import (
    ALL_SLICED_TO,
    ARRAYS_MAX,
    COUNT_MAX,
    MESSAGES_MAX,
    MODEL_MAX,
    Peek,
    ask_for_usage,
    look,
    may_ask,
    peek,
)

JSON = b"application/json"

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)
known = st.sampled_from(
    [
        *("model", "stream", "stream_options", "include_usage", "n", "background", "messages"),
        *("max_tokens", "max_completion_tokens", "generationConfig", "maxOutputTokens"),
    ]
)
bodies = st.dictionaries(known | st.text(max_size=5), values, max_size=8)


def seen(body: bytes, content_type: bytes = JSON) -> Peek:
    """`peek`, as a body of this type."""
    return peek(body, content_type)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, Peek()),
        ({"model": "gpt-4o", "messages": [{"model": "decoy", "stream": True}]}, Peek(model="gpt-4o")),
        ({"model": "m", "stream": True, "n": 3}, Peek(model="m", stream=True, n=3)),
        ({"stream": False}, Peek(stream=False)),
        ({"max_tokens": 10, "max_completion_tokens": 20}, Peek(max_output_tokens=20)),
        ({"max_output_tokens": 7, "background": True}, Peek(max_output_tokens=7, background=True)),
        ({"generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, Peek(max_output_tokens=9, n=2)),
        ({"inferenceConfig": {"maxTokens": 11}}, Peek(max_output_tokens=11)),
        ({"options": {"num_predict": 12}}, Peek(max_output_tokens=12)),
        ({"options": {"num_predict": -1}}, Peek()),
        ({"stream_options": {"include_usage": True}}, Peek(asks_usage=True, has_stream_options=True)),
        ({"stream_options": {"include_usage": False}}, Peek(has_stream_options=True)),
        ({"stream_options": None}, Peek(has_stream_options=True)),
        ({"stream_options": "yes"}, Peek(has_stream_options=True)),
        # a wrong type is not said, and spoils nothing else
        ({"model": 5, "stream": "true", "n": 1.5, "max_tokens": "12"}, Peek()),
        ({"model": None, "stream": None, "n": True, "max_tokens": 10**13}, Peek()),
        ({"model": "", "generationConfig": [1], "options": "x", "stream": True}, Peek(stream=True)),
        ({"model": "m" * 1000}, Peek(model="m" * MODEL_MAX)),
    ],
)
def test_peek(body: dict[str, Any], expected: Peek) -> None:
    """Each fact from where each API has it; top level only."""
    assert seen(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Peek()),
        (b"[1]", Peek()),
        (b'"x"', Peek()),
        (b"{", Peek(malformed=True)),
        (b'{"model":"m"} x', Peek(malformed=True)),
        (b'{"model":"m",}', Peek(malformed=True)),
        (b'{"model":"\xff"}', Peek()),
        (b'{"max_tokens":1e400,"n":1e2,"stream":true}', Peek(stream=True)),
        # half an emoji, a raw control character, a byte order mark: sent by some, taken by many
        (b'{"messages":["a\\ud83d"],"x":"\\ude00\\\\ud83d","model":"m"}', Peek(model="m")),
        (b'{"messages":["\x01\x00\n"],"model":"m"}', Peek(model="m")),
        (b'\xef\xbb\xbf{"model":"m"}', Peek(model="m")),
        (b'{"model":"\\ud800"}', Peek(model="\N{REPLACEMENT CHARACTER}")),
        (b' \n{"m\\u006fdel" : "m"}', Peek(model="m")),
        (b'{"model":"a","model":"b"}', Peek(model="b")),
    ],
)
def test_peek_of_odd_bodies(body: bytes, expected: Peek) -> None:
    """Not an object, broken, broken in one member, escaped names, repeated members."""
    assert seen(body) == expected


def test_content_types() -> None:
    """JSON is read under any type but a form's and media's; only what says it is JSON can be malformed."""
    body = b'{"model":"m"}'
    assert seen(body, b"").model == "m"
    assert seen(body, b"text/plain").model == "m"
    assert seen(body, b"application/vnd.api+json; charset=utf-8").model == "m"
    assert seen(body, b"audio/mpeg") == Peek()
    assert seen(b"\x00\x01", b"application/octet-stream") == Peek()
    assert seen(b"\x00\x01", b"application/json").malformed


def test_forms() -> None:
    """A transcription names its model in a form; the file beside it is not looked at."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
        + bytes(range(256)) * 10
        + b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1'
        + b'\r\n--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\nTrue\r\n--b--\r\n'
    )
    assert seen(body, b"multipart/form-data; boundary=b") == Peek(model="whisper-1", stream=True)
    assert seen(b'name="model"\r\n\r\n' + b"x" * 500, b"multipart/form-data; boundary=b") == Peek()
    assert seen(b'name="model"\r\n', b"multipart/form-data; boundary=b") == Peek()


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'{"stream_options":', b'{"model":['])
def test_deep_nesting(opener: bytes) -> None:
    """A million levels end in an answer, not in a crash."""
    assert isinstance(seen(opener * 1_000_000), Peek)
    assert isinstance(seen(b'{"stream_options":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001), Peek)


@given(
    st.binary(max_size=200) | values.map(json.dumps).map(str.encode),
    st.sampled_from([JSON, b"", b"multipart/form-data"]),
)
def test_no_body_raises(body: bytes, content_type: bytes) -> None:
    """Law: any bytes give facts of the promised types and bounds."""
    found = peek(body, content_type)
    assert found.model is None or 0 < len(found.model) <= MODEL_MAX
    msgspec.json.encode(found)
    for count in (found.max_output_tokens, found.n):
        assert count is None or 0 <= count <= COUNT_MAX
    ask_for_usage(body, found)


@given(bodies, st.sampled_from([None, 1]))
def test_asking_changes_one_thing(members: dict[str, Any], indent: int | None) -> None:
    """Law: the result is the same object with `include_usage` true beside the other stream options."""
    body = json.dumps(members, indent=indent).encode()
    assume(not any(isinstance(value, float) and math.isinf(value) for value in members.values()))
    options = members.get("stream_options")
    asked = ask_for_usage(body, seen(body))
    if options is not None and not isinstance(options, dict):
        assert asked is None
        return
    assert asked is not None
    assert json.loads(asked) == members | {"stream_options": (options or {}) | {"include_usage": True}}
    assert seen(asked).asks_usage


def test_asking_keeps_the_bytes() -> None:
    """Without `stream_options` every byte of the body stays; with it, the members' own bytes."""
    body = b' {"messages": [1.0, 1e2, "\\u00e9", {"a" :1}],\n"model":"m" }\n'
    assert ask_for_usage(body, seen(body)) == b' {"stream_options":{"include_usage":true},' + body[2:]
    body = b'{"a": [1.0, {"b" :1e2}], "stream_options": {"x": 1.0, "include_usage": false}, "model":"\\u00e9"}'
    asked = ask_for_usage(body, seen(body))
    assert asked == b'{"a":[1.0, {"b" :1e2}],"stream_options":{"x":1.0,"include_usage":true},"model":"\\u00e9"}'


@pytest.mark.parametrize("body", [b"{}", b" { \n } ", b"{" + b" " * 500 + b"}"])
def test_asking_an_empty_object(body: bytes) -> None:
    """No comma without a member after it."""
    asked = ask_for_usage(body, seen(body))
    assert asked is not None
    assert json.loads(asked) == {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"x", b'{"stream_options":[]}', b'{"stream_options":"x"}'])
def test_not_asked(body: bytes) -> None:
    """A body that cannot carry the question is left alone."""
    assert ask_for_usage(body, seen(body)) is None


@pytest.mark.parametrize(
    ("path", "may"),
    [(b"/v1/chat/completions", True), (b"/v1/responses", False), (b"/v1/messages", False), (b"/x", False)],
)
def test_may_ask(path: bytes, may: bool) -> None:
    """Only chat."""
    assert may_ask(kind(b"POST", path)) is may


@given(st.binary(max_size=200) | bodies.map(json.dumps).map(str.encode), st.sampled_from([JSON, b""]))
def test_a_conversation_has_the_same_facts(body: bytes, content_type: bytes) -> None:
    """Law: looking for messages changes nothing of what `peek` says."""
    assert look(body, content_type, conversation=True)[0] == peek(body, content_type)


@pytest.mark.parametrize("padding", [0, ALL_SLICED_TO])
@pytest.mark.parametrize("name", ["messages", "contents", "input"])
def test_messages(name: str, padding: int) -> None:
    """One slice for each, of short bodies and of long ones; none of what is no conversation."""
    body = {name: [{"role": "user"}, 1, "x"], "pad": "p" * padding}
    _facts, found = look(json.dumps(body).encode(), JSON, conversation=True)
    assert found is not None
    assert found.messages is not None
    assert [bytes(each) for each in found.messages] == [b'{"role": "user"}', b"1", b'"x"']
    assert look(json.dumps(body).encode(), JSON, conversation=False) == (Peek(), None)
    _facts, found = look(json.dumps(body | {name: {"role": "user"}}).encode(), JSON, conversation=True)
    assert found is None


def test_a_text_is_one_message() -> None:
    """The Responses API takes a text for its input."""
    for padding in (0, ALL_SLICED_TO):
        _facts, found = look(json.dumps({"input": "q", "pad": "p" * padding}).encode(), JSON, conversation=True)
        assert found is not None
        assert (found.messages, found.text) == (None, "q")


@pytest.mark.parametrize(("times", "read"), [(ARRAYS_MAX, True), (ARRAYS_MAX + 1, False), (200_000, False)])
def test_a_member_that_is_repeated(times: int, read: bool) -> None:
    """Of a few the last counts; of hundreds of thousands (14 bytes each) none is taken apart: that took 20 µs each."""
    head = b'{"model":"m","padding":"%b",' % (b"x" * ALL_SLICED_TO)
    body = head + b'"messages":[],' * (times - 1) + b'"messages":[{"role":"user"}],"n":2}'
    began = time.process_time()
    facts, found = look(body, JSON, conversation=True)
    assert time.process_time() - began < 0.5
    assert facts == Peek(model="m", n=2)
    assert (found is not None) is read
    if found is not None:
        assert found.messages == [msgspec.Raw(b'{"role":"user"}')]


@pytest.mark.parametrize("element", [b"0", b"{}", b"[]"])
def test_an_array_of_millions_is_not_taken_apart(element: bytes) -> None:
    """Of a long body so many messages are sliced, and no more."""
    body = b'{"model":"m","messages":[' + element + (b"," + element) * 1_000_000 + b"]}"
    facts, found = look(body, JSON, conversation=True)
    assert facts == Peek(model="m")
    assert found is not None
    assert found.messages is not None
    assert found.more
    assert len(found.messages) == MESSAGES_MAX
