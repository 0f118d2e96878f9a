"""Two analyses side by side."""

from __future__ import annotations

import random

from awfproxy.report.analysis.comparison import Comparison
from tests.report.analysis.traffic import Agent, analysed, brooding, growing, overequipped, uncached


def test_findings_are_new_gone_more_less_or_the_same() -> None:
    """By what they would save."""
    dice = random.Random(3)
    grown, equipped, thought = growing(dice), overequipped(dice), brooding(dice)
    before = analysed([*grown, *equipped, *thought])
    now = analysed([*grown[:-2], *thought, *uncached(dice)])
    states = {each.code: each.state for each in Comparison(before, now).findings}
    assert states == {
        "context-growth": "less",
        "unused-tool-schemas": "gone",
        "reasoning-heavy": "same",
        "no-prompt-caching": "new",
    }
    assert {each.code: each.state for each in Comparison(now, before).findings}["context-growth"] == "more"


def test_models_are_compared_by_what_changed_most() -> None:
    """Those that are there only once, too; sums are those of the whole."""
    dice = random.Random(3)
    before, now = analysed(Agent(dice).work(9).records), analysed(brooding(dice))
    comparison = Comparison(before, now)
    assert [each.name for each in comparison.models] == ["gpt-5.2-2025-12-11", "claude-sonnet-4-5-20250929"]
    assert sum(each.now.tokens for each in comparison.models) == comparison.whole.now.tokens
    assert sum(each.before.pico for each in comparison.models) == comparison.whole.before.pico


def test_the_same_records_do_not_differ() -> None:
    """Not in anything."""
    records = growing(random.Random(3))
    comparison = Comparison(analysed(records), analysed(records))
    assert comparison.increase == 0
    assert {each.state for each in comparison.findings} == {"same"}
