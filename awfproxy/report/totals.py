"""Sums of token usage, in groups.

Rules: a sum knows how many of its calls did not report the count, so that "at least" and "unknown" can be told from a
figure that is whole.  Adding is commutative: the order of files and lines never shows.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from awfproxy.report.rows import COUNTS, Row, day, hour

#: What records can be grouped by, and how the group is read.
KEYS: dict[str, Callable[[Row], str | None]] = {
    "conversation": lambda row: row.conversation,
    "day": day,
    "feature": lambda row: row.feature,
    "hour": hour,
    "model": lambda row: row.model,
    "outcome": lambda row: row.outcome,
    "port": lambda row: row.port,
    "provider": lambda row: row.provider,
    "run": lambda row: row.run,
    "user": lambda row: row.user,
}

#: Keys whose groups stand in their natural order, and not by size.
_IN_ORDER = frozenset({"day", "hour"})

#: Where figures are from, by the records' own word; a record that does not say is AWF's, which knows only the first.
SOURCES = ("reported", "partial", "estimated")

Key = tuple[str | None, ...]


class Sum(msgspec.Struct):
    """A count over several calls."""

    known: int = 0
    #: calls that reported it
    calls: int = 0
    #: calls that did not
    unknown: int = 0

    def add(self, count: int | None) -> None:
        if count is None:
            self.unknown += 1
        else:
            self.known += count
            self.calls += 1

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
        #: calls by where their figures are from: reported, partial, estimated
        self.sources: Counter[str] = Counter()
        # of the calls that tell both, for the hit rate
        self._read = 0
        self._cached = 0

    def add(self, row: Row) -> None:
        self.calls += 1
        for name, total in self.sums.items():
            total.add(getattr(row, name))
        everything = row.all_input_tokens
        self.total.add(None if everything is None or row.output_tokens is None else everything + row.output_tokens)
        source = row.usage_source or "reported"
        self.sources[source if source in SOURCES else "other"] += 1
        if everything is not None and row.cache_read_tokens is not None:
            self._read += everything
            self._cached += row.cache_read_tokens

    @property
    def cache_hit_rate(self) -> float | None:
        """The share of input that came from the cache, 0 to 1; None: nothing told."""
        return min(1.0, self._cached / self._read) if self._read else None


class Grouped:
    """Totals by group, and over all."""

    def __init__(self, by: Iterable[str]) -> None:
        """
        :param by: names in `KEYS`; none makes a single group.
        """
        self.by = tuple(by)
        self.overall = Totals()
        self._readers = [KEYS[name] for name in self.by]
        self._groups: dict[Key, Totals] = {}

    def add(self, row: Row) -> None:
        key = tuple(read(row) for read in self._readers)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Totals()
        group.add(row)
        self.overall.add(row)

    def groups(self) -> list[tuple[Key, Totals]]:
        """The groups: times in order, everything else by size, the largest first."""

        def rank(item: tuple[Key, Totals]) -> tuple[object, ...]:
            key, totals = item
            times = tuple(
                (part is None, part or "") for name, part in zip(self.by, key, strict=True) if name in _IN_ORDER
            )
            return (*times, -totals.total.known, tuple((part is None, part or "") for part in key))

        return sorted(self._groups.items(), key=rank)
