"""What a request's body says about how many tokens it can use at most; `bounds` draws the conclusion.

Only what is known to be bounded by its own bytes is passed: texts, calls and results of functions that the client runs.
What makes the provider add something (stored conversations, files, URLs, tools that it runs itself, another round of
the model) is named, and so is what is not known here: a part of a message of an unknown type is not taken for text.

A look costs 3 to 7 ms a MB, because parts are decoded within messages within the body, so it is for strict budgets
only.  Memory is bounded as in `request.look`: what is long is not taken apart into more than a few thousand slices.  No
body makes `bounding` raise.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw

from awfproxy.core.bounding_members import (
    ARRAY,
    OBJECT,
    Body,
    Conversation,
    Part,
    Slot,
    Unbounded,
    answers,
    elements,
    first_byte,
    limit,
    members,
    raw_of,
    said,
    speaks_or_draws,
)
from awfproxy.core.request import ALL_SLICED_TO
from awfproxy.core.undecodable import UNDECODABLE

#: parts within parts within parts: results of tools hold parts, which hold none that matter
DEPTH_MAX: Final = 4
#: characters of a name that is told
NAME_MAX: Final = 64


class Bounding(msgspec.Struct):
    """What was found."""

    #: why there is no upper bound: the member, part or tool that forbids it; None: nothing does
    unbounded: str | None = None
    #: pictures that are in the body itself
    pictures: int = 0
    #: bytes of their base64, which are no text
    picture_bytes: int = 0
    #: tools that the client runs
    tools: int = 0
    #: largest limit on the tokens of one answer; None: the body sets none
    limit: int | None = None
    #: answers that are generated: choices, candidates, one for each prompt
    answers: int = 1


class _Untyped(msgspec.Struct, forbid_unknown_fields=True):
    """A part without a type (Gemini, Bedrock): it is told by its members, and may have no others."""

    text: Slot = UNSET
    thought: Slot = UNSET
    signature: Slot = msgspec.field(name="thoughtSignature", default=UNSET)
    thought_signature: Slot = UNSET
    call: Slot = msgspec.field(name="functionCall", default=UNSET)
    function_call: Slot = UNSET
    response: Slot = msgspec.field(name="functionResponse", default=UNSET)
    function_response: Slot = UNSET
    code: Slot = msgspec.field(name="executableCode", default=UNSET)
    executable_code: Slot = UNSET
    result: Slot = msgspec.field(name="codeExecutionResult", default=UNSET)
    code_execution_result: Slot = UNSET
    tool_use: Slot = msgspec.field(name="toolUse", default=UNSET)
    tool_result: Slot = msgspec.field(name="toolResult", default=UNSET)
    cache_point: Slot = msgspec.field(name="cachePoint", default=UNSET)
    reasoning: Slot = msgspec.field(name="reasoningContent", default=UNSET)
    json: Slot = UNSET


class _Inner(msgspec.Struct):
    """What stands within a member."""

    type: Slot = UNSET
    url: Slot = UNSET
    data: Slot = UNSET
    content: Slot = UNSET
    parts: Slot = UNSET
    tools: Slot = UNSET
    mode: Slot = UNSET


class _Tool(msgspec.Struct):
    type: Slot = UNSET
    name: Slot = UNSET


class _UntypedTool(msgspec.Struct, forbid_unknown_fields=True):
    """Bedrock's, Gemini's and Mistral's functions: tools that the provider runs have members of other names."""

    spec: Slot = msgspec.field(name="toolSpec", default=UNSET)
    cache_point: Slot = msgspec.field(name="cachePoint", default=UNSET)
    declared: Slot = msgspec.field(name="functionDeclarations", default=UNSET)
    declared_snake: Slot = msgspec.field(name="function_declarations", default=UNSET)
    function: Slot = UNSET


_part = msgspec.json.Decoder(Part).decode
_parts = msgspec.json.Decoder(list[Part]).decode
_untyped = msgspec.json.Decoder(_Untyped).decode
_inner = msgspec.json.Decoder(_Inner).decode
_tool = msgspec.json.Decoder(_Tool).decode
_untyped_tool = msgspec.json.Decoder(_UntypedTool).decode
_text = msgspec.json.Decoder(str).decode

