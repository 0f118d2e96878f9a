"""The messages of a request: whose each is, what tools the newest turn called, what they answered, how it all began.

APIs differ in where a message has its role, its texts, calls and results; the tables below say where.  Adding one is
adding rows:

================  ==========================  ====================================  =================================
API               message of the model        a call                                a result
================  ==========================  ====================================  =================================
OpenAI chat       role assistant              `tool_calls[].function`, `.custom`    role tool: `content`
... (legacy)      role assistant              `function_call`                       role function: `content`
Ollama, Cohere 2  role assistant              `tool_calls[].function`               role tool: `content`
Responses         `..._call`, reasoning, ...  the item: its `name`, or its type     `..._output`: `output`
Anthropic         role assistant              part `..tool_use`: `name`, `input`    part `tool_result`: `content`
Gemini            role model                  part with `functionCall`              part with `functionResponse`
Bedrock Converse  role assistant              part with `toolUse`                   part with `toolResult`
interactions      `function_call`, ...        item or part: `name`, `arguments`     `function_result`: `result`
================  ==========================  ====================================  =================================

The *newest turn* is the last run of the model's messages that something answers, and what answers it.  An agent sends
the whole conversation again with every call, longer by one turn: so over a conversation each call of a tool is in the
newest turn once (and once more in a request that is sent again).  Where calls and results of one turn stand in turns
(call, result, call, result), they look like several turns, and only the last is the newest.

Only both ends of the list are looked into, and `LOOK_MAX` bytes of each; what is longer is skipped as a message of the
client's (they are: images, files, long results).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.undecodable import UNDECODABLE

#: messages looked at from the front: system prompts, then what a person began with (Codex sends three of these)
HEAD_MAX: Final = 16
#: and from the back: the results of the newest turn, then its calls
TAIL_MAX: Final = 128
#: bytes of messages decoded once more at each end
LOOK_MAX: Final = 256 * 1024
#: calls, and results, of one turn
CALLS_MAX: Final = 32
#: parts of one message, and calls of one message, that are looked at
PARTS_MAX: Final = 32

#: bytes of an array whose elements are all decoded: at most 340, and 30 ms for all messages looked at
SHORT_ARRAY: Final = 1024

#: first bytes of values in JSON
ARRAY: Final = ord("[")
OBJECT: Final = ord("{")

MODEL: Final = "model"
CLIENT: Final = "client"
SYSTEM: Final = "system"

#: by role, as it stands in the JSON; any other is the client's
_ROLES: Final = {b'"assistant"': MODEL, b'"model"': MODEL, b'"system"': SYSTEM, b'"developer"': SYSTEM}
#: items without a role that are the model's, beside all whose type ends with `_call`
_MODEL_TYPES: Final = frozenset(
    (
        *(b'"reasoning"', b'"model_output"', b'"thought"', b'"item_reference"', b'"compaction"'),
        *(b'"mcp_list_tools"', b'"mcp_approval_request"', b'"tool_search_output"'),
    )
)
_RESULT_ROLES: Final = frozenset((b'"tool"', b'"function"'))
_CALL_PARTS: Final = (b'tool_use"', b'"function_call"')
_EMPTY: Final = Raw(b'""')
_RESULT_PARTS: Final = (b'"tool_result"', b'"function_result"')
#: what a call hands over, by API
_ARGUMENTS: Final = ("arguments", "input", "args", "action", "operation", "code", "queries")
#: marks of where a prompt cache is to end: clients move them from request to request, and the content stays the same
_CACHE_MARKS: Final = ("cache_control", "cachePoint", "prompt_cache_breakpoint")
_MARKS: Final = tuple(mark.encode() for mark in _CACHE_MARKS)
#: Claude Code's first system block: it has a checksum of the whole body in it, and so is new in every request
_BILLING: Final = b'"x-anthropic-billing-header:'

Slot = Raw | UnsetType
Value = TypeVar("Value")


class Call(msgspec.Struct, gc=False):
    """A call of a tool; chat wraps it once more."""

    name: Slot = UNSET
    arguments: Slot = UNSET
    input: Slot = UNSET
    args: Slot = UNSET
    action: Slot = UNSET
    operation: Slot = UNSET
    code: Slot = UNSET
    queries: Slot = UNSET
    function: Slot = UNSET
    custom: Slot = UNSET


class Item(Call):
    """A message, or an item of the Responses API."""

    role: Slot = UNSET
    type: Slot = UNSET
    content: Slot = UNSET
    parts: Slot = UNSET
    tool_calls: Slot = UNSET
    function_call: Slot = UNSET
    output: Slot = UNSET
    result: Slot = UNSET


class Part(Call):
    """A part of a message's content."""

    type: Slot = UNSET
    text: Slot = UNSET
    content: Slot = UNSET
    result: Slot = UNSET
    response: Slot = UNSET
    gemini_call: Slot = msgspec.field(name="functionCall", default=UNSET)
    gemini_call_snake: Slot = msgspec.field(name="function_call", default=UNSET)
    gemini_result: Slot = msgspec.field(name="functionResponse", default=UNSET)
    gemini_result_snake: Slot = msgspec.field(name="function_response", default=UNSET)
    bedrock_call: Slot = msgspec.field(name="toolUse", default=UNSET)
    bedrock_result: Slot = msgspec.field(name="toolResult", default=UNSET)


