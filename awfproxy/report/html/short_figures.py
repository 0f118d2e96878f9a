"""Figures where there is little room: along a plot, in a tile.  Tables have them in full."""

from __future__ import annotations

from typing import Final

from awfproxy.report.costs import PICO
from awfproxy.report.figures import LEAST, UNKNOWN, dollars
from awfproxy.report.sums import Sum

_UNITS: Final = ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def short_count(value: float) -> str:
    """``12``, ``1.2k``, ``345M``; three digits."""
    for unit, letter in _UNITS:
        # What would be rounded up to 1,000 of the smaller unit is 1 of this one.
        if value >= unit * 0.9995:
            return f"{value / unit:.3g}".removesuffix(".0") + letter
    return f"{value:.3g}"


def short_sum(total: Sum) -> str:
    """The same, with what is not known of it."""
    if total.value is None:
        return UNKNOWN
    return f"{LEAST if total.unknown else ''}{short_count(total.known)}"


def axis_dollars(pico: float) -> str:
    """Along a plot: as many digits as it takes, and no more."""
    value = pico / PICO
    if value >= 1_000:
        return f"${short_count(value)}"
    return f"${value:.2f}" if value >= 0.1 and value % 1 else f"${value:.3g}"


def least(text: str, unknown: int) -> str:
    """With the sign of a figure that is a least one, if it is."""
    return f"{LEAST}{text}" if unknown else text


def milliseconds(value: float) -> str:
    """``250 ms``, ``1.5 s``, ``2 min``."""
    if value < 1:
        return f"{value:.2g} ms"
    if value < 999.5:
        return f"{value:.3g} ms"
    if value < 119_500:
        return f"{value / 1_000:.3g} s"
    if value < 7_200_000:
        return f"{value / 60_000:.3g} min"
    return f"{value / 3_600_000:.3g} h"


def kept(pico: int) -> str:
    """What the cache saved, or cost."""
    return dollars(pico) if pico >= 0 else f"{dollars(-pico)} more"
