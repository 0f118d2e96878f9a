"""When a published price holds: always, from a day on, or daily between two times.  All in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

_DAY = 86400.0
_HOUR = 3600.0


class Span(NamedTuple):
    """A condition on the time of a call, in seconds since the epoch."""

    #: holds from then on
    first: float = float("-inf")
    #: and daily from the one second of the day up to the other, over midnight where the second is the smaller
    start: float = 0.0
    end: float = _DAY

    @property
    def hourly(self) -> bool:
        """Whether it begins and ends at full hours only."""
        first = 0.0 if self.first == float("-inf") else self.first
        return not any(second % _HOUR for second in (first, self.start, self.end))

    def holds(self, at: float) -> bool:
        if at < self.first:
            return False
        if self.end - self.start == _DAY:
            return True
        now = at % _DAY
        return self.start <= now < self.end if self.start <= self.end else now >= self.start or now < self.end


ALWAYS = Span()


def span_of(constraint: Any) -> Span:
    """The span of a constraint of the library (`published.types`); None: always."""
    if constraint is None:
        return ALWAYS
    if hasattr(constraint, "start_date"):
        return Span(first=midnight(constraint.start_date))
    return Span(start=_second(constraint.start_time), end=_second(constraint.end_time))


def midnight(day: date) -> float:
    """The beginning of a day, in seconds since the epoch."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _second(of_day: time) -> float:
    """Of the day, in UTC; a time without zone is in UTC."""
    offset = of_day.utcoffset()
    seconds = of_day.hour * 3600 + of_day.minute * 60 + of_day.second
    return (seconds - (offset.total_seconds() if offset is not None else 0.0)) % _DAY
