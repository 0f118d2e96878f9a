"""Both sides of a book, page by page, as differences that can be explained.

Rules: a difference is ours less theirs.  A class of tokens that the other side does not tell is compared within the
class it is in there (`used.FOLDS`).  Two models of one provider that only one side has stand in one row if all their
figures are the same; where the names are not known to be of one model, that is told, and the sides do not agree.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, Literal

import msgspec
from msgspec import field

from awfproxy.report.reconcile.books import Book, Here, Key, There
from awfproxy.report.reconcile.used import FOLDS

#: how sure an explanation is: the figures prove it; they fit, and little else would; one of several that fit
Surety = Literal["sure", "likely", "possible"]
SURETIES: Final[tuple[Surety, ...]] = ("sure", "likely", "possible")

#: Kinds of differences, the words of which never change.
Code = Literal[
    "missing-here",
    "missing-there",
    "count-differs",
    "estimated-here",
    "unknown-here",
    "model-alias",
    "model-differs",
    "day-edge",
    "rounding",
    "partial-there",
    "price-differs",
]
#: Kinds that are no fault of either side's books: what they explain does not count against the tolerance.
HARMLESS: Final = frozenset(("model-alias", "day-edge", "rounding", "partial-there"))


class Cause(msgspec.Struct):
    """Why a part of a difference is there."""

    code: Code
    sure: Surety
    words: str
    #: the part, by figure of the book: ours less theirs
    amounts: list[int]
    #: calls, where they are known; ours less theirs
    calls: int | None = None


class Pair(msgspec.Struct):
    """Both sides of one page."""

    key: Key
    here: Here
    there: There
    #: figures that are compared; the others are within them
    told: list[bool]
    #: of both sides, folded
    ours: list[int]
    theirs: list[int]
    #: what no cause explains yet
    rest: list[int]
    causes: list[Cause] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return any(self.rest)

    @property
    def difference(self) -> list[int]:
        return [our - their for our, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def calls(self) -> int | None:
        """Calls by which the sides differ; None: the other one does not tell how many it has."""
        return None if self.there.unsaid else self.here.calls - self.there.requests

    def explain(self, cause: Cause) -> None:
        """A part of the rest has its cause."""
        self.causes.append(cause)
        self.rest = [rest - amount for rest, amount in zip(self.rest, cause.amounts, strict=True)]

    def folded(self, counts: list[int]) -> list[int]:
        """A vector of either side, with what is not told within what is."""
        return _folded(counts, self.told)

    @property
    def misnamed(self) -> bool:
        """Whether the sides name different models."""
        return any(cause.code == "model-differs" for cause in self.causes)

    @property
    def beyond(self) -> list[int]:
        """The difference without what is harmless."""
        found = self.difference
        for cause in self.causes:
            if cause.code in HARMLESS:
                found = [rest - amount for rest, amount in zip(found, cause.amounts, strict=True)]
        return found


class Compared(msgspec.Struct):
    """One book."""

    book: Book
    #: by time and name; pages whose time is covered
    pairs: list[Pair]
    #: our pages beside what is covered, for calls near the edge
    beside: dict[Key, Here]
    #: by provider the last period of which the other side tells anything: exports go on with empty ones
    last: dict[str, int]
    #: providers and models of which there is a call of ours, at whatever time
    went: frozenset[tuple[str, str]]


def compare(book: Book) -> Compared:
    """Pairs of all pages of a book, not explained yet."""
    told = _told(book)
    _unite(book, told)
    pairs, beside = [], {}
    last: dict[str, int] = {}
    for key, page in sorted(book.pages.items()):
        last.setdefault(key.provider, key.period)
        if page.there.rows:
            last[key.provider] = max(last[key.provider], key.period)
        if not book.calendars[key.provider].touches(key.period):
            beside[key] = page.here
            continue
        which = told[key.provider]
        ours, theirs = _folded(page.here.sums, which), _folded(page.there.sums, which)
        rest = [our - their for our, their in zip(ours, theirs, strict=True)]
        pairs.append(Pair(key, page.here, page.there, which, ours, theirs, rest))
    went = frozenset((key.provider, key.family) for key, page in book.pages.items() if page.here.calls)
    return Compared(book, pairs, beside, last, went)


def _told(book: Book) -> dict[str, list[bool]]:
    """By provider the figures that its export has."""
    # A class that some rows tell and others do not cannot be compared either.
    told: dict[str, list[bool]] = defaultdict(lambda: [True] * len(book.figures))
    for key, page in book.pages.items():
        told[key.provider] = [a and b for a, b in zip(told[key.provider], page.there.told, strict=True)]
    return told


def _folded(counts: list[int], told: list[bool]) -> list[int]:
    counts = list(counts)
    if len(counts) > 1:
        for part, whole in FOLDS:
            if not told[part]:
                counts[whole] += counts[part]
                counts[part] = 0
    return [count if each else 0 for count, each in zip(counts, told, strict=True)]


def _unite(book: Book, told: dict[str, list[bool]]) -> None:
    """Gives models that only the other side has, and whose figures are all those of one that only we have, its name."""
    ours: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
    theirs: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
    for key, page in book.pages.items():
        if book.calendars[key.provider].touches(key.period):
            if page.here.calls:
                ours[key.provider, key.family][key.period] = _folded(page.here.sums, told[key.provider])
            if page.there.rows:
                theirs[key.provider, key.family][key.period] = _folded(page.there.sums, told[key.provider])
    lonely = [name for name in ours if name not in theirs]
    for provider, family in sorted(theirs):
        figures = theirs[provider, family]
        if (provider, family) in ours or not any(any(sums) for sums in figures.values()):
            continue
        same = [name for name in lonely if name[0] == provider and ours[name] == figures]
        if len(same) == 1:
            lonely.remove(same[0])
            for period in figures:
                page = book.pages.pop(Key(provider, period, family))
                book.pages[Key(provider, period, same[0][1])].there = page.there
