"""Sums over calls, and groups of them.

Rules: a sum knows how many of its calls did not report the count, so that "at least" and "unknown" can be told from a
figure that is whole.  Adding is commutative: the order of files and lines never shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from awfproxy.report.buckets import Bucket
from awfproxy.report.rows import COUNTS

#: Where figures are from, by the records' own word; a record that does not say is AWF's, which knows only the first.
SOURCES: Final = ("reported", "partial", "estimated")
#: a word that is none of them
ELSEWHERE: Final = "other"
#: the group of what came when there were too many already
OTHERS: Final = "(others)"

Key = tuple[str | None, ...]


class Sum(msgspec.Struct):
    """A count over several calls."""

    known: int = 0
    #: calls that reported it, or a part of it
    calls: int = 0
    #: calls that did not report all of it
    unknown: int = 0

    def add(self, count: int, calls: int, unknown: int = 0) -> None:
        """So many calls that reported `count` together, and so many that did not."""
        self.known += count
        self.calls += calls
        self.unknown += unknown

    def merge(self, other: Sum) -> None:
        """The calls of another sum."""
        self.add(other.known, other.calls, other.unknown)

    @property
    def value(self) -> int | None:
        """The sum over the calls that reported it; None: none did."""
        return self.known if self.calls else None


class Totals:
    """What the calls of one group used."""

    def __init__(self) -> None:
        self.calls = 0
        self.sums: dict[str, Sum] = {name: Sum() for name in COUNTS}
        #: everything read and written, cached or not
        self.total = Sum()
        #: pico-dollars; unknown are calls without a price, and those of which not all was known that is to be priced,
        #: or has a price
        self.cost = Sum()
        #: calls whose model has no price
        self.unpriced = 0
        #: calls by where their figures are from: reported, partial, estimated
        self.sources: Counter[str] = Counter()
        # of the calls that tell both, for the hit rate
        self._read = 0
        self._cached = 0

    def add(self, bucket: Bucket) -> None:
        """The calls of one bucket."""
        facts, calls = bucket.facts, bucket.calls
        self.calls += calls
        self.sources[facts.source] += calls
        for name, total in self.sums.items():
            if name in facts.unknown:
                total.add(0, 0, calls)
            elif name == "reasoning_tokens":
                total.add(bucket.reasoning_tokens, bucket.reasoning_calls, calls - bucket.reasoning_calls)
            else:
                total.add(getattr(bucket, name), calls)
        known, whole = bucket.known_tokens, bucket.whole
        # What is known of a call is a part of the sum, also where not all of it is.
        self.total.add(known, calls if whole or known else 0, 0 if whole else calls)
        self.unpriced += bucket.unpriced
        priced = calls - bucket.unpriced
        if not whole:
            # What is known of them has a price, and is a part of the whole.
            self.cost.add(bucket.cost, priced if bucket.cost else 0, calls)
        else:
            self.cost.add(bucket.cost, priced, bucket.unpriced + bucket.least)
        read = bucket.all_input_tokens
        if read is not None and "cache_read_tokens" not in facts.unknown:
            self.tells_cache(read, bucket.cache_read_tokens)

    def tells_cache(self, read: int, cached: int) -> None:
        """Calls of these have read so many tokens, and so many of them from the cache."""
        self._read += read
        self._cached += cached

    def merge(self, other: Totals) -> None:
        """The calls of another group."""
        self.calls += other.calls
        self.sources.update(other.sources)
        self.unpriced += other.unpriced
        for name, total in self.sums.items():
            total.merge(other.sums[name])
        self.total.merge(other.total)
        self.cost.merge(other.cost)
        self._read += other._read
        self._cached += other._cached

    @property
    def cache_hit_rate(self) -> float | None:
        """Tokens read from the cache / all tokens read, over the calls that tell both, 0 to 1; None: nothing told."""
        return min(1.0, self._cached / self._read) if self._read else None

    @property
    def inexact(self) -> int:
        """Calls whose figures are not the providers' final ones."""
        return self.calls - self.sources["reported"]

    @property
    def inexact_share(self) -> float | None:
        """Of its calls, 0 to 1; None: it has none, as a turn of which no call was recorded."""
        return self.inexact / self.calls if self.calls else None


class Group(NamedTuple):
    key: Key
    totals: Totals


class Groups(ABC):
    """Totals by group, and over all.

    :param by: what calls are grouped by
    """

    def __init__(self, by: Iterable[str]) -> None:
        self.by = tuple(by)
        #: calls that came when there were too many groups already
        self.overflowed = 0

    @abstractmethod
    def groups(self) -> list[Group]:
        """The groups: times in order, everything else by size, the largest first."""

    def sorted_by(self, order: str) -> list[Group]:
        """The groups by one of `ORDERS`: figures from the largest on, unknown ones last; names from a to z."""
        groups = self.groups()
        if order == "name":
            return sorted(groups, key=lambda group: named(group.key))
        figure = _FIGURES[order]
        known = [group for group in groups if figure(group.totals) is not None]
        unknown = [group for group in groups if figure(group.totals) is None]
        return [*sorted(known, key=lambda group: -(figure(group.totals) or 0)), *unknown]

    @abstractmethod
    def overall(self) -> Totals:
        """All groups together."""

    @abstractmethod
    def unpriced(self) -> list[tuple[str | None, str | None, int, int]]:
        """Provider and model of calls without a price, with calls and known tokens, the most tokens first."""

    @abstractmethod
    def span(self) -> tuple[str, str] | None:
        """The hours of the first and the last call, ``2026-01-31T17:00Z``; None: none has a time."""


def named(key: Key) -> tuple[tuple[bool, str], ...]:
    """For sorting: names in order, what has none last."""
    return tuple((part is None, part or "") for part in key)


_FIGURES: Final[dict[str, Callable[[Totals], float | None]]] = {
    "cache-hits": lambda totals: totals.cache_hit_rate,
    "calls": lambda totals: totals.calls,
    "cost": lambda totals: totals.cost.value,
    "input": lambda totals: totals.sums["input_tokens"].value,
    "output": lambda totals: totals.sums["output_tokens"].value,
    "tokens": lambda totals: totals.total.value,
}
#: what groups can be sorted by
ORDERS: Final = tuple(sorted((*_FIGURES, "name")))
