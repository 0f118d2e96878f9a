"""One model by its many names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.reconcile.names import Families, model_of_item


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("claude-haiku-4-5", ["Claude Haiku 4.5", "claude-haiku-4-5-20251001", "claude-haiku-4.5", "claude-haiku-4-5"]),
        ("claude-3-5-sonnet", ["Claude 3.5 Sonnet", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"]),
        ("gpt-4-1", ["gpt-4.1", "gpt-4.1-2025-04-14", "GPT-4.1"]),
        ("ft:gpt-4o:org::abc", ["ft:gpt-4o:org::abc"]),
        ("", ["", None]),
    ],
)
def test_names_of_one_model(family: str, names: list[str | None]) -> None:
    """With a date, as people write it, as a host does."""
    assert {Families().of(name) for name in names} == {family}


def test_other_models_stay_others() -> None:
    """Sizes and versions are no dates."""
    names = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "claude-opus-4-1", "claude-opus-4-5", "ft:gpt-4o:a::b"]
    assert len({Families().of(name) for name in names}) == len(names)


@given(st.text())
def test_any_text_has_a_family(name: str) -> None:
    """Nothing raises, and a remembered answer is the same."""
    families = Families()
    assert families.of(name) == families.of(name) == Families().of(name)


@pytest.mark.parametrize(
    ("item", "model"),
    [
        ("gpt-5.4-2026-03-05, input", "gpt-5.4-2026-03-05"),
        ("gpt-4o-mini-2024-07-18, cached input", "gpt-4o-mini-2024-07-18"),
        ("priority | gpt-5, output, long context", "gpt-5"),
        ("gpt-image-1 text, input", "gpt-image-1"),
        ("gpt-5.6-sol, cache writes", "gpt-5.6-sol"),
        ("web search tool calls", None),
        ("a, input, " + "x" * 300, None),
    ],
)
def test_line_items(item: str, model: str | None) -> None:
    """The model that is billed, or that it is none."""
    assert model_of_item(item) == model
