"""What several calls claim together, before it is known whether it is a finding."""

from __future__ import annotations

from awfproxy.report.analysis.amounts import Amounts, Claim, Place, Places
from awfproxy.report.analysis.steps import Step


class Group:
    """Claims of several calls: of one conversation, of one set of tools, of one model.

    :param code: of the finding that it may become
    """

    __slots__ = ("_cell", "_claim", "_place", "code", "example", "free", "places")

    def __init__(self, code: str) -> None:
        self.code = code
        #: of the calls in which no other finding claims anything, or less
        self.free = Amounts()
        self.places = Places()
        #: the call that claims most, the first of several
        self.example: Step | None = None
        self._claim = Claim(-1, -1, -1, -1)
        # Calls of one group mostly have one place, and this is done for most calls.
        self._place: Place | None = None
        self._cell = Amounts()

    @property
    def amounts(self) -> Amounts:
        """Of all its calls."""
        return self.places.sum()

    def claim(self, step: Step, claim: Claim) -> None:
        """One more call, in the order of time.  The board is told with `Step.several` when the call is done with."""
        if step.place != self._place:
            self._place, self._cell = step.place, self.places.at(step.place)
        self._cell.add(claim, priced=step.priced)
        if step.several is None:
            step.several = [(self, claim)]
        else:
            step.several.append((self, claim))
        most = self._claim
        if claim.saved_pico > most.saved_pico or (
            claim.saved_pico == most.saved_pico
            and (claim.saved_tokens, claim.tokens) > (most.saved_tokens, most.tokens)
        ):
            self.example, self._claim = step, claim
