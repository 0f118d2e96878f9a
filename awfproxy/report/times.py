"""Times of records: their UTC day and hour, and the ends of a span as people write them.

Rules: the proxy writes ``2026-01-02T03:04:05.678Z`` (`CANONICAL` characters), and such texts, and only they, compare as
their times do; any other ISO 8601 form is read too, only slower.  What is no time is None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

#: characters of a time as the proxy writes it
CANONICAL: Final = 24
#: characters up to the hour, ``2026-01-02T03``; up to ten minutes
HOUR: Final = 13
TEN_MINUTES: Final = 15

#: The canonical form, as far as it can be told without a calendar: whether the day is in its month.
_FORM: Final = re.compile(
    "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}[.][0-9]{3}Z"
).fullmatch
_RELATIVE: Final = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def canonical(text: str | None) -> str | None:
    """A record's time as the proxy writes it; one without a zone is in UTC."""
    when = moment(text)
    return None if when is None else when.isoformat(timespec="milliseconds")[:23] + "Z"


def comparable(text: str | None) -> str | None:
    """The same, and faster: what has that form already is as it stands, even on a day that its month has not."""
    return text if text is not None and _FORM(text) is not None else canonical(text)


def moment(text: str | None) -> datetime | None:
    """A record's time; in UTC."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):  # no time at all; or one of another zone at the very ends of the calendar
        return None


def end_of_span(text: str, now: datetime) -> str | None:
    """One end of a span of time, canonical: ISO 8601 (in UTC where no zone is given, a day alone is its beginning), or
    how long ago (`90s`, `30m`, `24h`, `7d`, `2w`); None: it is neither."""
    relative = _RELATIVE.fullmatch(text.strip().lower())
    if relative is None:
        return canonical(text.strip())
    try:
        when = now - timedelta(**{_UNITS[relative[2]]: int(relative[1])})
    except OverflowError:
        return None
    return when.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


class Hours:
    """The hours and days of many records: each hour is looked into once."""

    #: hours that are remembered, eleven years of them; then they are looked into anew
    MOST: Final = 100_000

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def hour(self, text: str | None) -> str | None:
        """The UTC hour, ``2026-01-31T17:00Z``."""
        text = comparable(text)
        if text is None:
            return None
        head = text[:HOUR]
        known = self._known
        if head in known:
            return known[head]
        if len(known) >= self.MOST:
            known.clear()
        hour = known[head] = None if moment(text) is None else f"{head}:00Z"
        return hour

    def day(self, text: str | None) -> str | None:
        """The UTC day, ``2026-01-31``."""
        hour = self.hour(text)
        return None if hour is None else hour[:10]
