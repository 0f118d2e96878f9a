"""Times along a plot: how long a column is, where it begins, and what is written under it.

Rules: columns are as short as they can be with at most `COLUMNS_MAX` of them, and not shorter than the records were cut
(`timeline.LENGTHS`); weeks begin on Monday; all is UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from awfproxy.report.html.timeline import LENGTHS

#: on a phone a column has five pixels then
COLUMNS_MAX: Final = 60

#: words under the columns, if there are so many; else more of them are named
LABELS_LEAST: Final = 4

_DAY: Final = 86_400
#: lengths of a column in seconds, up to a week; then months
_SECONDS: Final = (60, 120, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800)
_MONTHS: Final = (1, 3, 6, 12, 60, 120, 600, 1_200, 12_000)
#: seconds that the beginnings of times stand for
_RESOLUTION: Final = dict(zip(LENGTHS, (60, 600, 3_600, 86_400, 31 * 86_400, 0), strict=True))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: 1970 began on a Thursday
_MONDAY: Final = timedelta(days=4)
_REST: Final = "0001-01-01T00:00"


class Step(NamedTuple):
    """The length of a column."""

    seconds: int
    months: int = 0

    @property
    def words(self) -> str:
        """``one hour``, ``10 minutes``."""
        if self.months:
            many, word = (self.months // 12, "year") if self.months >= 12 else (self.months, "month")
            return f"one {word}" if many == 1 else f"{many} {word}s"
        for seconds, word in ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute")):
            if self.seconds >= seconds:
                many = self.seconds // seconds
                return f"one {word}" if many == 1 else f"{many} {word}s"
        raise ValueError("a column has a length")

    def begin(self, when: datetime) -> datetime:
        """When the column begins that this time is in."""
        if self.months:
            month = (when.year * 12 + when.month - 1) // self.months * self.months
            return datetime(max(month // 12, 1), month % 12 + 1, 1, tzinfo=UTC)
        offset = _MONDAY if self.seconds == _SECONDS[-1] else timedelta()
        since = (when - _EPOCH - offset) // timedelta(seconds=self.seconds)
        return _EPOCH + offset + timedelta(seconds=self.seconds * since)

    def next(self, begin: datetime) -> datetime | None:
        """When the one after it begins; None: beyond the calendar."""
        try:
            if self.months:
                month = (begin.year * 12 + begin.month - 1) // self.months * self.months + self.months
                return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
            return begin + timedelta(seconds=self.seconds)
        except (ValueError, OverflowError):
            return None

    def label(self, begin: datetime) -> str:
        """What is written under a column: the day at its beginning, else the time of the day."""
        if self.months:
            return f"{begin.year}" if self.months >= 12 else f"{begin:%b} {begin.year}"
        midnight = begin.hour == begin.minute == 0
        return f"{begin.day} {begin:%b}" if midnight else f"{begin:%H:%M}"

    def title(self, begin: datetime) -> str:
        """The column's time in full."""
        if self.months:
            return f"{begin.year:04}-{begin.month:02}"
        if self.seconds >= 86_400:
            return f"{begin:%Y-%m-%d}"
        return f"{begin:%Y-%m-%d %H:%M}"


def step_of(first: datetime, last: datetime, length: int) -> Step:
    """The length of columns.

    :param length: characters that times were cut to, of `LENGTHS`
    """
    least = _RESOLUTION[length]
    for seconds in _SECONDS:
        if seconds >= least and (last - first).total_seconds() / seconds < COLUMNS_MAX - 1:
            return Step(seconds)
    spanned = (last.year - first.year) * 12 + last.month - first.month
    return Step(0, next((months for months in _MONTHS if spanned / months < COLUMNS_MAX - 1), _MONTHS[-1]))


def columns(first: datetime, last: datetime, step: Step) -> list[datetime]:
    """The beginnings of all columns, empty ones too."""
    found = []
    begin: datetime | None = step.begin(first)
    while begin is not None and begin <= last:
        found.append(begin)
        begin = step.next(begin)
    return found


def labels(begins: Sequence[datetime], step: Step) -> list[str]:
    """What is written under each column: the beginnings of days, or whole hours, where there are enough of them."""
    names = [step.label(begin) for begin in begins]
    if step.months or step.seconds >= _DAY:
        return names
    for seconds in (_DAY, 21_600, 3_600, 600):
        chosen = [name if _second_of(begin) % seconds == 0 else "" for name, begin in zip(names, begins, strict=True)]
        if sum(map(bool, chosen)) >= LABELS_LEAST:
            return chosen
    return names


def begin_of(cut: str) -> datetime | None:
    """The time of which a cut text is the beginning; None: it is none."""
    try:
        return datetime.fromisoformat(cut + _REST[len(cut) :]).replace(tzinfo=UTC)
    except ValueError:
        return None


def _second_of(begin: datetime) -> int:
    """Of its day."""
    return begin.hour * 3_600 + begin.minute * 60
