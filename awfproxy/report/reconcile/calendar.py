"""The periods by which two sides are compared: days or hours, as the export has them.

Rules: a day begins where the export's days do, which is midnight UTC unless its buckets say otherwise.  Only what an
export covers is compared.  Times are seconds since the epoch, ends not included.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from awfproxy.report.reconcile.used import DAY, HOUR

#: seconds around the edge of a period within which a call may be counted on its other side: providers do not say which
#: moment of a call counts, and a call may run for ten minutes
EDGE: Final = 600


class Calendar:
    """Periods of one provider.

    :param length: `DAY` or `HOUR`
    :param offset: seconds after midnight UTC at which days begin
    :param times: what is covered, begins and ends
    :param cut: ends of coverage after which more may be missing
    """

    def __init__(
        self, length: int, offset: int, times: Iterable[tuple[int, int]], cut: Iterable[int] = (), *, whole: bool = True
    ) -> None:
        self.length = length
        self.offset = offset if length == DAY else 0
        given = [(begin, end) for begin, end in times if begin < end]
        found = sorted((self._down(begin), self._up(end)) if whole else (begin, end) for begin, end in given)
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in found:
            if self._ends and begin <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._begins.append(begin)
                self._ends.append(end)
        #: periods after which the export may go on
        self.cut = {self.period(end - 1) for end in cut}

    def period(self, time: int) -> int:
        """The number of the period in which a time is."""
        return (time - self.offset) // self.length

    def into(self, time: int) -> int:
        """Seconds since the period began."""
        return (time - self.offset) % self.length

    def covers(self, time: int) -> bool:
        """Whether the other side tells of that time."""
        place = bisect_right(self._begins, time) - 1
        return place >= 0 and time < self._ends[place]

    def touches(self, period: int) -> bool:
        """Whether the other side tells of any of that period."""
        begin = period * self.length + self.offset
        place = bisect_right(self._begins, begin + self.length - 1) - 1
        return place >= 0 and begin < self._ends[place]

    def label(self, period: int) -> str:
        """``2026-01-31``, ``2026-01-31T17:00Z``."""
        text = datetime.fromtimestamp(period * self.length + self.offset, UTC).isoformat()
        return text[:10] if self.length == DAY and not self.offset else f"{text[:16]}Z"

    def span(self) -> tuple[str, str] | None:
        """Beginning and end of all that is covered, ``2026-01-31T17:00Z``; None: nothing is."""
        if not self._begins:
            return None
        first, last = (datetime.fromtimestamp(time, UTC).isoformat() for time in (self._begins[0], self._ends[-1]))
        return f"{first[:16]}Z", f"{last[:16]}Z"

    def within(self, since: int | None, until: int | None) -> Calendar:
        """The same, with what is not wholly between two times left out."""
        times = []
        for begin, end in zip(self._begins, self._ends, strict=True):
            begin = begin if since is None or since <= begin else self._up(since)
            end = end if until is None or until >= end else self._down(until)
            times.append((begin, end))
        result = Calendar(self.length, self.offset, times, whole=False)
        result.cut = self.cut
        return result

    def _down(self, time: int) -> int:
        return time - self.into(time)

    def _up(self, time: int) -> int:
        return time + -(time - self.offset) % self.length


def offset_of(widths: Iterable[tuple[int, int]], length: int) -> int | str:
    """Seconds after midnight UTC at which days begin, or why these buckets cannot be compared by such periods."""
    widths = set(widths)
    longest = max((width for width, _ in widths), default=0)
    if longest > DAY:
        return f"has buckets of {longest / DAY:g} days; export days"
    if longest > length:
        return f"has buckets of {longest / HOUR:g} hours; --by hour needs those of an hour"
    offsets = {offset for width, offset in widths if width == DAY}
    if len(offsets) > 1:
        return "has days that begin at different times; export it in UTC"
    return offsets.pop() if offsets else 0
