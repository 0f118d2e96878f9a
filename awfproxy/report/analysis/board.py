"""What is found, added up.

Rules: of one call, only the finding that claims most counts in the total, figure by figure; what groups of calls claim
counts there only in calls where nothing else claims anything.  So the total is never more than was used, and what it
leaves out is left out on the safe side.  It is never less than the largest finding.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Final

import msgspec

from awfproxy.report.analysis.amounts import Amounts, Claim, Place, Places
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Step
from awfproxy.report.escaping import short

#: cases of one finding that are kept to be shown, those that are worth most
EVIDENCE_MAX: Final = 20

Figures = Mapping[str, int | str]


class Evidence(msgspec.Struct, frozen=True):
    """One case."""

    when: str | None
    place: Place
    conversation: str | None
    #: the calls that it is about, or the first of them
    request_ids: tuple[str, ...]
    #: percent
    sure: int
    tokens: int
    saved_tokens: int
    #: pico-dollars; None: no price
    saved_pico: int | None
    #: by name: counts, seconds, names of tools and models, causes
    figures: Figures
    #: requests that it is about, where no tokens tell how much it weighs
    requests: int = 0

    @property
    def rank(self) -> tuple[int, int, int, int, str, tuple[str, ...]]:
        """What is worth most comes first."""
        return (*worth_of(self), -self.requests, self.when or "", self.request_ids)


class Found:
    """One finding, while it grows."""

    def __init__(self) -> None:
        self.cases = 0
        #: the sum of the cases' confidences, in percent
        self.sure = 0
        self.amounts = Amounts()
        self.places = Places()
        self.evidence: list[Evidence] = []

    def case(self, step: Step, claim: Claim, sure: int, figures: Figures, others: tuple[Step, ...] = ()) -> None:
        """One more case, whose main call is `step`."""
        evidence = self.evidence
        if len(evidence) == EVIDENCE_MAX and worth_of(claim) > worth_of(evidence[-1]):
            # Most cases of many are not among those that are shown.
            self.cases += 1
            self.sure += sure
        else:
            self.add(evidence_of(step, claim, sure, figures, others))

    def add(self, evidence: Evidence) -> None:
        """One more case."""
        self.cases += 1
        self.sure += evidence.sure
        if len(self.evidence) < EVIDENCE_MAX or evidence.rank < self.evidence[-1].rank:
            insort(self.evidence, evidence, key=lambda each: each.rank)
            del self.evidence[EVIDENCE_MAX:]


class Board:
    """All findings."""

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self._union = Amounts()

    def claim(self, code: str, step: Step, claim: Claim, sure: int, *others: Step, **figures: int | str) -> None:
        """A case that is one call.

        :param sure: percent
        :param others: calls that belong to it and of which nothing is claimed
        """
        found = self._of(code)
        found.amounts.add(claim, priced=step.priced)
        found.places.at(step.place).add(claim, priced=step.priced)
        found.case(step, claim, sure, figures, others)
        step.most = claim if step.most is None else Claim(*map(max, step.most, claim))

    def conclude(self, group: Group, sure: int, part: tuple[int, int] | None = None, **figures: int | str) -> None:
        """A case that is a group of calls: it is a finding.

        :param part: numerator and denominator of the share of what was claimed that holds; None: all
        """
        if group.example is None:
            return
        amounts, places, free = group.amounts, group.places, group.free
        if part is not None:
            amounts, places, free = amounts.part(*part), places.part(*part), free.part(*part)
        found = self._of(group.code)
        found.amounts.merge(amounts)
        found.places.merge(places)
        whole = Claim(amounts.tokens, amounts.pico, amounts.saved_tokens, amounts.saved_pico)
        found.case(group.example, whole, sure, {"calls": amounts.calls, **figures})
        self._union.merge(free)

    def finish(self, step: Step) -> None:
        """Nothing more is claimed of this call."""
        if step.most is not None:
            self._union.add(step.most, priced=step.priced)
        elif step.several is not None:
            group, claim = step.several[0] if len(step.several) == 1 else max(step.several, key=_size)
            group.free.add(claim, priced=step.priced)
        # The group may keep the call as its example: not the other way round too.
        step.several = None

    def total(self) -> Amounts:
        """What all findings come to, nothing counted twice."""
        total = msgspec.structs.replace(self._union)
        for found in self.found.values():
            for name in ("tokens", "pico", "saved_tokens", "saved_pico"):
                setattr(total, name, max(getattr(total, name), getattr(found.amounts, name)))
        return total

    def _of(self, code: str) -> Found:
        return self.found.setdefault(code, Found())


def worth_of(case: Claim | Evidence) -> tuple[int, int, int]:
    """For sorting: what is worth most comes first."""
    return -(case.saved_pico or 0), -case.saved_tokens, -case.tokens


def evidence_of(step: Step, claim: Claim, sure: int, figures: Figures, others: tuple[Step, ...] = ()) -> Evidence:
    """A case whose main call is `step`."""
    ids = (each.row.request_id for each in (step, *others))
    hints = step.hints
    conversation = step.row.conversation
    if hints is not None:
        conversation = hints.session or conversation or hints.conversation_hash
    return Evidence(
        step.end or None,
        step.place,
        None if conversation is None else short(conversation),
        tuple(short(each) for each in ids if each is not None),
        sure,
        claim.tokens,
        claim.saved_tokens,
        claim.saved_pico if step.priced else None,
        dict(figures),
    )


def _size(each: tuple[Group, Claim]) -> tuple[int, int, int, str]:
    group, claim = each
    return claim.saved_pico, claim.saved_tokens, claim.tokens, group.code
