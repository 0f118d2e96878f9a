"""The outline of a whole JSON document, at C speed.

The tree of positions becomes a tree of msgspec Structs, whose leaves are raw: one pass skips what is not wanted (about
1 µs for an event) and checks the grammar.  What is too deep for it, or not quite JSON, is read by the incremental
finder instead, so that both ways give the same outline.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec.structs import astuple

from .finder import Finder
from .outline import DOCUMENT, NONE, SOME, Node, Outline, note

#: the value of a member that a document does not have
_ABSENT = msgspec.Raw(b"")
_ELEMENTS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
#: whatever else may stand where an object or an array is read into
_SCALAR = str | int | float | bool | None

#: path, limit, Struct of the object (or of the array's elements) there, the node where it is an array or inside one
_Position = tuple[str, int, type | None, Node | None]


class Reader:
    """Reads whole documents as one tree of positions."""

    __slots__ = ("_decoder", "_root", "_struct", "_structs")

    def __init__(self, root: Node) -> None:
        self._root = root
        #: by Struct: the positions of its members
        self._structs: dict[type, tuple[_Position, ...]] = {}
        self._struct = self._make(root)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._struct)

    def _make(self, node: Node) -> type:
        names: dict[str, str] = {}
        members: list[tuple[str, Any, Any]] = []
        positions: list[_Position] = []
        for index, (key, child) in enumerate(node.children.items()):
            name = f"f{index}"
            names[name] = key.decode()
            kind: Any = msgspec.Raw
            struct = None
            if child.children:
                struct = self._make(child)
                kind = struct | list[msgspec.Raw] | _SCALAR
            elif child.element is not None:
                struct = self._make(child.element)
                kind = list[struct | list[msgspec.Raw] | _SCALAR] | dict[str, msgspec.Raw] | _SCALAR  # type: ignore[valid-type]
            members.append((name, kind, _ABSENT))
            positions.append((child.path, child.limit, struct, child if child.repeated or child.element else None))
        made = msgspec.defstruct("Members", members, rename=names, gc=False)
        self._structs[made] = tuple(positions)
        return made

    def read(self, data: bytes) -> Outline | None:
        """The outline of one whole document; None when it is not a JSON object.

        What `json` accepts beyond the standard (NaN, control characters in strings, bytes that are not UTF-8) is
        accepted: some servers write it, and the tokens were spent.
        """
        outline: Outline = {}
        try:
            self._walk(self._decoder.decode(data), outline)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._read_anyhow(data, error)
        return outline

    def _walk(self, members: Any, outline: Outline) -> None:
        for (path, limit, struct, node), value in zip(self._structs[type(members)], astuple(members), strict=True):
            if value is _ABSENT:
                continue
            if limit:
                text = bytes(value)
                if node is not None:
                    note(outline, node, text)
                elif len(text) <= limit:
                    outline[path] = text
            elif type(value) is struct:
                self._walk(value, outline)
            elif node is not None and type(value) is list:
                outline[path] = SOME if value else NONE
                for item in value:
                    if type(item) is struct:
                        self._walk(item, outline)

    def _read_anyhow(self, data: bytes, error: Exception) -> Outline | None:
        """The slow way, for documents that are too deep or not quite JSON."""
        if not isinstance(error, RecursionError):
            try:
                if not isinstance(json.loads(data.decode("utf-8", "replace"), strict=False), dict):
                    return None
            except ValueError:
                return None
            except RecursionError:
                pass
        found: list[Outline] = []
        finder = Finder(lambda outline, whole: found.append(outline) if whole else None, self._root)
        finder.feed(data)
        finder.finish()
        return found[0] if len(found) == 1 else None


#: `Reader.read` for what the scanner reads of a document.
read = Reader(DOCUMENT).read


def read_part(data: bytes) -> list[Outline]:
    """The outlines of documents of which the last may be cut off."""
    found: list[Outline] = []
    finder = Finder(lambda outline, whole: found.append(outline))
    finder.feed(data)
    finder.finish()
    return found


def elements(data: bytes) -> list[bytes] | None:
    """The elements of a whole JSON array; None when it is not one."""
    try:
        return [bytes(element) for element in _ELEMENTS.decode(data)]
    except (msgspec.DecodeError, RecursionError):
        return None
