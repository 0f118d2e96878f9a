"""A running quantile of whole numbers, in fixed memory.

Numbers are sorted into bins whose widths grow with the numbers: `STEPS` bins to each doubling, so that a number is told
from its neighbours to a sixteenth of an octave (4.4 %).  Old numbers fade: their weights are halved, beside those of
newer ones, whenever `MEMORY` have come, which leaves the last some hundred with a say.  The answer is the upper edge of
the bin that the quantile lies in, and found anew after each number by a walk from where it was: O(1) amortised.
"""

from __future__ import annotations

from math import floor, log2
from typing import Final

#: bins to a doubling
STEPS: Final = 16
#: numbers above 2^40 (10^12) count as that
TOP: Final = 40
BINS: Final = STEPS * TOP + 2
#: numbers after which weights are halved
MEMORY: Final = 256
#: a number's weight above which all are made small again: so seldom that it costs nothing, and often enough that the
#: errors of sums stay small
ONE_MAX: Final = 2.0**32
#: the part of the numbers that is to be at or below the answer
SHARE: Final = 0.95


class Quantile:
    """The `SHARE` quantile of the numbers seen lately."""

    __slots__ = ("_at", "_below", "_bins", "_one", "_seen", "_total", "value")

    def __init__(self) -> None:
        self._bins = [0.0] * BINS
        self._seen = 0
        #: what a number weighs now: that the newer ones weigh twice as much is what fades the older ones
        self._one = 1.0
        self._total = 0.0
        #: the quantile, too large by at most a bin; 0 before the first number
        self.value = 0
        #: bin of the quantile, and the weight of all bins before it
        self._at = 0
        self._below = 0.0

    @property
    def weight(self) -> float:
        """How many numbers have a say, the faded ones in part."""
        return self._total / self._one

    def add(self, number: int) -> None:
        """Another number; negative ones count as 0."""
        at, here, bins, one = bin_of(number), self._at, self._bins, self._one
        bins[at] += one
        self._total = total = self._total + one
        below = self._below
        if at < here:
            self._below = below = below + one
        self._seen = seen = self._seen + 1
        if not self.value or not below < total * SHARE <= below + bins[here]:
            self._walk()
            self.value = edge(self._at)
        if seen >= MEMORY:
            self._fade()

    def _fade(self) -> None:
        self._seen = MEMORY // 2
        self._one *= 2
        if self._one > ONE_MAX:
            self._bins = [weight / self._one for weight in self._bins]
            self._total = sum(self._bins)
            self._below = sum(self._bins[: self._at])
            self._one = 1.0

    def _walk(self) -> None:
        goal = self._total * SHARE
        bins = self._bins
        while self._at and self._below >= goal:
            self._at -= 1
            self._below -= bins[self._at]
        while self._below + bins[self._at] < goal and self._at < BINS - 1:
            self._below += bins[self._at]
            self._at += 1


def bin_of(number: int) -> int:
    """Which bin a number falls into: 0 has one of its own."""
    if number <= 0:
        return 0
    if number >= 1 << TOP:
        return BINS - 1
    return 1 + floor(log2(number) * STEPS)


def edge(at: int) -> int:
    """The largest number in a bin."""
    return 0 if at == 0 else int(2 ** (at / STEPS))
