"""A fuzzer's input as choices and a body.

The first `HEAD` bytes choose (how the body is cut, coded, typed), the rest is the body as it stands: so seeds are bodies
with a head before them, and what the fuzzer changes in one place changes one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeVar

#: bytes of choices before the body
HEAD: Final = 16
#: of these, the bytes that are cuts: each is a place in the body, in 256ths of it, or near the place before
_CUTS: Final = 6

#: very small pieces are single bytes, up to so many
_MANY: Final = 64

_T = TypeVar("_T")


class Choices:
    """The choices of one input, in the order in which they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._head = data[:HEAD].ljust(HEAD, b"\0")
        self._at = _CUTS
        self.body = data[HEAD:]

    def below(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        value = self._head[self._at] if self._at < HEAD else 0
        self._at += 1
        return value % count

    def one_of(self, options: Sequence[_T]) -> _T:
        """One of these; the first where the fuzzer says nothing."""
        return options[self.below(len(options))]

    def pieces(self, data: bytes) -> list[bytes]:
        """`data` cut up: into very small pieces, or at a few places, of which each second is near the one before."""
        size = len(data)
        if self._head[0] == 255:
            step = 1 + size // _MANY
            return [data[at : at + step] for at in range(0, size, step)]
        cuts = []
        near = 0
        for index, byte in enumerate(self._head[:_CUTS]):
            near = near + byte % 16 if index & 1 else byte * (size + 1) // 256
            cuts.append(min(near, size))
        edges = [0, *sorted(cuts), size]
        return [data[start:end] for start, end in pairwise(edges) if end > start]
