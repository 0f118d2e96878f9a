"""Hints: laws over simulated agent loops, and the cases by which they are settled."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.hint_fields import Hints
from awfproxy.core.hints import (
    HEAD_SHARE,
    RESULT_SHARE,
    SYSTEM_SHARE,
    SYSTEMS_MAX,
    TOOLS_SHARE,
    TURN_SHARE,
    Hinter,
    conversational,
)
from awfproxy.core.kinds import kind
from awfproxy.core.records import RECORD_BYTES_MAX
from awfproxy.core.request import look

from .loops import SHAPES, Body, Step, requests

KEY = b"k" * 32
#: characters that no hash and no name here has, so that what is found of a text is of that text
ALPHABET = "QWXYZ\"\\\n\t{}[]<>äß漢\N{GRINNING FACE}"
texts = st.text(ALPHABET, min_size=8, max_size=60)
tool_names = st.sampled_from(["read_file", "bash", "mcp.server:tool/a-b"])
turns = st.lists(st.tuples(tool_names, texts, texts), min_size=1, max_size=3)
stories = st.lists(
    st.builds(Step, prompt=texts, turns=st.lists(turns, max_size=3), answer=texts), min_size=1, max_size=3
)
shapes = st.sampled_from(sorted(SHAPES))


def seen(body: Body | bytes, hinter: Hinter | None = None, fields: dict[bytes, bytes] | None = None) -> Hints:
    """The hints of a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    _facts, conversation = look(data, b"application/json", conversation=True)
    return (hinter or Hinter(KEY)).hints(fields or {}, conversation) or Hints()


@given(shapes, texts, stories)
def test_a_loop(shape: str, system: str, story: list[Step]) -> None:
    """Law: over a conversation its hash stays, its messages grow, and each call and result is told once, in order."""
    hinter = Hinter(KEY)
    told = [seen(body, hinter) for body in requests(shape, system, ["read_file", "bash"], story)]
    assert len({(each.conversation_hash, each.system_hash, each.tools_hash) for each in told}) == 1
    assert told[0].conversation_hash is not None
    assert told[0].tools_offered == ["read_file", "bash"]
    counts = [each.messages or 0 for each in told]
    assert counts == sorted(set(counts))
    calls = [call for step in story for turn in step.turns for call in turn]
    assert [name for each in told for name in each.tools_called or ()] == [name for name, _, _ in calls]
    for of, hashes in (
        ([(name, argument) for name, argument, _ in calls], [h for each in told for h in each.tool_call_hashes or ()]),
        ([result for *_, result in calls], [h for each in told for h in each.tool_result_hashes or ()]),
    ):
        # the same content has the same hash, and another one another
        assert len(of) == len(hashes)
        assert len(set(of)) == len(set(hashes)) == len(set(zip(of, hashes, strict=True)))


@given(shapes, texts, stories)
def test_nothing_of_the_content(shape: str, system: str, story: list[Step]) -> None:
    """Law: no eight characters of a prompt, an argument, a result or an answer are among the hints."""
    for body in requests(shape, system, ["read_file"], story):
        line = msgspec.json.encode(seen(body)).decode()
        for step in story:
            said = [system, step.prompt, step.answer, *(text for turn in step.turns for _, *both in turn for text in both)]
            for text in said:
                for at in range(len(text) - 7):
                    assert text[at : at + 8] not in line
                    assert json.dumps(text[at : at + 8])[1:-1] not in line


@given(shapes, texts, stories)
def test_the_key_matters(shape: str, system: str, story: list[Step]) -> None:
    """Law: with another key all hashes are others, and all else is the same."""
    for body in requests(shape, system, ["bash"], story):
        one, other = (msgspec.structs.asdict(seen(body, Hinter(key))) for key in (KEY, b"x" * 32))
        for name, value in one.items():
            assert value is None or (value != other[name]) is ("hash" in name)


@given(shapes, texts, stories)
def test_what_is_remembered_changes_nothing(shape: str, system: str, story: list[Step]) -> None:
    """Law: a first request and the hundredth have the same hints."""
    hinter = Hinter(KEY)
    for body in requests(shape, system, ["bash"], story):
        assert seen(body, hinter) == seen(body, hinter) == seen(body)


@given(st.sampled_from(["chat", "messages", "responses", "gemini", "converse"]), texts, stories)
def test_white_space_between_tokens_is_not_content(shape: str, system: str, story: list[Step]) -> None:
    """Law: texts have the same hash however the JSON around them is laid out."""
    for body in requests(shape, system, [], story):
        one = seen(json.dumps(body).encode())
        other = seen(json.dumps(body, indent=1, separators=(" ,", " : ")).encode())
        assert (one.conversation_hash, one.system_hash) == (other.conversation_hash, other.system_hash)
        assert one.tools_called == other.tools_called
        if shape != "gemini":  # whose results are objects, taken as they stand
            assert one.tool_result_hashes == other.tool_result_hashes


