"""What recorded calls would have cost at other prices: those of another day, of another list, of other models.

Rules: tokens stay as they are recorded; another model would have counted, cached and answered in its own way.  A call
without a price is no call that costs nothing: before and after are compared over the calls that have both.  Money is in
whole pico-dollars.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import translate
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from awfproxy.core.consumption import Consumption, of_record
from awfproxy.report.costs import PICO, Consumer
from awfproxy.report.escaping import short
from awfproxy.report.lines import Lines, find_files, size_of
from awfproxy.report.reading import USAGE, USAGE_BUT, Remarks, expected
from awfproxy.report.rows import Reason, UsageRow, decoded
from awfproxy.report.seen import Seen
from awfproxy.report.times import TEN_MINUTES, comparable, moment

if TYPE_CHECKING:
    from awfproxy.prices.price import Price
    from awfproxy.prices.price_list import PriceList
    from awfproxy.report.filters import Filters

SCHEMA: Final = "repriced/v1.0.0"
#: prices that are remembered, by provider, model and ten minutes
KEPT_MAX: Final = 8_192
#: models that have a row of their own, with the model whose price they got
GROUPS_MAX: Final = 4_096
OTHERS: Final = "(others)"
#: digits after the point of dollars in files
DIGITS: Final = 9


class Rename(NamedTuple):
    """Calls of one model priced as those of another."""

    #: small letters; ``*`` and ``?`` stand for anything
    pattern: str
    model: str


class Pricing:
    """The prices of one list.

    :param at: seconds since the epoch: all prices are those of then; None: of each call's own time
    :param now: the time of calls that do not say when they were
    """

    def __init__(self, prices: PriceList, now: float, at: float | None = None, renames: Sequence[Rename] = ()) -> None:
        self._prices = prices
        self._now = now
        self._at = at
        self._renames = [(re.compile(translate(each.pattern), re.IGNORECASE), each) for each in renames]
        #: renames that no model has had yet, in their order
        self.idle = list(dict.fromkeys(renames))
        self._names: dict[str, str] = {}
        self._kept: dict[tuple[str, str, str | None], Price | None] = {}

    @property
    def description(self) -> str:
        """Where the prices are from, and of when."""
        if self._at is None:
            return self._prices.description
        day = datetime.fromtimestamp(self._at, UTC).date().isoformat()
        return f"{self._prices.description}, as of {day}"

    def model(self, name: str) -> str:
        """The model whose price a call of this one gets; the first rename that fits counts."""
        if not self._renames:
            return name
        found = self._names.get(name)
        if found is None:
            rename = next((rename for pattern, rename in self._renames if pattern.match(name)), None)
            if rename in self.idle:
                self.idle.remove(rename)
            found = name if rename is None else rename.model
            if len(self._names) < KEPT_MAX:
                self._names[name] = found
        return found

    def price(self, row: UsageRow) -> Price | None:
        """The price of the row's model, renamed; None: it has none."""
        provider, model = row.provider or "", self.model(row.model or "")
        when = None
        if self._at is None:
            when = comparable(row.when)
            when = when and when[:TEN_MINUTES]
        key = (provider, model, when)
        if key in self._kept:
            return self._kept[key]
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        begun = None if when is None else moment(f"{when}0:00Z")
        at = self._at if self._at is not None else self._now if begun is None else begun.timestamp()
        found = self._kept[key] = self._prices.find(provider, model, at)
        return found


