"""Whose a message is, and what it says; the laws of turns are in `test_hints`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from awfproxy.core.conversation import (
    CALLS_MAX,
    CLIENT,
    LOOK_MAX,
    MODEL,
    PARTS_MAX,
    SHORT_ARRAY,
    SYSTEM,
    TAIL_MAX,
    content,
    decoded,
    newest_turn,
    side,
)


def raw(value: Any) -> Raw:
    """As it stands in a body."""
    return Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("message", "whose"),
    [
        ({"role": "user"}, CLIENT), ({"role": "tool"}, CLIENT), ({"role": "function"}, CLIENT), ({"role": 7}, CLIENT),
        ({"role": "assistant"}, MODEL), ({"role": "model"}, MODEL),
        ({"role": "system"}, SYSTEM), ({"role": "developer"}, SYSTEM),
        ({"type": "function_call"}, MODEL), ({"type": "web_search_call"}, MODEL), ({"type": "reasoning"}, MODEL),
        ({"type": "function_call_output"}, CLIENT), ({"type": "message"}, CLIENT), ({"parts": []}, CLIENT),
        ({"type": "message", "role": "assistant"}, MODEL),
    ],
)  # fmt: skip
def test_sides(message: Any, whose: str) -> None:
    """By role, else by type."""
    item = decoded(raw(message))
    assert item is not None
    assert side(item) == whose


@pytest.mark.parametrize("value", [1, "x", None, [1], []])
def test_what_is_no_message(value: Any) -> None:
    """Nothing is made of it; nor of one that is too long."""
    assert decoded(raw(value)) is None
    assert decoded(raw({"role": "user", "content": "x" * LOOK_MAX})) is None


def test_a_text_and_the_same_text_as_a_part_say_the_same() -> None:
    """With or without the mark of a cache; two parts are not one."""
    mark = {"cache_control": {"type": "ephemeral"}}
    part = {"type": "text", "text": "abc"}
    assert bytes(content(raw("abc"))) == content(raw([part])) == content(raw([part | mark]))
    assert content(raw([part, {"cachePoint": {"type": "default"}}])) in (b'"abc"', b'"abc"\0')
    assert content(raw([part, part])) != content(raw([part]))


def test_the_billing_block_says_nothing() -> None:
    """Alone or before the prompt: it is another one in each request."""
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=12345;"}
    prompt = {"type": "text", "text": "Be brief."}
    assert content(raw([billing])) == b""
    assert content(raw([billing, prompt])) == content(raw([prompt]))


def test_parts_that_are_no_texts() -> None:
    """They count whole, without marks of a cache."""
    image = {"type": "image", "source": {"data": "AAAA"}}
    assert b"AAAA" in content(raw([image]))
    marked = [content(raw([image | {"cache_control": {"type": kind}}])) for kind in ("a", "b")]
    assert marked[0] == marked[1]
    assert content(raw([1, None])) == b"1\0null"
    assert content(raw({"a": 1})) == b'{"a": 1}'


def test_a_turn_is_bounded() -> None:
    """Of very many calls and results the last; an array of millions of parts is not taken apart."""
    calls = [{"type": "function_call", "name": f"f{n}", "arguments": "{}"} for n in range(60)]
    outputs = [{"type": "function_call_output", "output": str(n)} for n in range(60)]
    turn = newest_turn([raw(each) for each in (*calls, *outputs)])
    assert [name for name, _ in turn.calls] == [b'"f%d"' % n for n in range(60 - CALLS_MAX, 60)]
    assert [bytes(result) for result in turn.results] == [b'"%d"' % n for n in range(60 - CALLS_MAX, 60)]
    assert newest_turn([raw(calls[0]), *[raw(outputs[0])] * TAIL_MAX]).calls == []
    parts = [{"type": "tool_result", "content": str(n)} for n in range(SHORT_ARRAY)]
    assert len(newest_turn([raw({"role": "user", "content": parts})]).results) == min(PARTS_MAX, CALLS_MAX)