keys = st.sampled_from(
    [
        *("messages", "contents", "input", "system", "instructions", "tools", "toolConfig", "role", "content", "parts"),
        *("type", "text", "tool_calls", "function", "name", "arguments", "functionCall", "toolUse", "output", "metadata"),
        *("functionDeclarations", "cache_control", "previous_response_id", "systemInstruction", "conversation"),
    ]
)
words = st.sampled_from(["user", "assistant", "model", "tool", "tool_use", "tool_result", "function_call", "", "\ud800"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(keys, values, max_size=6) | values)
def test_no_body_raises(body: Any) -> None:
    """Law: whatever stands where, hints are made and are short."""
    hints = seen(json.dumps(body).encode())
    assert len(msgspec.json.encode(hints)) < RECORD_BYTES_MAX
    for hashed in (hints.conversation_hash, hints.system_hash, hints.tools_hash):
        assert hashed is None or len(hashed) == 16


def test_shares_are_64_kb_together() -> None:
    """What is hashed of one request: two system prompts, the tools, the first messages, the newest turn."""
    assert SYSTEMS_MAX * SYSTEM_SHARE + TOOLS_SHARE + HEAD_SHARE + TURN_SHARE == 64 * 1024


def test_a_third_system_prompt_is_not_hashed() -> None:
    """Wherever they stand."""
    messages = [{"role": "system", "content": "c"}, {"role": "user", "content": "q"}]
    two = seen({"system": "a", "instructions": "b"})
    assert two.system_hash != seen({"system": "a"}).system_hash
    assert seen({"system": "a", "instructions": "b", "systemInstruction": "c"}).system_hash == two.system_hash
    assert seen({"system": "a", "instructions": "b", "messages": messages}).system_hash == two.system_hash


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {}),
        ({"input": "hello"}, {"messages": 1, "conversation_hash": True}),
        ({"input": ["a", "b"]}, {"messages": 2, "conversation_hash": True}),
        ({"messages": []}, {"messages": 0}),
        ({"messages": "x"}, {}),
        ({"messages": {"a": 1}}, {}),
        ({"prompt": "x"}, {}),
        ({"system": "s", "messages": [{"role": "user", "content": "q"}]},
         {"messages": 1, "conversation_hash": True, "system_hash": True}),
        ({"systemInstruction": None, "contents": []}, {"messages": 0}),
        # what goes on from a stored answer does not begin here
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "r"}], "previous_response_id": "resp_1"},
         {"messages": 1, "previous_response_id_hash": True, "tool_result_hashes": 1}),
        ({"input": "more", "previous_interaction_id": "i"}, {"messages": 1, "previous_response_id_hash": True}),
        ({"input": "more", "conversation": "conv_1"}, {"messages": 1}),
        ({"input": "first", "previous_response_id": None}, {"messages": 1, "conversation_hash": True}),
        # built-in tools of the Responses API, by their type
        ({"input": [{"role": "user", "content": "q"}, {"type": "local_shell_call", "action": {"command": ["ls"]}},
                    {"type": "local_shell_call_output", "output": "r"}]},
         {"messages": 3, "conversation_hash": True, "tools_called": ["local_shell"], "tool_call_hashes": 1,
          "tool_result_hashes": 1}),
        # the legacy form of chat
        ({"messages": [{"role": "user", "content": "q"},
                       {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                       {"role": "function", "name": "f", "content": "r"}], "functions": [{"name": "f"}]},
         {"messages": 3, "conversation_hash": True, "tools_called": ["f"], "tool_call_hashes": 1,
          "tool_result_hashes": 1, "tools_hash": True, "tools_bytes": 15, "tools_offered": ["f"]}),
        # a name that is none keeps its place
        ({"messages": [{"role": "user", "content": "q"},
                       {"role": "assistant", "content": [{"type": "tool_use", "name": "two words", "input": {}},
                                                         {"type": "tool_use", "name": "b", "input": {}}]},
                       {"role": "user", "content": [{"type": "tool_result"}, {"type": "text", "text": "and"}]}]},
         {"messages": 3, "conversation_hash": True, "tools_called": ["?", "b"], "tool_call_hashes": 2,
          "tool_result_hashes": 1}),
        # the last message is the model's, to go on from
        ({"messages": [{"role": "user", "content": "q"},
                       {"role": "assistant", "content": [{"type": "tool_use", "name": "a", "input": {}}]},
                       {"role": "user", "content": [{"type": "tool_result", "content": "r"}]},
                       {"role": "assistant", "content": "So"}]},
         {"messages": 4, "conversation_hash": True, "tools_called": ["a"], "tool_call_hashes": 1,
          "tool_result_hashes": 1}),
    ],
)  # fmt: skip
def test_cases(body: Body, expected: dict[str, Any]) -> None:
    """True: there is a hash; a number of hashes: so many."""
    hints = msgspec.to_builtins(seen(body))
    told = {
        name: True if name.endswith("_hash") else len(value) if name.endswith("_hashes") else value
        for name, value in hints.items()
    }
    assert told == expected


