"""The closed list of outcomes."""

from awfproxy.core import outcomes


def test_every_outcome_has_a_constant_of_its_name() -> None:
    """A word without a constant would be typed by hand somewhere, and mistyped."""
    assert len(outcomes.OUTCOMES) == 9
    for word in outcomes.OUTCOMES:
        assert getattr(outcomes, word.upper()) == word
