"""Percentiles of durations, in memory that does not grow with their number.

Rules: values are counted in bins, each `STEP` times as wide as the one before; a percentile is the middle of its bin,
at most `ERROR` beside the true one.  Adding is commutative.
"""

from __future__ import annotations

from math import ceil, log
from typing import Final

STEP: Final = 1.02
#: of a percentile, as a share of it
ERROR: Final = (STEP - 1) / (STEP + 1)
#: milliseconds: what is less counts as this, what is more than the second as that (a year)
LEAST: Final = 0.001
MOST: Final = 366 * 86_400_000.0

_LOG: Final = log(STEP)


class Percentiles:
    """Durations, in milliseconds."""

    __slots__ = ("_bins", "count", "greatest")

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0
        self.greatest = 0.0

    def add(self, value: float) -> None:
        """One more; it is 0 or more, and a number."""
        at = ceil(log(min(max(value, LEAST), MOST)) / _LOG)
        self._bins[at] = self._bins.get(at, 0) + 1
        self.count += 1
        if value > self.greatest:
            self.greatest = value

    def spread(self) -> list[tuple[float, int]]:
        """How many values there are at about which value, from the least on."""
        return [(STEP**place * 2 / (1 + STEP), self._bins[place]) for place in sorted(self._bins)]

    def at(self, share: float) -> float | None:
        """The least value that so much (0 to 1) of all is at or below; None: there are none."""
        if not self.count:
            return None
        left = max(ceil(share * self.count), 1)
        for place in sorted(self._bins):
            left -= self._bins[place]
            if left <= 0:
                return min(STEP**place * 2 / (1 + STEP), self.greatest)
        return self.greatest