class Turn(msgspec.Struct):
    """The newest turn, in the order of the messages; at most `CALLS_MAX` of each, the last ones."""

    #: name and arguments, as they stand in the JSON; the name of a call without one is its type
    calls: list[tuple[bytes, bytes]]
    #: contents
    results: list[Raw]


# A long array as a structure of its first elements: those beyond are skipped at full speed, however many there are.
_first_parts = msgspec.json.Decoder(
    msgspec.defstruct("_Parts", [(f"n{n}", Part | None, None) for n in range(PARTS_MAX)], array_like=True)
).decode
_first_calls = msgspec.json.Decoder(
    msgspec.defstruct("_Calls", [(f"n{n}", Call | None, None) for n in range(PARTS_MAX)], array_like=True)
).decode
_first_values = msgspec.json.Decoder(
    msgspec.defstruct("_Values", [(f"n{n}", Slot, UNSET) for n in range(PARTS_MAX)], array_like=True)
).decode
_few_parts = msgspec.json.Decoder(list[Part]).decode
_few_calls = msgspec.json.Decoder(list[Call]).decode
_few_values = msgspec.json.Decoder(list[Raw]).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_call = msgspec.json.Decoder(Call).decode
_decode_part = msgspec.json.Decoder(Part).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
# what most clients write first tells whose the message is
_begins_as_clients = re.compile(rb'\{\s*"(?:role"\s*:\s*"(?:user|tool)|type"\s*:\s*"[a-z_]+_call_output)"').match


def decoded(raw: Raw) -> Item | None:
    """A message; None: it is none, or too long."""
    if memoryview(raw).nbytes > LOOK_MAX:
        return None
    try:
        return _decode_item(raw)
    except UNDECODABLE:
        return None


def side(item: Item) -> str:
    """Whose message it is: `MODEL`, `CLIENT` or `SYSTEM`."""
    if item.role is not UNSET:
        return _ROLES.get(bytes(item.role), CLIENT)
    if item.type is UNSET:
        return CLIENT
    kind = bytes(item.type)
    return MODEL if kind.endswith(b'_call"') or kind in _MODEL_TYPES else CLIENT


def body_of(item: Item) -> Slot:
    """What a message says."""
    return item.content if item.content is not UNSET else item.parts


def content(raw: Slot) -> bytes | memoryview:
    """What a member that is a text, or an array of parts, says: its texts as they stand in the JSON.

    A text alone and the same text as the only part give the same; marks of a prompt cache are left out.  Parts that
    are no texts are taken whole, and so is whatever is neither text nor array.
    """
    if raw is UNSET:
        return b""
    view = memoryview(raw)
    if view[0] != ARRAY or len(view) > LOOK_MAX:
        return view
    if len(view) <= SHORT_ARRAY:
        try:
            parts = _few_parts(raw)
        except UNDECODABLE:
            parts = []
        if len(parts) == 1 and parts[0].text is not UNSET:  # by far the most, in half the time
            text = bytes(parts[0].text)
            return b"" if text.startswith(_BILLING) else text
    return b"\0".join(_pieces(raw))


def _pieces(raw: Raw) -> Iterator[bytes]:
    for value in _array(_first_values, _few_values, raw):
        try:
            part = _decode_part(value)
        except UNDECODABLE:
            yield bytes(value)
            continue
        if part.text is not UNSET:
            text = bytes(part.text)
            if not text.startswith(_BILLING):
                yield text
        else:
            yield _unmarked(value)


