"""The names of the tools that a request offers to the model, by where each API has them.

OpenAI chat `tools[].function.name` and `.custom.name`, formerly `functions[].name`; Responses and Anthropic
`tools[].name`, or the `type` of a tool that the provider runs; Gemini `tools[].functionDeclarations[].name`, or the
member that names such a tool (`googleSearch`); Bedrock `toolConfig.tools[].toolSpec.name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from awfproxy.core.undecodable import UNDECODABLE

#: tools that are looked at: OpenAI takes 128, Anthropic more
TOOLS_MAX: Final = 256
#: bytes of the tools' JSON that is looked into
LOOK_MAX: Final = 256 * 1024
#: names in a record, and their bytes together: a line of the log is to stay short
NAMES_MAX: Final = 64
NAMES_BYTES_MAX: Final = 2048
#: characters of a name: OpenAI's and Anthropic's limit
NAME_MAX: Final = 64

Slot = Raw | UnsetType

_plain_name = re.compile(rb'"([A-Za-z0-9_.:/-]{1,%d})"' % NAME_MAX).fullmatch


class _Tool(msgspec.Struct, gc=False):
    name: Slot = UNSET
    type: Slot = UNSET
    function: Slot = UNSET
    custom: Slot = UNSET
    bedrock: Slot = msgspec.field(name="toolSpec", default=UNSET)
    gemini: Slot = msgspec.field(name="functionDeclarations", default=UNSET)
    gemini_snake: Slot = msgspec.field(name="function_declarations", default=UNSET)


_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
# elements beyond the last are skipped, however many there are
_first_tools = msgspec.json.Decoder(
    msgspec.defstruct("_Tools", [(f"n{n}", _Tool | None, None) for n in range(TOOLS_MAX)], array_like=True)
).decode
_first_values = msgspec.json.Decoder(
    msgspec.defstruct("_Values", [(f"n{n}", Slot, UNSET) for n in range(TOOLS_MAX)], array_like=True)
).decode


def plain_name(raw: bytes) -> str | None:
    """A name as it stands in JSON, if it is one: plain characters, at most `NAME_MAX`."""
    found = _plain_name(raw)
    return None if found is None else found[1].decode("ascii")


def offered(raw: Raw) -> tuple[int, list[str]]:
    """How many tools there are (`TOOLS_MAX` at most), and the names of the first.

    :param raw: the value of `tools`, `functions` or `toolConfig`
    """
    if len(memoryview(raw)) > LOOK_MAX:
        return 0, []
    count, size = 0, 0
    names: list[str] = []
    for name in _names(raw):
        count += 1
        if name is not None and len(names) < NAMES_MAX and size + len(name) <= NAMES_BYTES_MAX:
            size += len(name)
            names.append(name)
    return count, names


def _names(raw: Raw) -> Iterator[str | None]:
    if memoryview(raw)[0] == ord("{"):
        try:
            raw = _decode_object(raw)["tools"]
        except (*UNDECODABLE, KeyError):
            return
    values: tuple[Raw, ...] = ()
    for at, tool in enumerate(_elements(raw)):
        declared = tool.gemini if tool.gemini is not UNSET else tool.gemini_snake
        if declared is not UNSET:
            for each in _elements(declared):
                yield _own_name(each)
            continue
        if any(named is not UNSET for named in (tool.name, tool.function, tool.custom, tool.bedrock)):
            yield _own_name(tool)
        elif tool.type is not UNSET:
            yield plain_name(bytes(tool.type))
        else:
            values = values or msgspec.structs.astuple(_first_values(raw))
            yield _first_member(values[at])


def _own_name(tool: _Tool) -> str | None:
    for inner in (tool.function, tool.custom, tool.bedrock):
        if inner is not UNSET and tool.name is UNSET:
            try:
                tool = _decode_tool(inner)
            except UNDECODABLE:
                return None
            break
    return None if tool.name is UNSET else plain_name(bytes(tool.name))


def _first_member(raw: Raw) -> str | None:
    """The name of the first member: Gemini's tools that the provider runs have no other."""
    try:
        name = next(iter(_decode_object(raw)), "")
    except UNDECODABLE:
        return None
    return plain_name(msgspec.json.encode(name))


def _elements(raw: Raw) -> list[_Tool]:
    try:
        return [tool for tool in msgspec.structs.astuple(_first_tools(raw)) if tool is not None]
    except UNDECODABLE:
        return []
