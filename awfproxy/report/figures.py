"""Figures as people read them, with what is not known of them.

Rules: a figure of which a part was not reported is a least one (`≥1,234`), one that nobody reported is `?`.  Neither is
ever shown as 0.
"""

from __future__ import annotations

from typing import Final

from awfproxy.report.costs import PICO
from awfproxy.report.sums import Sum

UNKNOWN: Final = "?"
LEAST: Final = "≥"
#: what a group is called whose calls do not say the name
NOT_SAID: Final = "(not said)"
#: the line that explains the signs
LEGEND: Final = f"{LEAST}: some calls did not report this figure; {UNKNOWN}: none did."

#: dollars below which cents are too coarse, and those that four digits cannot show
_SMALL: Final = 0.1
_LEAST_SHOWN: Final = 0.0001
#: digits after the point of JSON's dollars: nano-dollars
_DIGITS: Final = 9


def count(total: Sum) -> str:
    """A whole number."""
    return _known(total, f"{total.known:,}")


def money(total: Sum) -> str:
    """Pico-dollars, in dollars."""
    return _known(total, dollars(total.known))


def dollars(pico: int) -> str:
    """``$1,234.57``, ``$0.0123``; never $0 for what is not 0."""
    value = pico / PICO
    if value >= _SMALL or not pico:
        return f"${value:,.2f}"
    return f"<${_LEAST_SHOWN}" if value < _LEAST_SHOWN else f"${value:.4f}"


def usd(total: Sum) -> float | None:
    """Dollars for programs."""
    return None if total.value is None else round(total.known / PICO, _DIGITS)


def share(part: float | None) -> str:
    """Of 0 to 1; never 0 % or 100 % for what is near it."""
    if part is None:
        return UNKNOWN
    if 0 < part < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= part < 1 else f"{part:.1%}"


def some_of(names: list[str], most: int) -> str:
    """``a, b and 3 more``."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest:,} more"


def _known(total: Sum, text: str) -> str:
    if total.value is None:
        return UNKNOWN
    return f"{LEAST}{text}" if total.unknown else text
