"""Calls that a smaller model, or less reasoning, might do as well: candidates, by model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import MODEL_DOWNGRADE, REASONING_HEAVY
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Step
from awfproxy.report.analysis.thresholds import Thresholds
from awfproxy.report.rows import Counted

if TYPE_CHECKING:
    from awfproxy.report.costs import Costs, Rates

#: percent: both are guesses about work that nobody has seen
SURE: Final = 30
#: models that are told apart
MODELS_MAX: Final = 1_000
#: tokens read for each one generated, in the call by which two models' prices are compared
READ_FOR_EACH: Final = 10

#: By a model's name, the names of smaller ones of its family, the newest first; the first that has a price counts.
_SIBLINGS: Final = (
    (re.compile(r"claude.*(?:opus|sonnet)"), ("claude-haiku-4-5",)),
    (re.compile(r"(?P<own>gpt-5[.\d]*)(?!.*(?:mini|nano))"), ("{own}-mini", "gpt-5-mini")),
    (re.compile(r"(?P<own>gpt-4(?:\.1|o))(?!.*(?:mini|nano|audio|realtime|transcribe|tts|image))"), ("{own}-mini",)),
    (re.compile(r"o[13](?!-mini)(?:-|$)"), ("o4-mini",)),
    (re.compile(r"gemini-(?:[\d.]+)-pro"), ("gemini-3-flash-preview", "gemini-2.5-flash")),
)


class Models:
    """The calls of each model."""

    def __init__(self, limits: Thresholds, costs: Costs | None) -> None:
        self._limits = limits
        self._costs = costs
        #: by provider and model: the sibling's name and rates
        self._siblings: dict[tuple[str | None, str], tuple[str, Rates] | None] = {}
        self._small: dict[tuple[str | None, str], Group] = {}
        self._thought: dict[tuple[str | None, str], Group] = {}

    def add(self, step: Step) -> None:
        """One more call that came to its end, with the provider's final figures."""
        if step.model is None:
            return
        limits = self._limits
        key = (step.row.provider, step.model)
        if step.reasoning:
            if step.reasoning >= max(limits.reasoning_tokens, limits.reasoning_share * (step.output or 0)):
                self._reasoned(key, step, step.reasoning)
            return
        hints = step.hints
        if (
            step.rates is not None
            and hints is not None
            and hints.messages is not None
            and not hints.tools_bytes
            and not hints.tools_called
            and step.prompt is not None
            and step.prompt <= limits.downgrade_prompt
            and step.output is not None
            and step.output <= limits.downgrade_output
        ):
            self._might_be_smaller(key, step, step.rates)

    def _reasoned(self, key: tuple[str | None, str], step: Step, reasoning: int) -> None:
        group = _group(self._thought, key, REASONING_HEAVY)
        if group is not None:
            money = 0 if step.rates is None else reasoning * step.rates.reasoning
            share = self._limits.reasoning_saved
            group.claim(step, step.claim(reasoning, money, int(reasoning * share), int(money * share)))

    def _might_be_smaller(self, key: tuple[str | None, str], step: Step, rates: Rates) -> None:
        if key not in self._siblings:
            if len(self._siblings) >= MODELS_MAX:
                return
            self._siblings[key] = self._sibling(step, rates)
        sibling = self._siblings[key]
        group = None if sibling is None else _group(self._small, key, MODEL_DOWNGRADE)
        if sibling is not None and group is not None:
            other = sibling[1].of(1, step.fresh, step.read or 0, step.written or 0, 0, step.output or 0, 0)
            group.claim(step, step.claim(step.tokens, step.cost, 0, step.cost - other))

    def _sibling(self, step: Step, rates: Rates) -> tuple[str, Rates] | None:
        """The smaller model and its rates; None: there is none, or it is not that much cheaper."""
        assert self._costs is not None  # or there would be no rates
        assert step.model is not None
        for pattern, names in _SIBLINGS:
            match = pattern.search(step.model.lower())
            if match is None:
                continue
            for name in names:
                found = name.format(**match.groupdict())
                other = self._costs.rates(Counted(provider=step.row.provider, model=found, timestamp=step.row.when))
                if other is not None:
                    dear = READ_FOR_EACH * rates.input + rates.output
                    cheap = READ_FOR_EACH * other.input + other.output
                    return (found, other) if dear >= self._limits.downgrade_ratio * cheap else None
        return None

    def conclude(self, board: Board) -> None:
        """All calls have come."""
        for key, group in sorted(self._small.items(), key=_by_name):
            sibling = self._siblings[key]
            if sibling is not None and group.amounts.calls >= self._limits.downgrade_calls:
                board.conclude(group, SURE, smaller_model=sibling[0])
        for _, group in sorted(self._thought.items(), key=_by_name):
            if group.amounts.calls >= self._limits.reasoning_calls:
                board.conclude(group, SURE)


def _group(groups: dict[tuple[str | None, str], Group], key: tuple[str | None, str], code: str) -> Group | None:
    group = groups.get(key)
    if group is None and len(groups) < MODELS_MAX:
        group = groups[key] = Group(code)
    return group


def _by_name(each: tuple[tuple[str | None, str], Group]) -> tuple[str, str]:
    return each[0][0] or "", each[0][1]