class Repriced(msgspec.Struct):
    """Calls of one model."""

    calls: int = 0
    #: everything read and written, as far as it is known
    tokens: int = 0
    #: pico-dollars of the calls that have a price before, and after
    before: int = 0
    after: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    #: the calls that have both, and their pico-dollars
    both: int = 0
    both_before: int = 0
    both_after: int = 0

    @property
    def difference(self) -> int:
        """Of the calls that have both prices."""
        return self.both_after - self.both_before

    def merge(self, other: Repriced) -> None:
        """The calls of another one."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Named(NamedTuple):
    provider: str | None
    model: str | None
    #: the model whose price was taken, where it is another one
    priced_as: str | None


class Call(NamedTuple):
    """One call, before and after."""

    row: UsageRow
    #: the model whose price was taken, where it is another one
    priced_as: str | None
    #: None: there is none
    before_price: Price | None
    after_price: Price | None
    #: pico-dollars; None: there is no price
    before: int | None
    after: int | None
    #: what of the new cost is by a rule
    by_rule: str | None

    def line(self) -> dict[str, Any]:
        """What a file has of it; schema docs/schemas/repriced.json."""
        row, old, new = self.row, self.before_price, self.after_price
        told: dict[str, Any] = {"_schema": SCHEMA, "request_id": row.request_id, "timestamp": row.when}
        told |= {"provider": row.provider, "model": row.model}
        if self.priced_as is not None:
            told["priced_as"] = self.priced_as
        told |= {"cost_usd": _usd(self.after), "price_source": None if new is None else new.source}
        told |= {"price": None if new is None else new.name, "before_usd": _usd(self.before)}
        told["before_source"] = None if old is None else old.source
        if self.by_rule is not None:
            told["by_rule"] = self.by_rule
        return told


class Repricing:
    """All calls, before and after."""

    def __init__(self, before: Pricing, after: Pricing, filters: Filters | None = None) -> None:
        self.before = before
        self.after = after
        self.groups: dict[Named, Repriced] = {}
        self.remarks = Remarks()
        #: calls of which a part of the new cost is by a rule, by the price list's word for it
        self.assumed: dict[str, int] = {}
        self._filters = filters if filters else None
        #: groups by provider and model as they are written
        self._found: dict[tuple[str | None, str | None], tuple[Named, Repriced]] = {}

    @property
    def total(self) -> Repriced:
        """All of them together."""
        total = Repriced()
        for group in self.groups.values():
            total.merge(group)
        return total

    def read(
        self, paths: Sequence[str], stdin: IO[bytes] | None = None, progress: Callable[[int], None] | None = None
    ) -> Iterator[Call]:
        """Takes all records of files and folders in one pass, and gives each."""
        files = find_files(paths, USAGE, USAGE_BUT)
        lines = Lines(files, stdin, progress)
        seen = Seen(expected(size_of(files), files))
        for line in lines:
            found = self.take(line, seen)
            if isinstance(found, Call):
                yield found
            elif found is not None and not line.isspace():
                self.remarks.count(found)
        self.remarks.too_long += lines.too_long
        self.remarks.troubles += lines.troubles

    def take(self, line: bytes, seen: Seen) -> Call | Reason | None:
        """One record: the call, why it is none, or None where it does not count."""
        row = decoded(line, _decode)
        if isinstance(row, str):
            return row
        if self._filters is not None and not self._filters.wants(row):
            return None
        if row.request_id is not None and not seen.add(row.request_id, row.mark):
            self.remarks.duplicates += 1
            self.remarks.differing = seen.differing
            return None
        consumed = of_record(Consumer(row))
        old, new = self.before.price(row), self.after.price(row)
        before = _cost(old, consumed)
        after = before if new is old else _cost(new, consumed)
        if row.unknown:
            row.forget_unknown()
        named, group = self._group(row)
        group.calls += 1
        group.tokens += row.known_tokens
        if before is None:
            group.unpriced_before += 1
        else:
            group.before += before
        if after is None:
            group.unpriced_after += 1
        else:
            group.after += after
            if before is not None:
                group.both += 1
                group.both_before += before
                group.both_after += after
        word = None if new is None or consumed is None else new.assumed(consumed)
        if word is not None:
            self.assumed[word] = self.assumed.get(word, 0) + 1
        return Call(row, named.priced_as, old, new, before, after, word)

    def _group(self, row: UsageRow) -> tuple[Named, Repriced]:
        written = (row.provider, row.model)
        found = self._found.get(written)
        if found is None:
            model = self.after.model(row.model or "")
            priced_as = short(model) if model != (row.model or "") else None
            named = Named(_short(row.provider), _short(row.model), priced_as)
            if named not in self.groups and len(self.groups) >= GROUPS_MAX:
                named = Named(OTHERS, OTHERS, None)
            found = named, self.groups.setdefault(named, Repriced())
            if len(self._found) < GROUPS_MAX:
                self._found[written] = found
        return found


def _cost(price: Price | None, consumed: Consumption | None) -> int | None:
    if price is None:
        return None
    return 0 if consumed is None else round(price.cost(consumed) * PICO)


def _usd(pico: int | None) -> float | None:
    return None if pico is None else round(pico / PICO, DIGITS)


def _short(text: str | None) -> str | None:
    return None if text is None else short(text)


_decode: Final = msgspec.json.Decoder(UsageRow).decode
