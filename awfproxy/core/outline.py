"""One JSON document reduced to the members that `fields.READ` names.

An outline maps a path to the raw JSON text of its value (``{"response.usage": b'{"input_tokens": 3}'}``).  There are
two ways to one, and a test holds them equal over any JSON: `document.read` decodes a whole document at C speed,
`finder.Finder` reads one of any length piece by piece.  Both walk the tree of positions made here.

* Values stay raw, so a surprising type never spoils the rest of a document.
* Values longer than their limit are left out.
* Members of the elements of an array are joined by commas under one path: ``choices[].finish_reason``.  An array that
  is read into is noted under its own path as `NONE` or `SOME`, of elements.
* Of a repeated key the last one counts, with everything under it.
"""

from __future__ import annotations

from collections.abc import Mapping

from .fields import READ

Outline = dict[str, bytes]

NONE = b"[]"
SOME = b"[*]"


class Node:
    """A position that is read, or one on the way to it."""

    __slots__ = ("children", "element", "limit", "path", "repeated")

    def __init__(self, path: str, repeated: bool) -> None:
        self.path = path
        #: inside an array: values of its elements are joined
        self.repeated = repeated
        #: longest value taken, in bytes; 0: the value itself is not taken
        self.limit = 0
        #: members read, by raw key
        self.children: dict[bytes, Node] = {}
        #: what each element is read as, when the value is an array
        self.element: Node | None = None


def tree(paths: Mapping[str, int]) -> Node:
    """The positions of `paths` (path: limit in bytes) as a tree, rooted in the document."""
    root = Node("", False)
    for path, limit in paths.items():
        node, walked = root, ""
        for part in path.split("."):
            name = part.removesuffix("[]")
            walked = f"{walked}.{name}" if walked else name
            node = node.children.setdefault(name.encode(), Node(walked, node.repeated))
            if part != name:
                walked += "[]"
                if node.element is None:
                    node.element = Node(walked, True)
                node = node.element
        node.limit = limit
        if limit and (node.children or node.element):
            raise ValueError(f"{path}: a value is either taken or read into")
    return root


#: What the scanner reads of a document.
DOCUMENT = tree(READ)


def kind_of(outline: Outline) -> bytes | None:
    """What a document says that it is, as raw JSON; None: it does not say."""
    return outline.get("type") or outline.get("event_type")


def note(outline: Outline, node: Node, value: bytes) -> None:
    """Put a value in its place."""
    if len(value) > node.limit:
        return
    if node.repeated and node.path in outline:
        joined = outline[node.path] + b"," + value
        if len(joined) <= node.limit:
            outline[node.path] = joined
    else:
        outline[node.path] = value
