"""Two analyses side by side: what became more, what less, what is new.

Rules: a change is what is now less what was before; as a share it is of what was before, and where that was nothing
there is none.  The same thresholds hold for both.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from awfproxy.report.analysis.amounts import Amounts
from awfproxy.report.analysis.analysis import Analysis, Finding

State = Literal["new", "gone", "more", "less", "same"]
#: models that are told apart in a comparison, those with the greatest change
MODELS_MAX: Final = 20

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
    def increase(self) -> float | None:
        """By which share it costs more than before, or uses more tokens where nothing has a price; None: there was
        nothing before."""
        before, now = self.whole.before, self.whole.now
        if before.pico:
            return now.pico / before.pico - 1
        return now.tokens / before.tokens - 1 if before.tokens else None


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