def _unmarked(raw: Raw) -> bytes:
    """A part without the marks of a prompt cache."""
    value = bytes(raw)
    if not any(mark in value for mark in _MARKS):
        return value
    try:
        members = _decode_object(raw)
    except UNDECODABLE:
        return value
    return b"".join(b"%b\0%b\0" % (name.encode(), inner) for name, inner in members.items() if name not in _CACHE_MARKS)


def newest_turn(items: list[Raw]) -> Turn:
    """The newest turn of the conversation; empty lists where it has no calls, or nobody answered."""
    calls: list[list[tuple[bytes, bytes]]] = []
    results: list[list[Raw]] = []
    left = LOOK_MAX
    called = False
    for raw in islice(reversed(items), TAIL_MAX):
        view = memoryview(raw)
        if called and _begins_as_clients(view):
            break  # the turn before: it may be long
        item = None
        if len(view) <= left:
            left -= len(view)
            item = decoded(raw)
        if item is not None and side(item) is MODEL:
            # at the very end stands what the model is to go on from: nothing has answered it
            called = called or bool(results)
            if called:
                calls.append(_calls(item))
        elif called:
            break
        else:
            results.append([] if item is None else _results(item))
    return Turn(
        [call for group in reversed(calls) for call in group][-CALLS_MAX:],
        [result for group in reversed(results) for result in group][-CALLS_MAX:],
    )


def _calls(item: Item) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    if item.tool_calls is not UNSET:
        for call in _array(_first_calls, _few_calls, item.tool_calls):
            _add_call(found, call.function if call.function is not UNSET else call.custom)
    if item.function_call is not UNSET:
        _add_call(found, item.function_call)
    if item.type is not UNSET:
        kind = bytes(item.type)
        if kind.endswith(b'_call"'):
            found.append((kind[:-6] + b'"' if item.name is UNSET else bytes(item.name), _arguments(item)))
    for part in _parts(item):
        if part.type is UNSET:
            for wrapped in (part.gemini_call, part.bedrock_call, part.gemini_call_snake):
                _add_call(found, wrapped)
        elif part.name is not UNSET and bytes(part.type).endswith(_CALL_PARTS):
            found.append((bytes(part.name), _arguments(part)))
    return found


def _add_call(found: list[tuple[bytes, bytes]], raw: Slot) -> None:
    if raw is not UNSET:
        try:
            call = _decode_call(raw)
        except UNDECODABLE:
            return
        if call.name is not UNSET:
            found.append((bytes(call.name), _arguments(call)))


def _arguments(call: Call) -> bytes:
    for member in _ARGUMENTS:
        raw = getattr(call, member)
        if raw is not UNSET:
            return bytes(raw)
    return b""


def _results(item: Item) -> list[Raw]:
    if item.role is not UNSET and item.content is not UNSET and bytes(item.role) in _RESULT_ROLES:
        return [item.content]
    found = [own for own in (item.output, item.result) if own is not UNSET]
    for part in _parts(item):
        if part.type is UNSET:
            for wrapped in (part.gemini_result, part.bedrock_result, part.gemini_result_snake):
                if wrapped is not UNSET:
                    found.append(_wrapped_result(wrapped))
        elif bytes(part.type) in _RESULT_PARTS:
            said = part.content if part.content is not UNSET else part.result
            found.append(_EMPTY if said is UNSET else said)
    return found


def _wrapped_result(raw: Raw) -> Raw:
    try:
        part = _decode_part(raw)
    except UNDECODABLE:
        return raw
    said = part.response if part.response is not UNSET else part.content
    return raw if said is UNSET else said


def _parts(item: Item) -> list[Part]:
    raw = body_of(item)
    return _array(_first_parts, _few_parts, raw) if raw is not UNSET and memoryview(raw)[0] == ARRAY else []


def _array(first: Callable[[Raw], msgspec.Struct], few: Callable[[Raw], list[Value]], raw: Raw) -> list[Value]:
    """The elements of an array: all, or the first of a long one; none, where it is not one of such elements."""
    try:
        if memoryview(raw).nbytes <= SHORT_ARRAY:
            return few(raw)
        return [each for each in msgspec.structs.astuple(first(raw)) if each is not None and each is not UNSET]
    except UNDECODABLE:
        return []
