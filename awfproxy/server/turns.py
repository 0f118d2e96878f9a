"""What several want done, one thing after the other, and each of them in turn: who wants much keeps nobody waiting.

Everything takes constant time.  What is wanted by one in vain stays in line until its turn: whoever takes it looks
whether it is still wanted.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Turns(Generic[T]):
    """See the module."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        #: by who wants it; whose turn is next comes first
        self._lines: dict[Hashable, dict[T, None]] = {}

    def add(self, who: Hashable, wanted: T) -> None:
        """Behind all that ``who`` wants already; once, however often it is wanted."""
        self._lines.setdefault(who, {})[wanted] = None

    def waiting(self, who: Hashable) -> int:
        """How much of ``who`` is in line."""
        line = self._lines.get(who)
        return 0 if line is None else len(line)

    def next(self) -> tuple[Hashable, T] | None:
        """Take the next from the line, with who wants it; None: there is nothing."""
        if not self._lines:
            return None
        who = next(iter(self._lines))
        line = self._lines.pop(who)
        wanted = next(iter(line))
        del line[wanted]
        if line:
            self._lines[who] = line
        return who, wanted
