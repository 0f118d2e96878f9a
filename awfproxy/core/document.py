"""The outline of a whole JSON document, at C speed.

msgspec skips what is not wanted (0.5 µs for an event) and checks the grammar.  What is too deep for it, or not quite
JSON, is read by the incremental finder instead, so that both ways give the same outline.
"""

from __future__ import annotations

import json

import msgspec

from .finder import Finder
from .outline import ABSENT, DOCUMENT, NONE, SOME, Node, Outline, note

_ELEMENTS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_OPEN_BRACE = 0x7B
_OPEN_BRACKET = 0x5B


def read(data: bytes, root: Node = DOCUMENT) -> Outline | None:
    """The outline of one whole document; None when it is not a JSON object.

    What `json` accepts beyond the standard (NaN, control characters in strings, bytes that are not UTF-8) is accepted:
    some servers write it, and the tokens were spent.
    """
    outline: Outline = {}
    try:
        _read(root, data, outline)
    except (msgspec.DecodeError, RecursionError) as error:
        return _read_anyhow(data, root, error)
    return outline


def elements(data: bytes) -> list[bytes] | None:
    """The elements of a whole JSON array; None when it is not one."""
    try:
        return [bytes(element) for element in _ELEMENTS.decode(data)]
    except (msgspec.DecodeError, RecursionError):
        return None


def _read(node: Node, data: bytes | msgspec.Raw, outline: Outline) -> None:
    members = node.decode(data)
    for field, child in node.fields:
        raw = getattr(members, field)
        if raw is ABSENT:
            continue
        value = bytes(raw)
        if child.limit:
            note(outline, child, value)
        if child.children:
            if value[0] == _OPEN_BRACE:
                _read(child, value, outline)
        elif child.element is not None and value[0] == _OPEN_BRACKET:
            items = _ELEMENTS.decode(value)
            outline[child.path] = SOME if items else NONE
            for item in items:
                element = bytes(item)
                if element[0] == _OPEN_BRACE:
                    _read(child.element, element, outline)


def _read_anyhow(data: bytes, root: Node, error: Exception) -> Outline | None:
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
    finder = Finder(lambda outline, whole: found.append(outline) if whole else None, root)
    finder.feed(data)
    finder.finish()
    return found[0] if len(found) == 1 else None
