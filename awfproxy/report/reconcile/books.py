"""Both sides of a comparison, added up by provider, period and model.

Rules: a book is about one thing, tokens by class or money, as a vector of whole numbers; adding is commutative.  After
`PAGES_MAX` pages all that is new goes to one model (`OTHERS`), so that no file can fill the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from awfproxy.report.reconcile.calendar import Calendar
from awfproxy.report.reconcile.used import CLASSES, Used

#: pages of one book: a month of hours for forty models; each takes about 1 KB
PAGES_MAX: Final = 32_768
#: the model of what came after them
OTHERS: Final = "(others)"
#: names of one model, and keys of one page, that are told apart
NAMES_MAX: Final = 16
PARTS_MAX: Final = 64


class Key(NamedTuple):
    """Where a page is."""

    provider: str
    period: int
    #: the comparable name (`names`)
    family: str


class Part(NamedTuple):
    """What an export tells apart within a page."""

    key: str | None
    project: str | None
    batch: bool


class Here:
    """What our records have."""

    __slots__ = ("calls", "early", "early_calls", "inexact", "inexact_calls", "late", "late_calls", "names", "sums",
                 "thought", "unknown")  # fmt: skip

    def __init__(self, size: int) -> None:
        self.calls = 0
        self.sums = [0] * size
        #: of calls whose figures are estimated, or not the final ones
        self.inexact = [0] * size
        self.inexact_calls = 0
        #: calls of which the figure is not known: not reported, or without a price
        self.unknown = [0] * size
        #: of calls near the beginning, which may be counted in the period before
        self.early = [0] * size
        self.early_calls = 0
        #: and near the end, or beyond it when they ended
        self.late = [0] * size
        self.late_calls = 0
        #: tokens of the output that were reasoning
        self.thought = 0
        #: the names that the model has, with calls
        self.names: dict[str, int] = {}


class There:
    """What the other side has."""

    __slots__ = ("names", "parts", "requests", "rows", "slack", "sums", "told", "unsaid")

    def __init__(self, size: int) -> None:
        self.rows = 0
        self.sums = [0] * size
        #: which figures all its rows tell
        self.told = [True] * size
        self.requests = 0
        #: a row did not say how many calls it is about
        self.unsaid = False
        #: by how much the figures may be off
        self.slack = 0
        self.parts: dict[Part, list[int]] = {}
        self.names: dict[str, int] = {}


class Page:
    """One provider, period and model."""

    __slots__ = ("here", "there")

    def __init__(self, size: int) -> None:
        self.here = Here(size)
        self.there = There(size)


class Book:
    """All pages for one thing.

    :param figures: what the vectors have
    :param calendars: by provider; of others there is nothing to compare
    :param nameless: providers whose models the other side does not tell apart
    """

    def __init__(
        self, figures: Sequence[str], calendars: dict[str, Calendar], nameless: frozenset[str] = frozenset()
    ) -> None:
        self.figures = tuple(figures)
        self.calendars = calendars
        self.nameless = nameless
        self.pages: dict[Key, Page] = {}
        #: rows and calls for which there was no page any more
        self.overflowed = 0

    @property
    def of_tokens(self) -> bool:
        return self.figures == CLASSES

    def page(self, provider: str, period: int, family: str) -> Page:
        """The page, made if it is not there."""
        key = Key(provider, period, "" if provider in self.nameless else family)
        page = self.pages.get(key)
        if page is None:
            if len(self.pages) >= PAGES_MAX:
                self.overflowed += 1
                key = key._replace(family=OTHERS)
                page = self.pages.get(key)
            if page is None:
                page = self.pages[key] = Page(len(self.figures))
        return page

    def add_theirs(self, used: Used, family: str) -> None:
        """One row of the other side."""
        calendar = self.calendars.get(used.provider)
        if calendar is None or not calendar.covers(used.begin):
            return
        there = self.page(used.provider, calendar.period(used.begin), family).there
        counts = used.counts if self.of_tokens else (used.cost,)
        there.rows += 1
        # One row may be off by its own slack, a sum of many by all of theirs.
        there.slack += used.token_slack if self.of_tokens else used.cost_slack
        part = Part(used.key, used.project, used.batch)
        if part not in there.parts and len(there.parts) >= PARTS_MAX:
            part = Part(None, None, False)
        sums = there.parts.setdefault(part, [0] * len(self.figures))
        for place, count in enumerate(counts):
            if count is None:
                there.told[place] = False
            else:
                there.sums[place] += count
                sums[place] += count
        if used.requests is None:
            there.unsaid = True
        else:
            there.requests += used.requests
        if used.model:
            named(there.names, used.model)


def named(names: dict[str, int], name: str) -> None:
    """Counts a name, as long as there are few."""
    if name in names or len(names) < NAMES_MAX:
        names[name] = names.get(name, 0) + 1