#: items of the Responses API and types of messages that hold nothing but their own text
_ITEMS: Final = frozenset(
    (
        *("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call"),
        *("apply_patch_call_output", "reasoning"),
    )
)
#: parts that are text, by their type
_TEXTS: Final = frozenset(
    (
        *("text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text", "thinking", "tool_use"),
        *("redacted_thinking", "tool_call", "tool-call", "search_result"),
    )
)
#: types of tools that the client runs
_CLIENT_TOOLS: Final = frozenset(("function", "custom", "local_shell", "apply_patch"))
#: and beginnings of those whose types have a date (Anthropic's; their prompts are some hundred tokens each)
_DATED_TOOLS: Final = ("bash_", "text_editor_", "memory_", "computer_")
#: first bytes of what holds parts; texts and numbers are bounded by their bytes
_HOLDING: Final = frozenset((ARRAY, OBJECT))
_PICTURE_URL: Final = b'"data:image/'

#: what stands where no type is said: a message; an item of the Responses API's input, which is a message if it has a
#: role and a content, and else a stored item by its id (`type` of OpenAI's ItemReferenceParam is optional); a part
_Place = Literal["message", "item", "part"]


def bounding(body: bytes, kind: str, *, any_server: bool = False) -> Bounding:
    """What ``body`` (JSON, decompressed) says.

    :param kind: `Kind.name`: only the limits that this API reads are taken
    :param any_server: and of these, those that every server of it keeps
    """
    found = Bounding()
    try:
        _look(found, members(body), kind, any_server)
    except Unbounded as reason:
        found.unbounded = str(reason)
    except UNDECODABLE:
        found.unbounded = "not understood"
    return found


def _look(found: Bounding, body: Body | Conversation, kind: str, any_server: bool) -> None:
    forbidding = body.forbidding()
    if forbidding is not None:
        raise Unbounded(forbidding)
    if speaks_or_draws(body):
        raise Unbounded("modalities")
    found.limit = limit(body, kind, any_server)
    found.answers = answers(body, kind)
    for slot in (body.tools, body.tool_config):
        if slot is not UNSET and said(slot):
            _look_at_tools(found, slot)
    for messages in (body.messages, body.contents, body.inputs, body.content, body.requests):
        if messages is not UNSET:
            _look_at_all(found, messages, "message")
    if body.input is not UNSET:
        _look_at_all(found, body.input, "item")
    for slot in (body.system, body.instructions, body.system_instruction, body.gemini_system):
        if slot is not UNSET:
            _look_at(found, slot, DEPTH_MAX)
    if body.prompt is not UNSET and first_byte(body.prompt) == OBJECT:
        raise Unbounded("prompt")  # stored at the provider
    if body.reasoning is UNSET:
        return
    if first_byte(body.reasoning) == OBJECT and _inner(raw_of(body.reasoning)).mode is not UNSET:
        raise Unbounded("reasoning.mode")  # several models think, and read what the others thought


def _look_at_all(found: Bounding, messages: Raw | list[Part], place: _Place) -> None:
    """Look at all messages or items."""
    if isinstance(messages, list):
        for each in messages:
            _look_at_one(found, each, None, DEPTH_MAX - 1, place)
    else:
        _look_at(found, messages, DEPTH_MAX, place)


def _look_at(found: Bounding, slot: Slot, depth: int, place: _Place = "part") -> None:
    """Look at messages or parts: one, or an array of them; texts and numbers are bounded by their bytes."""
    first = first_byte(slot)
    if first not in (ARRAY, OBJECT):
        return
    if not depth:
        raise Unbounded("nesting")
    raw = raw_of(slot)
    if first == OBJECT:
        _look_at_one(found, _part(raw), raw, depth - 1, place)
        return
    raws: list[Raw] | None = None
    if memoryview(raw).nbytes <= ALL_SLICED_TO:
        try:
            parts = _parts(raw)
        except msgspec.ValidationError:  # texts or numbers are among them
            raws = [each for each in elements(raw) if first_byte(each) == OBJECT]
            parts = [_part(each) for each in raws]
    else:
        raws = [each for each in elements(raw) if first_byte(each) == OBJECT]
        parts = [_part(each) for each in raws]
    for at, part in enumerate(parts):
        if part.type is UNSET and place == "part" and raws is None:
            raws = elements(raw)
        _look_at_one(found, part, None if raws is None else raws[at], depth - 1, place)


