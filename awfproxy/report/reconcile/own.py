"""Our records, in the classes and periods of the other side.

Rules: the same records count as in all reports: each `request_id` once, a call at its admission, counts that are not
known as 0 with a note.  One pass; nothing is held but the books and the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from awfproxy.report.filters import Filters
from awfproxy.report.reading import Remarks
from awfproxy.report.reconcile.books import Book, Here, named
from awfproxy.report.reconcile.calendar import EDGE
from awfproxy.report.reconcile.names import Families
from awfproxy.report.reconcile.used import Counts
from awfproxy.report.rows import Count, Reason, Row, decoded
from awfproxy.report.seen import Seen
from awfproxy.report.times import comparable, moment

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs

#: characters of a time up to the minute, as finely as edges are looked at
MINUTE: Final = 16
#: minutes that are remembered: two months
MINUTES_MAX: Final = 100_000


class _Kept(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: Count | None = None


class _Usage(msgspec.Struct, gc=False):
    cache_creation: _Kept | None = None


class _Hints(msgspec.Struct, gc=False):
    agent: str | None = None
    session: str | None = None


class OwnRow(Row):
    """A record, with what tells writes for an hour, and whose call it was."""

    usage: _Usage | None = None
    hints: _Hints | None = None


_decode: Final = msgspec.json.Decoder(OwnRow).decode


class Own:
    """Takes records.

    :param books: where they are added up
    :param families: which names are of one model
    :param costs: how calls are priced, for a book of money
    :param filters: which records
    :param agents: by agent the sessions of which there are logs; a call that says it was of another one is left out
    :param models: the only models that there is something to compare of; None: all
    """

    def __init__(
        self,
        books: Iterable[Book],
        families: Families,
        costs: Costs | None = None,
        filters: Filters | None = None,
        agents: Mapping[str, Collection[str]] | None = None,
        models: Collection[str] | None = None,
    ) -> None:
        self.remarks = Remarks()
        #: calls that were taken, compared or left out
        self.calls = 0
        #: calls that were left out: of providers, times, agents or models that the other side does not tell of
        self.left: dict[str, int] = {}
        self._books = list(books)
        self._families = families
        self._costs = costs
        self._filters = filters if filters else None
        self._agents = agents
        self._models = models
        self._minutes: dict[str, int | None] = {}

    def taker(self, seen: Seen) -> Callable[[bytes], Reason | None]:
        """What takes lines; it answers why one is no record of token usage."""

        def take(line: bytes) -> Reason | None:
            row = decoded(line, _decode, ("hints", "usage"))
            if isinstance(row, str):
                return row
            if self._filters is not None and not self._filters.wants(row):
                return None
            if row.request_id is not None and not seen.add(row.request_id, row.mark):
                self.remarks.duplicates += 1
                self.remarks.differing = seen.differing
                return None
            self.calls += 1
            self._add(row, line)
            return None

        return take

    def _add(self, row: OwnRow, line: bytes) -> None:
        begin = self._minute(row.when)
        if begin is None:
            return self._leave("without a time")
        if self._agents is not None and row.hints is not None and row.hints.agent is not None:
            sessions = self._agents.get(row.hints.agent)
            if sessions is None or (row.hints.session is not None and row.hints.session not in sessions):
                return self._leave("of other agents or sessions")
        family = self._families.of(row.model)
        if self._models is not None and family not in self._models:
            return self._leave("of models that the other side does not have")
        end = begin if row.admitted_at is None else self._minute(row.timestamp) or begin
        if row.unknown:
            row.forget_unknown()
        why = None
        counted = False
        for book in self._books:
            why = self._enter(book, row, line, family, begin, max(begin, end))
            counted |= why is None
        if not counted and why is not None:
            self._leave(why)
        return None

    def _enter(self, book: Book, row: OwnRow, line: bytes, family: str, begin: int, end: int) -> str | None:
        provider = "" if self._agents is not None else row.provider or ""
        calendar = book.calendars.get(provider)
        if calendar is None:
            return f"of {provider or 'no provider'}, of which there is no export"
        period, early = calendar.period(begin), calendar.into(begin) < EDGE
        late = calendar.period(end) > period or calendar.into(end) >= calendar.length - EDGE
        if not calendar.covers(begin):
            # Of what is not covered only that is kept which may be counted in a period beside it that is.
            early = early and calendar.touches(period - 1)
            late = late and calendar.touches(period + 1)
            if calendar.touches(period) or not (early or late):
                return "of times that the other side does not tell of"
        here = book.page(provider, period, family).here
        self._sum(book, here, row, line, early, late)
        if row.model:
            named(here.names, row.model)
        return None

    def _sum(self, book: Book, here: Here, row: OwnRow, line: bytes, early: bool, late: bool) -> None:
        counts = _classes(row) if book.of_tokens else (self._price(row, line),)
        here.calls += 1
        exact = row.usage_source in (None, "reported")
        here.inexact_calls += not exact
        here.early_calls += early
        here.late_calls += late
        here.thought += row.reasoning_tokens or 0
        sums = here.sums
        for place, count in enumerate(counts):
            if count:
                sums[place] += count
            elif count is None:
                here.unknown[place] += 1
        for vector, applies in ((here.inexact, not exact), (here.early, early), (here.late, late)):
            if applies:
                for place, count in enumerate(counts):
                    vector[place] += count or 0

    def _price(self, row: OwnRow, line: bytes) -> int | None:
        """Pico-dollars; None: there is no price."""
        assert self._costs is not None  # or there would be no book of money
        rates = self._costs.rates(row)
        return None if rates is None else self._costs.exact(line, rates).pico

    def _leave(self, why: str) -> None:
        self.left[why] = self.left.get(why, 0) + 1

    def _minute(self, text: str | None) -> int | None:
        text = comparable(text)
        if text is None:
            return None
        head = text[:MINUTE]
        if head in self._minutes:
            return self._minutes[head]
        if len(self._minutes) >= MINUTES_MAX:
            self._minutes.clear()
        when = moment(f"{head}:00Z")
        found = self._minutes[head] = None if when is None else int(when.timestamp())
        return found


def _classes(row: OwnRow) -> Counts:
    """Tokens by class; None: not known."""
    read, written, every = row.cache_read_tokens, row.cache_write_tokens, row.all_input_tokens
    kept = row.usage.cache_creation if row.usage is not None else None
    hour = None if written is None else min(written, (kept.ephemeral_1h_input_tokens or 0) if kept is not None else 0)
    return (
        None if every is None else max(0, every - (read or 0) - (written or 0)),
        read,
        None if written is None or hour is None else written - hour,
        hour,
        row.output_tokens,
    )
