"""Sums of token usage, in groups.

Rules:

* A sum knows how many of its calls did not report the count, so that "at least" and "unknown" can be told from a figure
  that is whole.  Adding is commutative: the order of files and lines never shows.
* Calls are first added up in buckets, in each of which everything is alike but the figures (`buckets`); what they mean
  is asked once, when the groups are made.
* Names are cut by `escaping.short`, and after `BUCKETS_MAX` buckets all that is new goes to one group (`OTHERS`), so
  that no file can fill the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from awfproxy.report.buckets import Bucket, Facts
from awfproxy.report.costs import Costs
from awfproxy.report.escaping import short
from awfproxy.report.rows import APART, COUNTS, Counted, unknown_counts
from awfproxy.report.times import HOUR, TEN_MINUTES, Hours, canonical

#: What records can be grouped by: members of a row, and what is derived from its time.
MEMBERS: Final = ("conversation", "feature", "model", "outcome", "port", "provider", "run", "user")
TIMES: Final = ("day", "hour")
KEYS: Final = tuple(sorted((*MEMBERS, *TIMES)))

#: Where figures are from, by the records' own word; a record that does not say is AWF's, which knows only the first.
SOURCES: Final = ("reported", "partial", "estimated")
#: a word that is none of them
ELSEWHERE: Final = "other"

#: buckets with groups of their own: about 30 MB
BUCKETS_MAX: Final = 32_768
#: characters of names in a key that is kept as it was written
WRITTEN_MAX: Final = 500
#: different hours of which the first and the last are told: eleven years
HEADS_MAX: Final = 100_000
#: the group of what came after `BUCKETS_MAX`
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
        #: pico-dollars; unknown are calls without a price, and those of which not all was known that is to be priced
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
            self.cost.add(bucket.cost, priced, bucket.unpriced)
        read = bucket.all_input_tokens
        if read is not None and "cache_read_tokens" not in facts.unknown:
            self._read += read
            self._cached += bucket.cache_read_tokens

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


class Group(NamedTuple):
    key: Key
    totals: Totals


class Grouped:
    """Totals by group, and over all."""

    def __init__(self, by: Iterable[str], costs: Costs | None = None) -> None:
        """
        :param by: names in `KEYS`; none makes a single group.
        :param costs: how calls are priced; None: not at all
        """
        self.by = tuple(by)
        #: calls that came when there were too many groups already
        self.overflowed = 0
        self._costs = costs
        self._members = tuple(name for name in self.by if name in MEMBERS and name not in _FACTS)
        self._times = tuple(name for name in self.by if name in TIMES)
        self._members_of: Callable[[Counted], Any] = attrgetter(*_FACTS, *self._members)
        self._hours = Hours()
        self._parts_of_time = [getattr(self._hours, name) for name in self._times]
        #: by what rows have in common, as they write it; several of these may be one of `_sound`
        self._written: dict[Any, Bucket] = {}
        self._sound: dict[Facts, Bucket] = {}
        #: beginnings of times, up to the hour
        self._heads: set[str] = set()

    def add(self, row: Counted, line: bytes = b"", plain: bool = False) -> None:
        """One more call.

        :param row: a `Row`, if grouped by any of its own members
        :param line: what it is from: the price of some calls needs more of it
        :param plain: it is a `PlainRow` or `PlainCounted`, priced by its counts
        """
        bucket = self.count(row, plain)
        if bucket is not None:
            self.price(bucket, row, line)

    def count(self, row: Counted, plain: bool) -> Bucket | None:
        """One more call, as in `add`; the bucket, if its price is not by its counts alone: then `price` it."""
        fresh, output = row.input_tokens, row.output_tokens
        read, written = row.cache_read_tokens, row.cache_write_tokens
        if fresh is None or output is None or read is None or written is None:
            return self.count(_filled(row), plain)
        key = self._members_of(row)
        if self._times:
            key += tuple(part(row.when) for part in self._parts_of_time)
        try:
            bucket = self._written[key]
        except KeyError:
            bucket = self._bucket(key)
        when = row.admitted_at or row.timestamp
        if when is None or when[:TEN_MINUTES] != bucket.slot:
            self._enter(bucket, row, when)
        bucket.calls += 1
        bucket.input_tokens += fresh
        bucket.output_tokens += output
        bucket.cache_read_tokens += read
        bucket.cache_write_tokens += written
        thought = row.reasoning_tokens
        if thought is not None:
            bucket.reasoning_tokens += thought
            bucket.reasoning_calls += 1
        if bucket.rates is None:
            return None
        if plain:
            # Where a part is more than the whole, or a dearer price begins, sums do not tell the price.
            if bucket.facts.includes_cache:
                summed = read + written <= fresh <= bucket.longest
            else:
                summed = fresh + read + written <= bucket.longest
            if summed and (not thought or thought <= output):
                usage = row.usage  # type: ignore[attr-defined]
                if usage is None or usage.cache_creation is None:
                    return None
                hour = usage.cache_creation.ephemeral_1h_input_tokens
                if not hour:
                    return None
                if hour <= written and "cache_write_tokens" not in bucket.facts.unknown:
                    bucket.hour_tokens += hour
                    return None
        return bucket

    def price(self, bucket: Bucket, row: Counted, line: bytes) -> None:
        """Prices a call that `count` has just put in this bucket, by its line."""
        if self._costs is None or bucket.rates is None:
            raise ValueError("this call has no price")
        bucket.apart(row, self._costs.exact(line, bucket.rates))

    def _enter(self, bucket: Bucket, row: Counted, when: str | None) -> None:
        """A call of another time than the one before: what does it cost now?"""
        if when is not None:
            bucket.slot = when[:TEN_MINUTES]
            head = when[:HOUR]
            if head not in self._heads and len(self._heads) < HEADS_MAX:
                self._heads.add((canonical(when) or "")[:HOUR])
        if self._costs is not None:
            rates = self._costs.rates(row)
            if rates is not bucket.rates:
                bucket.settle()
                bucket.rates = rates
                bucket.longest = -1 if rates is None else rates.longest

    def _bucket(self, written: Sequence[Any]) -> Bucket:
        """The bucket for a key as it was written, and next time it is found at once."""
        parts = dict(zip((*_FACTS, *self._members, *self._times), written, strict=True))
        provider, model, source, included, unknown = written[: len(_FACTS)]
        sound = Facts(
            tuple(_cut(parts[name]) for name in self.by),
            _cut(provider),
            _cut(model),
            "reported" if source is None else source if source in SOURCES else ELSEWHERE,
            provider not in APART if included is None else included,
            unknown_counts(unknown),
        )
        if sound not in self._sound and len(self._sound) >= BUCKETS_MAX:
            self.overflowed += 1
            sound = sound._replace(group=(OTHERS,) * len(self.by), provider=OTHERS, model=OTHERS)
        bucket = self._sound.get(sound)
        if bucket is None:
            bucket = self._sound[sound] = Bucket(sound)
        texts = [part for part in (*written, *(unknown or ())) if isinstance(part, str)]
        if len(self._written) < BUCKETS_MAX and sum(map(len, texts)) <= WRITTEN_MAX:
            self._written[written] = bucket
        return bucket

    def settle(self) -> None:
        """Everything has been added: works out what is left to be priced."""
        for bucket in self._sound.values():
            bucket.settle()

    def groups(self) -> list[Group]:
        """The groups: times in order, everything else by size, the largest first."""
        found: dict[Key, Totals] = {}
        for facts, bucket in self._sound.items():
            found.setdefault(facts.group, Totals()).add(bucket)

        def rank(group: Group) -> tuple[object, ...]:
            times = tuple(
                (part is None, part or "") for name, part in zip(self.by, group.key, strict=True) if name in TIMES
            )
            return (*times, -group.totals.total.known, named(group.key))

        return sorted((Group(key, totals) for key, totals in found.items()), key=rank)

    def sorted_by(self, order: str) -> list[Group]:
        """The groups by one of `ORDERS`: figures from the largest on, unknown ones last; names from a to z."""
        groups = self.groups()
        if order == "name":
            return sorted(groups, key=lambda group: named(group.key))
        figure = _FIGURES[order]
        known = [group for group in groups if figure(group.totals) is not None]
        unknown = [group for group in groups if figure(group.totals) is None]
        return [*sorted(known, key=lambda group: -(figure(group.totals) or 0)), *unknown]

    def overall(self) -> Totals:
        """All groups together."""
        totals = Totals()
        for bucket in self._sound.values():
            totals.add(bucket)
        return totals

    def unpriced(self) -> list[tuple[str | None, str | None, int, int]]:
        """Provider and model of calls without a price, with calls and known tokens, the most tokens first."""
        found: dict[tuple[str | None, str | None], list[int]] = {}
        for facts, bucket in self._sound.items():
            if bucket.unpriced:
                sums = found.setdefault((facts.provider, facts.model), [0, 0])
                sums[0] += bucket.unpriced
                sums[1] += bucket.known_tokens
        told = [(*key, calls, tokens) for key, (calls, tokens) in found.items()]
        return sorted(told, key=lambda each: (-each[3], -each[2], named(each[:2])))

    def span(self) -> tuple[str, str] | None:
        """The hours of the first and the last call, ``2026-01-31T17:00Z``; None: none has a time."""
        hours = Hours()
        known = [hour for hour in (hours.hour(f"{head}:00:00.000Z") for head in self._heads) if hour is not None]
        return (min(known), max(known)) if known else None


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

#: Members of a row that decide what its figures mean.
_FACTS: Final = ("provider", "model", "usage_source", "input_tokens_include_cache", "unknown")


def _cut(part: str | None) -> str | None:
    return None if part is None else short(part)


def _filled(row: Counted) -> Counted:
    """The row with 0 for every required count that it does not have, and its name in `unknown`."""
    absent = [name for name in COUNTS[:4] if getattr(row, name) is None]
    return msgspec.structs.replace(row, **dict.fromkeys(absent, 0), unknown=unknown_counts(row.unknown, absent))