def _look_at_one(found: Bounding, part: Part, raw: Raw | None, depth: int, place: _Place) -> None:
    """
    :param raw: the whole of it; None: it is a message, or has a type
    """
    if part.type is not UNSET:
        kind = _text(part.type)
        if kind not in _ITEMS:
            _look_at_typed(found, part, kind, depth)
        elif kind == "reasoning" and not said(part.encrypted):
            raise Unbounded("reasoning by id")
    elif place == "item" and (part.role is UNSET or part.content is UNSET):
        raise Unbounded("item by id")
    elif place == "part" and part.parts is UNSET:
        _look_at_untyped(found, raw_of(UNSET if raw is None else raw), depth)
        return
    if part.audio is not UNSET and said(part.audio):
        raise Unbounded("audio")
    if part.images is not UNSET and said(part.images):
        raise Unbounded("images")
    content = part.content
    if content is not UNSET and memoryview(content)[0] in _HOLDING:
        _look_at(found, content, depth)
    if part.parts is not UNSET:
        _look_at(found, part.parts, depth)
    if part.output is not UNSET:
        _look_at(found, part.output, depth)


def _look_at_typed(found: Bounding, part: Part, kind: str, depth: int) -> None:
    if kind in _TEXTS or kind == "tool_result":
        return  # its content is looked at by the caller
    if kind in ("image_url", "input_image") and part.image_url is not UNSET:
        url: Slot = part.image_url
        if first_byte(url) == OBJECT:
            url = _inner(raw_of(url)).url
        if bytes(memoryview(raw_of(url))[: len(_PICTURE_URL)]) != _PICTURE_URL:
            raise Unbounded(f"{kind} by reference")
        _picture(found, raw_of(url))
    elif kind in ("image", "document") and part.source is not UNSET:
        source = _inner(raw_of(part.source))
        which = _text(source.type) if source.type is not UNSET else ""
        if which == "base64" and kind == "image" and source.data is not UNSET:
            _picture(found, source.data)
        elif which == "content":
            _look_at(found, source.content, depth)
        elif which != "text":
            raise Unbounded(f"{kind} by {which[:NAME_MAX] or 'reference'}")
    else:
        raise Unbounded(kind[:NAME_MAX])


def _look_at_untyped(found: Bounding, raw: Raw, depth: int) -> None:
    try:
        part = _untyped(raw)
    except msgspec.ValidationError as error:
        raise Unbounded(f"part: {error}"[:NAME_MAX]) from None
    for slot in (part.response, part.function_response):
        if slot is not UNSET and _inner(raw_of(slot)).parts is not UNSET:
            raise Unbounded("functionResponse.parts")
    if part.tool_result is not UNSET:
        _look_at(found, _inner(raw_of(part.tool_result)).content, depth)


def _picture(found: Bounding, data: Raw) -> None:
    found.pictures += 1
    found.picture_bytes += memoryview(data).nbytes


def _look_at_tools(found: Bounding, slot: Slot) -> None:
    if first_byte(slot) == OBJECT:
        slot = _inner(raw_of(slot)).tools  # Bedrock's toolConfig holds them; Gemini's does not
        if slot is UNSET:
            return
    for each in elements(slot):
        tool = _tool(each)
        found.tools += 1
        if said(tool.type):
            kind = _text(raw_of(tool.type))
            if kind not in _CLIENT_TOOLS and not kind.startswith(_DATED_TOOLS):
                raise Unbounded(kind[:NAME_MAX])
        elif tool.name is UNSET:
            try:
                untyped = _untyped_tool(each)
            except msgspec.ValidationError as error:
                raise Unbounded(f"tool: {error}"[:NAME_MAX]) from None
            for declared in (untyped.declared, untyped.declared_snake):
                if said(declared):
                    found.tools += len(elements(declared))
