"""Reads the outline of JSON documents of any length, piece by piece, in fixed memory.

* Input is a sequence of documents (one, or NDJSON), or an array of them; each object is handed on when it closes.
* Levels on the way to a wanted member are read token by token; everything else is skipped in blocks at C speed: what is
  left of a block when its strings are taken out and its matched brackets cancelled is ``k`` closers followed by ``m``
  openers, and a block with ``k`` less than the depth to climb holds nothing of interest.
* Escapes first: in a copy of the piece every ``\\\\`` and ``\\"`` is blotted out by two fillers, so that each quote
  left delimits a string and every position is the same in both.
* Memory: a stack no deeper than the tree of positions, one key, one value within its limit, the outline.  Depth below
  that is a counter.
* Broken grammar where it is looked at ends the reading: nothing after it is believed.  What is skipped is not checked.
* `feed` never raises and takes time linear in its input, whatever the split; `finish` may come at any moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate

import msgspec

from .outline import DOCUMENT, NONE, SOME, Node, Outline, note

#: Longer keys are none of ours; ``amazon-bedrock-invocationMetrics`` has 32 bytes, each may be escaped to six.
KEY_MAX = 256
#: Blocks grow from small to large, so that a short value costs little and a long one few steps.
BLOCK_MIN = 256
BLOCK_MAX = 16 * 1024
#: A block this short is walked bracket by bracket instead of being halved again.
WALK_MAX = 128
#: Rounds of cancelling matched brackets; deeper nesting than this inside one block is counted bracket by bracket.
ROUNDS_MAX = 24

_BETWEEN = re.compile(rb"[\s,]*")
_BEFORE_VALUE = re.compile(rb"[\s:]*")
_SCALAR = re.compile(rb'[^\s,{}\[\]":]*')
_WALK = re.compile(rb'["{}\[\]]')

_BRACKETS = bytes.maketrans(b"{[]}", b"(())")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_STEP = [0] * 256
_STEP[ord("(")] = 1
_STEP[ord(")")] = -1

_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = b"{}[]"

# What comes next.
_ROOT, _MEMBER, _KEY, _VALUE, _STRING, _SCALAR_REST, _SKIP, _ELEMENT, _BROKEN = range(9)

#: Stands for a value that is passed over.
_NOWHERE = Node("", False)


class Finder:
    """Feed it pieces; `found` is called with each document's outline, and whether the document was whole."""

    __slots__ = (
        "_captured",
        "_depth",
        "_found",
        "_in_string",
        "_key",
        "_node",
        "_odd",
        "_root",
        "_stack",
        "_state",
        "outline",
    )

    def __init__(self, found: Callable[[Outline, bool], object], root: Node = DOCUMENT) -> None:
        self._found = found
        self._root = root
        #: of the document being read
        self.outline: Outline = {}
        self._state = _ROOT
        #: open levels that are read: an object with its node, an array with its elements' node
        self._stack: list[tuple[Node, bool]] = []
        #: of the value being read
        self._node = _NOWHERE
        self._key = b""
        #: the value so far, when it is wanted; None: not wanted, or too long
        self._captured: bytes | None = None
        self._depth = 0
        self._in_string = False
        #: the last piece ended in an unpaired backslash, which is kept for the next
        self._odd = False

    @property
    def broken(self) -> bool:
        """The grammar was broken; nothing more is read."""
        return self._state == _BROKEN

    def feed(self, data: bytes) -> None:
        """Read the next piece, of any length."""
        if self._odd:
            data = b"\\" + data
            self._odd = False
        clear = data
        if b"\\" in data:
            if data[-1] == _BACKSLASH and (len(data) - len(data.rstrip(b"\\"))) & 1:
                self._odd = True
                data = data[:-1]
            clear = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        self._run(data, clear)

    def finish(self) -> None:
        """The input is over: hand on the open document as not whole."""
        if self._stack and self._state != _BROKEN:
            outline, self.outline = self.outline, {}
            self._stack = []
            if outline:
                self._found(outline, False)
        self._state = _BROKEN

    def _run(self, data: bytes, clear: bytes) -> None:
        size = len(data)
        at = 0
        start = 0  # of the wanted value's part in this piece
        state = self._state
        while at < size:
            if state in (_MEMBER, _ELEMENT):
                at = _BETWEEN.match(clear, at).end()  # type: ignore[union-attr]
                if at == size:
                    break
                byte = clear[at]
                if byte == (_CLOSE_BRACE if state == _MEMBER else _CLOSE_BRACKET):
                    at += 1
                    state = self._close()
                elif state == _ELEMENT:
                    self._node = self._stack[-1][0]
                    self._fill()
                    state = _VALUE
                elif byte == _QUOTE:
                    at += 1
                    self._key = b""
                    state = _KEY
                else:
                    state = _BROKEN
            elif state == _KEY:
                end = clear.find(b'"', at)
                part = data[at : end if end >= 0 else size]
                if len(self._key) <= KEY_MAX:
                    self._key += part[: KEY_MAX + 1]
                if end < 0:
                    break
                at = end + 1
                self._node = self._member(self._key)
                state = _VALUE
            elif state == _VALUE:
                at = _BEFORE_VALUE.match(clear, at).end()  # type: ignore[union-attr]
                if at == size:
                    break
                byte = clear[at]
                node = self._node
                start = at
                self._captured = b"" if node.limit else None
                if byte == _QUOTE:
                    at += 1
                    state = _STRING
                elif byte == _OPEN_BRACE and node.children:
                    at += 1
                    if node is self._root:
                        self.outline = {}
                    self._stack.append((node, False))
                    state = _MEMBER
                elif byte == _OPEN_BRACKET and node.element is not None:
                    at += 1
                    self._stack.append((node.element, True))
                    self.outline[node.path] = NONE
                    state = _ELEMENT
                elif byte in (_OPEN_BRACE, _OPEN_BRACKET):
                    at += 1
                    self._depth = 1
                    self._in_string = False
                    state = _SKIP
                elif byte in b",}]":
                    state = _BROKEN
                else:
                    state = _SCALAR_REST
            elif state == _SKIP:
                at = self._skip(clear, at, size)
                if at < 0:
                    at = size
                else:
                    state = self._end_value(data, start, at)
            elif state == _STRING:
                end = clear.find(b'"', at)
                if end < 0:
                    at = size
                else:
                    at = end + 1
                    state = self._end_value(data, start, at)
            elif state == _SCALAR_REST:
                at = _SCALAR.match(clear, at).end()  # type: ignore[union-attr]
                if at < size:
                    state = self._end_value(data, start, at)
            elif state == _ROOT:
                at = _BETWEEN.match(clear, at).end()  # type: ignore[union-attr]
                if at == size:
                    break
                self._node = self._root
                if clear[at] == _OPEN_BRACKET:
                    at += 1
                    self._stack.append((self._root, True))
                    state = _ELEMENT
                else:
                    state = _VALUE if clear[at] == _OPEN_BRACE else _BROKEN
            else:
                break
        self._state = state
        if state in (_STRING, _SKIP, _SCALAR_REST):
            self._keep(data[start:])
        elif state == _BROKEN:
            self.outline = {}
            self._stack = []

    def _close(self) -> int:
        """A level that is read has closed."""
        node, array = self._stack.pop()
        if node is self._root and not array:
            outline, self.outline = self.outline, {}
            self._found(outline, True)
        return self._back()

    def _back(self) -> int:
        """What comes next in the level that is open now."""
        if not self._stack:
            return _ROOT
        return _ELEMENT if self._stack[-1][1] else _MEMBER

    def _fill(self) -> None:
        """The open array has an element."""
        path = self._node.path.removesuffix("[]")
        if path in self.outline:
            self.outline[path] = SOME

    def _member(self, key: bytes) -> Node:
        """What the member is read as; what an earlier one of the same name said is forgotten."""
        if b"\\" in key and len(key) <= KEY_MAX:
            try:
                key = msgspec.json.decode(b'"' + key + b'"', type=str).encode()
            except (msgspec.DecodeError, UnicodeError):
                return _NOWHERE
        node = self._stack[-1][0].children.get(key, _NOWHERE)
        if node is not _NOWHERE and not node.repeated:
            path = node.path
            for known in [k for k in self.outline if k.startswith(path) and (k == path or k[len(path)] in ".[")]:
                del self.outline[known]
        return node

    def _keep(self, part: bytes) -> None:
        """Add to the wanted value, unless it is too long."""
        if self._captured is not None:
            if len(self._captured) + len(part) > self._node.limit:
                self._captured = None
            else:
                self._captured += part

    def _end_value(self, data: bytes, start: int, end: int) -> int:
        """The value ends at `end` of this piece; its part here began at `start`."""
        if self._captured is not None:
            self._keep(data[start:end])
            if self._captured is not None:
                note(self.outline, self._node, self._captured)
                self._captured = None
        return self._back()

    def _skip(self, clear: bytes, at: int, size: int) -> int:
        """Pass over an open value; where it ended, or -1 when this piece does not hold its end."""
        depth, in_string = self._depth, self._in_string
        block, bound = BLOCK_MIN, 0
        while at < size:
            end = min(at + block, size)
            pieces = clear[at:end].split(b'"')
            closers, openers = _unmatched(b"".join(pieces[in_string::2]))
            if closers < depth:
                depth += openers - closers
                in_string ^= not len(pieces) & 1
                at = end
                block = max((bound - at) >> 1, WALK_MAX) if bound else min(block * 4, BLOCK_MAX)
            elif end - at > WALK_MAX:
                bound = end
                block = max((end - at) >> 1, WALK_MAX)
            else:
                return _walk(clear, at, end, depth, in_string)
        self._depth, self._in_string = depth, in_string
        return -1


def _unmatched(outside: bytes) -> tuple[int, int]:
    """Closing and opening brackets that are left when matched ones are cancelled, in text without strings."""
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(ROUNDS_MAX):
        rest = brackets.replace(b"()", b"")
        if len(rest) == len(brackets):
            closers = rest.count(b")")
            return closers, len(rest) - closers
        brackets = rest
    depths = list(accumulate(map(_STEP.__getitem__, brackets), initial=0))
    closers = -min(depths)
    return closers, depths[-1] + closers


def _walk(clear: bytes, at: int, end: int, depth: int, in_string: bool) -> int:
    """Where `depth` levels are closed; they are, before `end`."""
    for match in _WALK.finditer(clear, at, end):
        byte = clear[match.start()]
        if byte == _QUOTE:
            in_string = not in_string
        elif not in_string:
            depth += 1 if byte in b"{[" else -1
            if depth == 0:
                return match.end()
    raise AssertionError("the block closes the value")
