"""The report: our records against a provider's exports, or against agents' logs.

Rules: the other side is read first, then our records in one pass.  Rows are pages of a book, put together as was asked.
A row is beyond the tolerance where what is left of its difference without harmless causes (another name, the edge of a
day, rounding) is a larger part of the larger side than that: of all tokens, each class by its amount, or of the money.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from awfproxy.report.lines import Lines, find_files, size_of
from awfproxy.report.reading import USAGE, USAGE_BUT, Remarks, expected, many
from awfproxy.report.reconcile.agent_usage import AgentUsage, read_agent_usage
from awfproxy.report.reconcile.books import Book
from awfproxy.report.reconcile.calendar import Calendar, offset_of
from awfproxy.report.reconcile.causes import explain, explain_money
from awfproxy.report.reconcile.comparison import SURETIES, Cause, Compared, Pair, compare
from awfproxy.report.reconcile.exports import Exports, Span, read_exports
from awfproxy.report.reconcile.names import Families
from awfproxy.report.reconcile.own import Own
from awfproxy.report.reconcile.used import CLASSES, DAY, HOUR, Faults, Used
from awfproxy.report.seen import Seen

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs
    from awfproxy.report.filters import Filters

#: what rows can be told apart by
KEYS: Final = ("day", "hour", "model")
#: the figure of a book of money
MONEY: Final = ("cost",)


class Label(NamedTuple):
    """What a row is about; None: everything."""

    provider: str
    time: str | None
    model: str | None


class Line:
    """One row: pages put together."""

    def __init__(self, size: int, told: Sequence[bool]) -> None:
        #: figures that the other side tells
        self.told = list(told)
        self.ours = [0] * size
        self.theirs = [0] * size
        self.calls = 0
        #: None: the other side does not tell how many
        self.requests: int | None = 0
        self.names_here: set[str] = set()
        self.names_there: set[str] = set()
        self.unpriced = 0
        #: the sides name different models
        self.misnamed = False
        self._beyond = [0] * size
        self._causes: dict[tuple[str, str, str], Cause] = {}

    def add(self, pair: Pair) -> None:
        """One page more."""
        self.told = [a and b for a, b in zip(self.told, pair.told, strict=True)]
        self.ours = _plus(self.ours, pair.ours)
        self.theirs = _plus(self.theirs, pair.theirs)
        self.calls += pair.here.calls
        if self.requests is not None:
            self.requests = None if pair.there.unsaid else self.requests + pair.there.requests
        self.names_here.update(pair.here.names)
        self.names_there.update(pair.there.names)
        self.unpriced += pair.here.unknown[0] if len(self.ours) == 1 else 0
        self.misnamed |= pair.misnamed
        self._beyond = _plus(self._beyond, pair.beyond)
        for cause in pair.causes:
            same = self._causes.get((cause.code, cause.sure, cause.words))
            if same is None:
                self._causes[cause.code, cause.sure, cause.words] = Cause(
                    cause.code, cause.sure, cause.words, list(cause.amounts), cause.calls
                )
            else:
                same.amounts = _plus(same.amounts, cause.amounts)
                if same.calls is not None:
                    same.calls = None if cause.calls is None else same.calls + cause.calls

    @property
    def difference(self) -> list[int]:
        return [our - their for our, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def causes(self) -> list[Cause]:
        """The largest first."""
        return sorted(
            self._causes.values(),
            key=lambda cause: (-sum(map(abs, cause.amounts)), SURETIES.index(cause.sure), cause.code, cause.words),
        )

    def exceeds(self, tolerance: float) -> bool:
        """Whether the sides differ by more than that part of the larger one, or in the model."""
        larger = max(sum(map(abs, self.ours)), sum(map(abs, self.theirs)))
        return self.misnamed or sum(map(abs, self._beyond)) > tolerance * larger


class Table:
    """The rows of one book, and all of them together by provider."""

    def __init__(self, compared: Compared, by: Sequence[str]) -> None:
        self.figures = compared.book.figures
        self.overflowed = compared.book.overflowed
        self.lines: dict[Label, Line] = {}
        self.totals: dict[str, Line] = {}
        calendars = compared.book.calendars
        families: dict[tuple[str, str], set[str]] = {}
        for pair in compared.pairs:
            names = families.setdefault((pair.key.provider, pair.key.family), set())
            names.update(pair.here.names, pair.there.names)
        for pair in compared.pairs:
            key = pair.key
            time = calendars[key.provider].label(key.period) if {"day", "hour"} & set(by) else None
            model = _name(key.family, families[key.provider, key.family]) if "model" in by else None
            for line in (
                self.lines.setdefault(Label(key.provider, time, model), Line(len(self.figures), pair.told)),
                self.totals.setdefault(key.provider, Line(len(self.figures), pair.told)),
            ):
                line.add(pair)


class Reconciliation:
    """All of it."""

    def __init__(self, by: Sequence[str], tolerance: float, against: str) -> None:
        self.by = tuple(by)
        self.tolerance = tolerance
        #: "provider-export" or "agent-log"
        self.against = against
        self.tokens: Table | None = None
        self.money: Table | None = None
        #: pico-dollars of what an export bills that is no tokens, by what it is
        self.items: dict[str, int] = {}
        #: the time that is compared, by provider, and by "tokens" or "costs": they are in files of their own
        self.spans: dict[tuple[str, str], tuple[str, str]] = {}
        self.faults = Faults()
        self.remarks = Remarks()
        #: records of ours that were read and wanted
        self.calls = 0
        #: whole sentences
        self.notes: list[str] = []
        #: where prices are from; None: no money is compared
        self.prices: str | None = None

    @property
    def tables(self) -> list[Table]:
        return [table for table in (self.tokens, self.money) if table is not None]

    @property
    def found(self) -> bool:
        """Whether there is anything to compare.  Without any record of ours there is not, and there are no tables:
        records that were looked for in the wrong place are not calls that are missing here."""
        return any(table.lines for table in self.tables)

    @property
    def agrees(self) -> bool:
        """Whether anything was compared, every row and every total of it is within the tolerance, and every file could
        be read."""
        lines = [line for table in self.tables for line in (*table.lines.values(), *table.totals.values())]
        return self.found and not self.faults.count and not any(line.exceeds(self.tolerance) for line in lines)


def reconcile_exports(
    paths: Sequence[str],
    exports: Sequence[str],
    by: Sequence[str] = ("day", "model"),
    tolerance: float = 0.0,
    *,
    since: int | None = None,
    until: int | None = None,
    keys: Sequence[str] = (),
    filters: Filters | None = None,
    costs: Callable[[], Costs] | None = None,
    stdin: IO[bytes] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Reconciliation:
    """
    :param paths: files and folders of records, or "-"
    :param exports: files and folders of exports, or "-"
    :param by: names in `KEYS`
    :param tolerance: 0 to 1
    :param since: seconds since the epoch; only what is wholly within is compared
    :param keys: keys and projects whose rows count; none: all
    :param filters: which of our records
    :param costs: makes what prices them, if an export of costs is there
    """
    report = Reconciliation(by, tolerance, "provider-export")
    length = HOUR if "hour" in by else DAY

    def wants(used: Used) -> bool:
        return used.key in keys or used.project in keys

    read = read_exports(exports, stdin, wants if keys else None)
    report.faults = read.faults
    report.notes += read.remarks
    families = Families()
    calendars = {
        costly: _calendars(read, costly, length, report.faults, since, until) for costly in (False, True)
    }
    books = {}
    for costly, figures in ((False, CLASSES), (True, MONEY)):
        if calendars[costly]:
            nameless = {row.provider for row in read.rows if (row.cost is not None) == costly and _nameless(row)}
            books[costly] = Book(figures, calendars[costly], frozenset(nameless))
    for row in read.rows:
        costly = row.cost is not None
        if costly and row.item is not None:
            calendar = calendars[True].get(row.provider)
            if calendar is not None and calendar.covers(row.begin):
                report.items[row.item] = report.items.get(row.item, 0) + (row.cost or 0)
        elif costly in books:
            books[costly].add_theirs(row, families.of(row.model))
    prices = costs() if True in books and costs is not None else None
    own = Own(books.values(), families, prices, filters)
    _read_own(own, paths, stdin, progress, report)
    if report.calls:
        _finish(report, books.get(False), books.get(True), by, agents=False)
    if prices is not None:
        report.prices = prices.description
    return report


def reconcile_logs(
    paths: Sequence[str],
    agent_logs: Sequence[str],
    by: Sequence[str] = ("day", "model"),
    tolerance: float = 0.0,
    *,
    since: int | None = None,
    until: int | None = None,
    filters: Filters | None = None,
    stdin: IO[bytes] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Reconciliation:
    """The same against logs of agents; parameters as for `reconcile_exports`."""
    report = Reconciliation(by, tolerance, "agent-log")
    read: AgentUsage = read_agent_usage(agent_logs, stdin)
    report.notes += read.remarks
    families = Families()
    calendar = Calendar(HOUR if "hour" in by else DAY, 0, read.times, whole=False).within(since, until)
    book = Book(CLASSES, {"": calendar})
    models = set()
    for row in read.rows:
        models.add(families.of(row.model))
        book.add_theirs(row, families.of(row.model))
    own = Own([book], families, None, filters, read.agents, models)
    _read_own(own, paths, stdin, progress, report)
    if read.rows and report.calls:
        _finish(report, book, None, by, agents=True)
    if not read.rows:
        report.notes = [*read.remarks, "There are no calls in the agents' logs."]
    return report


def _nameless(row: Used) -> bool:
    return row.model is None and row.item is None and (row.tells_tokens or bool(row.cost))


def _calendars(
    read: Exports, costly: bool, length: int, faults: Faults, since: int | None, until: int | None
) -> dict[str, Calendar]:
    spans: dict[str, list[Span]] = {}
    for span in read.spans:
        if span.costs == costly:
            spans.setdefault(span.provider, []).append(span)
    found = {}
    for provider, own in spans.items():
        offset = offset_of((width for span in own for width in span.widths), length)
        if isinstance(offset, str):
            faults.add(f"the export of {provider}", offset)
            continue
        times, cut = [(span.begin, span.end) for span in own], [span.end for span in own if span.cut]
        found[provider] = Calendar(length, offset, times, cut).within(since, until)
    return found


def _read_own(
    own: Own,
    paths: Sequence[str],
    stdin: IO[bytes] | None,
    progress: Callable[[int], None] | None,
    report: Reconciliation,
) -> None:
    files = find_files(paths, USAGE, USAGE_BUT)
    lines = Lines(files, stdin, progress)
    take = own.taker(Seen(expected(size_of(files), files)))
    remarks = report.remarks = own.remarks
    for line in lines:
        reason = take(line)
        if reason is not None and not line.isspace():
            remarks.count(reason)
    report.calls = own.calls
    remarks.too_long += lines.too_long
    remarks.troubles += lines.troubles
    report.notes += [f"{many(count, 'call')} of ours not compared: {why}." for why, count in sorted(own.left.items())]


def _finish(report: Reconciliation, tokens: Book | None, money: Book | None, by: Sequence[str], agents: bool) -> None:
    compared = None
    for what, book in (("tokens", tokens), ("costs", money)):
        for provider, calendar in ({} if book is None else book.calendars).items():
            span = calendar.span()
            if span is not None:
                report.spans[provider, what] = span
    if tokens is not None:
        compared = compare(tokens)
        explain(compared, agents)
        report.tokens = Table(compared, by)
    if money is not None:
        of_money = compare(money)
        explain_money(of_money, () if compared is None else compared.pairs)
        report.money = Table(of_money, by)


def _name(family: str, names: set[str]) -> str | None:
    """The name if there is only one, else the comparable one; None: models are not told apart."""
    if not family:
        return None
    return next(iter(names)) if len(names) == 1 else family


def _plus(first: list[int], second: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]
