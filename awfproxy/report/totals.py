"""Token usage in groups, by what records say.

Rules:

* Calls are first added up in buckets, in each of which everything is alike but the figures (`buckets`); what they mean
  is asked once, when the groups are made.
* Names are cut by `escaping.short`, and after `BUCKETS_MAX` buckets all that is new goes to one group (`OTHERS`), so
  that no file can fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from awfproxy.report.buckets import Bucket, Facts
from awfproxy.report.costs import Costs
from awfproxy.report.escaping import short
from awfproxy.report.rows import COUNTS, Counted, unknown_counts
from awfproxy.report.sums import ELSEWHERE, OTHERS, SOURCES, Group, Groups, Key, Totals, named
from awfproxy.report.times import HOUR, Hours, comparable

#: What records can be grouped by: members of a row, and what is derived from its time.
MEMBERS: Final = ("conversation", "feature", "model", "outcome", "port", "provider", "run", "user")
TIMES: Final = ("day", "hour")
KEYS: Final = tuple(sorted((*MEMBERS, *TIMES)))

#: buckets with groups of their own: about 30 MB
BUCKETS_MAX: Final = 32_768
#: characters of names in a key that is kept as it was written
WRITTEN_MAX: Final = 500
#: different hours of which the first and the last are told: eleven years
HEADS_MAX: Final = 100_000
#: comes after all that a time may go on with
LAST: Final = "\U0010ffff"


class Grouped(Groups):
    """Totals by group, and over all."""

    def __init__(self, by: Iterable[str], costs: Costs | None = None) -> None:
        """
        :param by: names in `KEYS`; none makes a single group.
        :param costs: how calls are priced; None: not at all
        """
        super().__init__(by)
        self._costs = costs
        self._members = tuple(name for name in self.by if name in MEMBERS and name not in _FACTS)
        self._times = tuple(name for name in self.by if name in TIMES)
        self._members_of = _members_of(self._members)
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
        for bucket, _ in self.count((row,), plain):
            self.price(bucket, row, line)

    def count(self, rows: Iterable[Counted], plain: bool) -> list[tuple[Bucket, Counted]]:
        """More calls, each as in `add`; those whose price is not by their counts alone, with their buckets: `price`
        them then."""
        # A loop over many: what holds for all of them is looked up once.
        members_of, parts_of_time, known = self._members_of, self._parts_of_time, self._written
        apart = []
        for row in rows:
            fresh, output = row.input_tokens, row.output_tokens
            read, written = row.cache_read_tokens, row.cache_write_tokens
            if fresh is None or output is None or read is None or written is None:
                apart += [(bucket, row) for bucket, _ in self.count((filled(row),), plain)]
                continue
            included = row.input_tokens_include_cache
            if included is None:
                included = row.includes_cache
            # As in `_FACTS`; twice as fast as `attrgetter`, which the others need.
            key: tuple[Any, ...] = (row.provider, row.model, row.usage_source, included, row.unknown)
            if members_of is not None:
                key += members_of(row)
            if parts_of_time:
                key += tuple([part(row.when) for part in parts_of_time])
            try:
                bucket = known[key]
            except KeyError:
                bucket = self._bucket(key)
            when = row.admitted_at or row.timestamp
            if when is None or not bucket.begin <= when < bucket.end or when[-1] != "Z":
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
                continue
            if plain:
                # Where a part is more than the whole, or a dearer price begins, sums do not tell the price.
                cached = read + written
                whole = fresh if included else fresh + cached
                if cached <= whole <= bucket.longest and (not thought or thought <= output):
                    usage = row.usage  # type: ignore[attr-defined]
                    if usage is None or usage.cache_creation is None:
                        continue
                    # What was written is told there too where the count of it is not known.
                    if "cache_write_tokens" not in bucket.facts.unknown:
                        hour = usage.cache_creation.ephemeral_1h_input_tokens
                        if not hour:
                            continue
                        if hour <= written:
                            bucket.hour_tokens += hour
                            continue
            apart.append((bucket, row))
        return apart

    def price(self, bucket: Bucket, row: Counted, line: bytes) -> None:
        """Prices a call that `count` has just put in this bucket, by its line."""
        if self._costs is None or bucket.rates is None:
            raise ValueError("this call has no price")
        bucket.apart(row, self._costs.exact(line, bucket.rates))

    def _enter(self, bucket: Bucket, row: Counted, when: str | None) -> None:
        """A call of another time than the one before: what does it cost now?"""
        # A time that is written in another way tells nothing of those that begin like it.
        bucket.begin = bucket.end = ""
        told = comparable(when)
        if told is not None:
            if told == when:
                bucket.begin = when[: HOUR if self._costs is None else self._costs.span(row)]
                bucket.end = bucket.begin + LAST
            if len(self._heads) < HEADS_MAX:
                self._heads.add(told[:HOUR])
        if self._costs is not None:
            rates = self._costs.rates_at(row, told)
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
            included,
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


#: What decides, of a row, what its figures mean.
_FACTS: Final = ("provider", "model", "usage_source", "includes_cache", "unknown")


def _cut(part: str | None) -> str | None:
    return None if part is None else short(part)


def filled(row: Counted) -> Counted:
    """The row with 0 for every required count that it does not have, and its name in `unknown`; itself, if whole."""
    absent = [name for name in COUNTS[:4] if getattr(row, name) is None]
    if not absent:
        return row
    return msgspec.structs.replace(row, **dict.fromkeys(absent, 0), unknown=unknown_counts(row.unknown, absent))


def _members_of(names: Sequence[str]) -> Callable[[Counted], tuple[Any, ...]] | None:
    """What gives these members of a row; None: there are none."""
    if not names:
        return None
    # Of a single name `attrgetter` gives the member, and no tuple.
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)