def test_a_changed_prefix_shows() -> None:
    """Tools or system prompt that change while the conversation stays: what breaks a provider's cache."""
    said = [("user", "question"), ("assistant", "answer"), ("user", "next")]
    for tell in SHAPES.values():
        first = seen(tell("system", ["a"], said))
        other_system, other_tools = seen(tell("System", ["a"], said)), seen(tell("system", ["a", "b"], said))
        assert first.conversation_hash == other_system.conversation_hash == other_tools.conversation_hash
        assert first.system_hash == other_tools.system_hash != other_system.system_hash
        assert first.tools_hash == other_system.tools_hash != other_tools.tools_hash


def test_two_system_messages_are_both_heard() -> None:
    """As Codex sends them: instructions, and what the developer says."""
    items = [{"role": "developer", "content": "permissions"}, {"role": "user", "content": "q"}]
    first = seen({"instructions": "i", "input": items})
    assert first.system_hash != seen({"instructions": "i", "input": items[1:]}).system_hash
    assert first.conversation_hash == seen({"instructions": "i", "input": items[1:]}).conversation_hash


def test_all_that_comes_before_the_model_is_the_beginning() -> None:
    """Codex and others send what they know of the workspace as messages of the user, the same in every conversation."""
    known = {"role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]}
    one = seen({"input": [known, {"role": "user", "content": "a"}]})
    other = seen({"input": [known, {"role": "user", "content": "b"}]})
    assert one.conversation_hash != other.conversation_hash


def test_the_largest_hints_leave_room_in_a_record() -> None:
    """All bounds met at once: far below the longest line."""
    tools = [{"name": f"{n:04}" + "n" * 60, "input_schema": {}} for n in range(300)]
    calls = [{"type": "tool_use", "name": "m" * 64, "input": {"n": n}} for n in range(40)]
    results = [{"type": "tool_result", "content": str(n)} for n in range(40)]
    body = {
        "tools": tools,
        "system": "s",
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": calls},
            {"role": "user", "content": results},
        ],
    }
    fields = dict.fromkeys((b"x-codex-turn-metadata", b"thread-id", b"x-openai-subagent"), b"i" * 128)
    hints = seen(body, fields=fields)
    assert hints.tools == 256
    assert sum(map(len, hints.tools_offered or ())) <= 2048
    assert len(hints.tools_called or ()) == len(hints.tool_result_hashes or ()) == 32
    assert len(msgspec.json.encode(hints)) < RECORD_BYTES_MAX / 2


def test_long_messages_are_passed_over() -> None:
    """An image of a megabyte at the end hides neither the calls nor the beginning."""
    image = {"role": "user", "content": [{"type": "image", "source": {"data": "A" * 1_000_000}}]}
    call = {"role": "assistant", "content": [{"type": "tool_use", "name": "a", "input": {}}]}
    hints = seen({"messages": [{"role": "user", "content": "q"}, call, image]})
    assert (hints.messages, hints.tools_called, hints.tool_result_hashes) == (3, ["a"], None)
    assert seen({"messages": [image, call]}).conversation_hash is not None


def test_results_of_any_length() -> None:
    """Both ends and the length tell long ones apart."""

    def result(text: str) -> list[str] | None:
        turn = [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": text}]
        return seen({"messages": turn}).tool_result_hashes

    long = "a" * RESULT_SHARE * 3
    assert result(long) == result(long) != result(long + "a")
    assert result("b" + long[1:]) != result(long) != result(long[:-1] + "b")


def test_very_many_messages() -> None:
    """The newest are not looked for; the beginning is there."""
    began = {"role": "user", "content": "x" * 80}
    turns = [{"role": "assistant", "content": "y" * 40}, {"role": "tool", "content": "z" * 40}] * 4500
    hints = seen({"messages": [began, *turns]})
    assert hints == Hints(conversation_hash=seen({"messages": [began]}).conversation_hash)


def test_which_calls_have_conversations() -> None:
    """Told by the path; an unknown one may have one."""
    assert all(conversational(kind(b"POST", path)) for path in (b"/v1/messages", b"/v1/responses", b"/api/chat", b"/x"))
    assert not any(conversational(kind(b"POST", path)) for path in (b"/v1/embeddings", b"/v1/images/generations"))
    assert not conversational(kind(b"POST", b"/v1/messages/count_tokens"))
