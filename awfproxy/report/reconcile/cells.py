"""Texts of an export's cells as counts, money and times.

Rules: what is not surely the figure that the provider wrote is refused with a reason (`Wrong`): a count with an
exponent was rounded by a spreadsheet, and a comma may be a decimal one.  Times without a zone are UTC, as the providers
document their exports.  An empty cell is None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from awfproxy.core.fields import COUNT_MAX
from awfproxy.report.costs import PICO
from awfproxy.report.escaping import short, visible

#: characters of a cell that is read as a figure or a time
FIGURE_MAX: Final = 64
#: dollars of one row: more than any provider has ever billed in a day
DOLLARS_MAX: Final = 10**9
#: pico-dollars by which an amount may be rounded: half a cent
SLACK_MAX: Final = PICO // 200
#: seconds since the epoch of 2010-01-01 and 2100-01-01: outside of them a number is no time of a call
_FIRST, _LAST = 1_262_304_000, 4_102_444_800

_WHOLE: Final = re.compile(r"\d{1,18}|\d{1,3}(?:,\d{3}){1,5}", re.ASCII)
_DECIMAL: Final = re.compile(r"(-?)\$?(\d{1,18}(?:\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_ROUNDED: Final = re.compile(r"\d+(?:[.,]\d+)?[eE]\+?\d+", re.ASCII)


class Wrong(ValueError):
    """The cell is not what it should be; the text says why, with the beginning of what stands there."""


def count_of(text: str) -> int | None:
    """A count: ``1234``, ``1,234``, ``1234.0``.

    :raises Wrong: it is none
    """
    text = text.strip()
    if not text:
        return None
    whole = text[:-2] if text.endswith(".0") else text
    if len(text) > FIGURE_MAX or not _WHOLE.fullmatch(whole):
        if _ROUNDED.fullmatch(text[:FIGURE_MAX]):
            raise Wrong(f"{_quoted(text)} was rounded by a spreadsheet; export it anew")
        raise Wrong(f"{_quoted(text)} is no count")
    return checked_count(int(whole.replace(",", "")))


def checked_count(count: int | float | None) -> int | None:
    """A count of JSON, where it may be a float.

    :raises Wrong: it is none
    """
    if count is None:
        return None
    if not 0 <= count <= COUNT_MAX or count != int(count):
        raise Wrong(f"{_quoted(str(count))} is no count")
    return int(count)


def money_of(text: str, unit: Decimal) -> tuple[int, int] | None:
    """Money in pico-dollars, and by how much it may be off: half of the last digit, at most `SLACK_MAX`.

    :param unit: dollars in one of what is written
    :raises Wrong: it is no amount
    """
    text = text.strip()
    if not text:
        return None
    found = _DECIMAL.fullmatch(text) if len(text) <= FIGURE_MAX else None
    if found is None:
        raise Wrong(f"{_quoted(text)} is no amount of money")
    value = Decimal(found[1] + found[2]) * unit
    if abs(value) > DOLLARS_MAX:
        raise Wrong(f"{_quoted(text)} is more money than anybody pays")
    digits = len(found[2].partition(".")[2])
    return round(value * PICO), min(round(unit * PICO / (2 * Decimal(10) ** digits)), SLACK_MAX)


def time_of(text: str) -> int | None:
    """Seconds since the epoch: a number of them, a day, or ISO 8601.

    :raises Wrong: it is no time
    """
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) > FIGURE_MAX:
            raise ValueError
        whole = text[:-2] if text.endswith(".0") else text
        if whole.isascii() and whole.isdecimal() and len(whole) >= 10:
            return checked_time(int(whole))
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        return checked_time(int(when.timestamp()))
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, Wrong) else Wrong(f"{_quoted(text)} is no time") from None


def checked_time(seconds: int | float) -> int:
    """Seconds since the epoch that a call can have been made at.

    :raises Wrong: they are not
    """
    if not _FIRST <= seconds < _LAST:
        raise Wrong(f"{_quoted(str(seconds))} is no time of a call (seconds since 1970)")
    return int(seconds)


def is_day(text: str) -> bool:
    """Whether a time is a whole day: ``2026-01-31``."""
    return len(text.strip()) == 10 and text.strip()[4:5] == "-"


def _quoted(text: str) -> str:
    return f"“{visible(short(text))[:FIGURE_MAX]}”"
