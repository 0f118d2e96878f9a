"""Sums of what findings are about: tokens and pico-dollars, at stake and saved.

Rules: whole numbers, so that no order of adding shows.  Of one call never more is at stake than it used and cost, and
never more saved than is at stake.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

#: who has a part of a finding: run, model, turn; None: not said
Place = tuple[str | None, str | None, str | None]
#: places of one finding that are told apart; then `OTHERS` takes what is new
PLACES_MAX: Final = 4_096
OTHERS: Final = "(others)"


class Claim(NamedTuple):
    """What one finding says of one call."""

    tokens: int
    pico: int
    saved_tokens: int
    saved_pico: int


class Amounts(msgspec.Struct):
    """Claims, added up."""

    #: calls that claims were about
    calls: int = 0
    tokens: int = 0
    pico: int = 0
    saved_tokens: int = 0
    saved_pico: int = 0
    #: of the calls those whose model has no price: their money is not in the sums
    unpriced: int = 0
    #: of the others those that cost more than the sum has: not all of their tokens were reported, or have a price;
    #: like the next counted where calls are (by place), not where findings claim a part of one
    least: int = 0
    #: calls that did not report all tokens
    unknown: int = 0

    def add(self, claim: Claim, *, priced: bool) -> None:
        """One more."""
        self.calls += 1
        self.tokens += claim.tokens
        self.pico += claim.pico
        self.saved_tokens += claim.saved_tokens
        self.saved_pico += claim.saved_pico
        self.unpriced += not priced

    def merge(self, other: Amounts) -> None:
        """All of another sum."""
        self.calls += other.calls
        self.tokens += other.tokens
        self.pico += other.pico
        self.saved_tokens += other.saved_tokens
        self.saved_pico += other.saved_pico
        self.unpriced += other.unpriced
        self.least += other.least
        self.unknown += other.unknown

    @property
    def priced_whole(self) -> bool:
        """Whether the money is all that the calls cost."""
        return not (self.unpriced or self.least)

    @property
    def nothing_priced(self) -> bool:
        """Whether there are calls, and none of them has a price."""
        return 0 < self.calls == self.unpriced

    def part(self, count: int, whole: int) -> Amounts:
        """That share of the tokens and the money, rounded down."""
        return Amounts(
            self.calls,
            self.tokens * count // whole,
            self.pico * count // whole,
            self.saved_tokens * count // whole,
            self.saved_pico * count // whole,
            self.unpriced,
            self.least,
            self.unknown,
        )


class Places:
    """Amounts by place, at most `PLACES_MAX` of them."""

    def __init__(self) -> None:
        self.amounts: dict[Place, Amounts] = {}

    def at(self, place: Place) -> Amounts:
        """Those of one place."""
        found = self.amounts.get(place)
        if found is None:
            if len(self.amounts) >= PLACES_MAX:
                place = (OTHERS, OTHERS, OTHERS)
            found = self.amounts.setdefault(place, Amounts())
        return found

    def sum(self) -> Amounts:
        """Of all places."""
        whole = Amounts()
        for amounts in self.amounts.values():
            whole.merge(amounts)
        return whole

    def merge(self, other: Places) -> None:
        """All of another's."""
        for place, amounts in other.amounts.items():
            self.at(place).merge(amounts)

    def part(self, count: int, whole: int) -> Places:
        """That share of each."""
        scaled = Places()
        scaled.amounts = {place: amounts.part(count, whole) for place, amounts in self.amounts.items()}
        return scaled

    def by(self, member: int) -> list[tuple[str | None, Amounts]]:
        """Summed by run (0), model (1) or turn (2), the most money saved first, then the most tokens."""
        found: dict[str | None, Amounts] = {}
        for place, amounts in self.amounts.items():
            found.setdefault(place[member], Amounts()).merge(amounts)
        return sorted(found.items(), key=lambda each: (*worth(each[1]), each[0] is None, each[0] or ""))


def worth(amounts: Amounts) -> tuple[int, int, int, int]:
    """For sorting: what is worth most comes first."""
    return -amounts.saved_pico, -amounts.saved_tokens, -amounts.pico, -amounts.tokens
