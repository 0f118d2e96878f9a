"""Everything that the page shows, in one pass over the records.

Rules: what is shown is what the other reports say: totals are those of `awf logs token-usage`, requests those of
`awf logs summary`, turns those of `awf logs turns`, findings those of `awf logs analyze`.  Only the times
(`timeline`) are the page's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Final

from awfproxy.report.html.timeline import Timeline
from awfproxy.report.html.turn_file import TurnFile
from awfproxy.report.summary import Summary
from awfproxy.report.sums import Totals
from awfproxy.report.token_usage import TokenUsage
from awfproxy.report.totals import Grouped, filled

if TYPE_CHECKING:
    from awfproxy.report.buckets import Bucket
    from awfproxy.report.costs import Costs
    from awfproxy.report.filters import Filters
    from awfproxy.report.rows import Counted

#: what calls are told apart by; each has a table of its own if there is anything to tell
LABELS: Final = ("run", "user", "feature", "port")


class _Watched(Grouped):
    """Groups that show every call to the timeline too."""

    def __init__(self, costs: Costs | None, timeline: Timeline) -> None:
        super().__init__(LABELS, costs)
        self._timeline = timeline

    def count(self, rows: Iterable[Counted], plain: bool) -> list[tuple[Bucket, Counted]]:
        whole = [filled(row) for row in rows]
        apart = super().count(whole, plain)
        special = {id(row) for _, row in apart}
        for row in whole:
            self._timeline.count(row, special=id(row) in special)
        return apart

    def price(self, bucket: Bucket, row: Counted, line: bytes) -> None:
        before, least = bucket.cost, bucket.least
        super().price(bucket, row, line)
        self._timeline.price(row, bucket.cost - before, bucket.least - least)


class Gathered:
    """The figures of the page.

    :param costs: how calls are priced; None: nothing is said of money
    :param filters: which calls
    """

    def __init__(self, costs: Costs | None = None, filters: Filters | None = None) -> None:
        self.timeline = Timeline(costs)
        self.summary = Summary(costs, filters)
        self.usage: TokenUsage = self.summary.usage
        self.usage.grouped = _Watched(costs, self.timeline)
        self.turns = TurnFile()

    @property
    def priced(self) -> bool:
        """Whether anything is said of money."""
        return self.usage.costs is not None

    @property
    def found(self) -> bool:
        """Whether there is anything to show."""
        return self.summary.found

    def read(
        self,
        files: Sequence[str],
        turns: Sequence[str] = (),
        stdin: IO[bytes] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """All records.

        :param files: of requests and token usage
        :param turns: files of turns
        """
        self.summary.read(files, stdin, progress)
        if turns:
            self.turns.read(turns)

    def by(self, label: str) -> list[tuple[str | None, Totals]]:
        """Totals by one of `LABELS`, the dearest first; where nothing has a price, the largest."""
        place = LABELS.index(label)
        found: dict[str | None, Totals] = {}
        for key, totals in self.usage.grouped.groups():
            found.setdefault(key[place], Totals()).merge(totals)
        return sorted(found.items(), key=lambda each: (*worth(each[1]), each[0] is None, each[0] or ""))


def worth(totals: Totals) -> tuple[int, int]:
    """For sorting: what cost most comes first."""
    return -totals.cost.known, -totals.total.known
