"""Calendar windows of budgets: which day, week or month a moment belongs to.

All in UTC: a day begins at 00:00, a week on Monday (ISO 8601), a month on the 1st.  A window is named by its start in
whole seconds since the epoch; a moment belongs to the window whose start it is not before and whose end it is before.
Moments from the year 1 to the year 9998 have windows; beyond them `datetime` raises ValueError or OverflowError.

A clock may be set back.  `Windows` answers for one process: over a small step back (`STEP_BACK`) it stays in the window
it was in, so that a budget does not flicker between two windows at midnight; a clock that is set back further was wrong
before, and is followed.
"""

from __future__ import annotations

from datetime import date
from math import floor
from typing import Final, Literal

Period = Literal["day", "week", "month"]
PERIODS: Final[tuple[Period, ...]] = ("day", "week", "month")
#: the present window of each, in a sentence
PRESENT: Final[dict[Period, str]] = {"day": "today", "week": "this week", "month": "this month"}

DAY: Final = 86_400
WEEK: Final = 7 * DAY
#: `date.toordinal` of 1970-01-01
_EPOCH: Final = date(1970, 1, 1).toordinal()
#: 1970-01-05, the epoch's first Monday
_MONDAY: Final = 4 * DAY

#: seconds a clock may be set back within a window's first moments before it is believed: time servers step a clock by
#: seconds, a machine that was suspended or moved by minutes; what is longer is a clock that had been wrong
STEP_BACK: Final = 600


def window_start(period: Period, epoch: float) -> int:
    """Start of the window that ``epoch`` (seconds since the epoch) is in."""
    whole = floor(epoch)
    if period == "day":
        return whole - whole % DAY
    if period == "week":
        return whole - (whole - _MONDAY) % WEEK
    return _seconds(_day(whole).replace(day=1))


def window_end(period: Period, start: int) -> int:
    """End of the window that begins at ``start``, which is the start of the next one."""
    if period == "day":
        return start + DAY
    if period == "week":
        return start + WEEK
    first = _day(start)
    return _seconds(date(first.year + first.month // 12, first.month % 12 + 1, 1))


def _day(whole: int) -> date:
    return date.fromordinal(_EPOCH + whole // DAY)


def _seconds(day: date) -> int:
    return (day.toordinal() - _EPOCH) * DAY


class Windows:
    """The windows of one period as a process meets them; a look costs two comparisons while the window lasts."""

    __slots__ = ("end", "period", "start")

    def __init__(self, period: Period, epoch: float) -> None:
        self.period: Period = period
        #: of the window that `at` answered last
        self.start = window_start(period, epoch)
        self.end = window_end(period, self.start)

    def at(self, epoch: float) -> int:
        """Start of the window at ``epoch``; never an earlier one than before, but after a step back of over
        `STEP_BACK` seconds from this window's start."""
        if self.start <= epoch < self.end or self.start - STEP_BACK <= epoch < self.start:
            return self.start
        self.start = window_start(self.period, epoch)
        self.end = window_end(self.period, self.start)
        return self.start
