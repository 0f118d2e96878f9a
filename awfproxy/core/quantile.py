"""A running quantile of whole numbers, in fixed memory.

Numbers are sorted into bins whose widths grow with the numbers: `STEPS` bins to each doubling, so that a number is told
from its neighbours to a sixteenth of an octave (4.4 %).  Old numbers fade: all weights are halved whenever `MEMORY`
have come, which leaves the last some hundred with a say.  The answer is the upper edge of the bin that the quantile
lies in, and found anew after each number by a walk from where it was: O(1) amortised.
"""

from __future__ import annotations

from math import log2
from typing import Final

#: bins to a doubling
STEPS: Final = 16
#: numbers above 2^40 (10^12) count as that
TOP: Final = 40
BINS: Final = STEPS * TOP + 2
#: numbers after which weights are halved
MEMORY: Final = 256
#: the part of the numbers that is to be at or below the answer
SHARE: Final = 0.95


class Quantile:
    """The `SHARE` quantile of the numbers seen lately."""

    __slots__ = ("_at", "_below", "_bins", "_seen", "value", "weight")

    def __init__(self) -> None:
        self._bins = [0.0] * BINS
        self._seen = 0
        #: how many numbers have a say, the faded ones in part
        self.weight = 0.0
        #: the quantile, too large by at most a bin; 0 before the first number
        self.value = 0
        #: bin of the quantile, and the weight of all bins before it
        self._at = 0
        self._below = 0.0

    def add(self, number: int, weight: float = 1.0) -> None:
        """Another number; negative ones count as 0."""
        at = bin_of(number)
        self._bins[at] += weight
        self.weight += weight
        if at < self._at:
            self._below += weight
        self._seen += 1
        if self._seen >= MEMORY:
            self._fade()
        before = self._at
        self._walk()
        if self._at != before or not self.value:
            self.value = edge(self._at)

    def _fade(self) -> None:
        self._bins = [weight / 2 for weight in self._bins]
        self.weight = sum(self._bins)
        self._below = sum(self._bins[: self._at])
        self._seen = MEMORY // 2

    def _walk(self) -> None:
        goal = self.weight * SHARE
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
    return 1 + int(log2(number) * STEPS)


def edge(at: int) -> int:
    """The largest number in a bin."""
    return 0 if at == 0 else int(2 ** (at / STEPS))
