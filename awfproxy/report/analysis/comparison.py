"""Two analyses side by side: what became more, what less, what is new.

Rules: a change is what is now less what was before; as a share it is of what was before.  What is known only in part on
one side has no known change.  The same thresholds hold for both.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from awfproxy.report.analysis.amounts import Amounts
from awfproxy.report.analysis.analysis import Analysis, Finding

State = Literal["new", "gone", "more", "less", "same"]
#: models that are told apart in a comparison, those with the greatest change
MODELS_MAX: Final = 20

#: where there was no call before
NOTHING_BEFORE: Final = "There are no token usage records to compare with: what was before is not known."

_NOTHING: Final = Amounts()


class Compared(msgspec.Struct, frozen=True):
    """One thing before and now."""

    name: str | None
    before: Amounts
    now: Amounts


class ComparedFinding(msgspec.Struct, frozen=True):
    code: str
    state: State
    before: Finding | None
    now: Finding | None


class Comparison:
    """What changed.

    :param before: what it is compared with
    """

    def __init__(self, before: Analysis, now: Analysis) -> None:
        self.whole = Compared(None, before.whole, now.whole)
        earlier, later = dict(before.places.by(1)), dict(now.places.by(1))
        models = [
            Compared(name, earlier.get(name, _NOTHING), later.get(name, _NOTHING))
            for name in sorted({*earlier, *later}, key=lambda name: (name is None, name or ""))
        ]
        models.sort(key=_change)
        self.models = models[:MODELS_MAX]
        codes = [finding.code for finding in now.findings]
        codes += [finding.code for finding in before.findings if finding.code not in codes]
        self.findings = [_compared(code, before.finding(code), now.finding(code)) for code in codes]

    @property
    def of_money(self) -> bool:
        """Whether costs are compared: tokens are only where no call has a price, before or now."""
        sides = (self.whole.before, self.whole.now)
        return any(side.calls > side.unpriced for side in sides)

    @property
    def increase(self) -> float | None:
        """By which share it costs more than before, or uses more tokens where nothing has a price, of what is known;
        infinite where that was 0, and None where there was no call before, or none that has a price."""
        before, now = self.whole.before, self.whole.now
        if not before.calls or (self.of_money and before.nothing_priced):
            return None
        earlier, later = (before.pico, now.pico) if self.of_money else (before.tokens, now.tokens)
        if earlier:
            return later / earlier - 1
        return math.inf if later else 0.0

    @property
    def known(self) -> bool:
        """Whether both sides are known in whole, and so the increase."""
        before, now = self.whole.before, self.whole.now
        if self.of_money:
            return before.priced_whole and now.priced_whole
        return not (before.unknown or now.unknown)


def _change(each: Compared) -> tuple[int, int]:
    """For sorting: what changed most comes first."""
    return -abs(each.now.pico - each.before.pico), -abs(each.now.tokens - each.before.tokens)


def _compared(code: str, before: Finding | None, now: Finding | None) -> ComparedFinding:
    state: State
    if before is None:
        state = "new"
    elif now is None:
        state = "gone"
    else:
        earlier, later = _weight(before), _weight(now)
        state = "more" if later > earlier else "less" if later < earlier else "same"
    return ComparedFinding(code, state, before, now)


def _weight(finding: Finding) -> tuple[int, int, int, int]:
    amounts = finding.amounts
    return amounts.saved_pico, amounts.saved_tokens, amounts.tokens, finding.cases
