"""What a call is charged, by how it ended: the whole table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import Budget
from awfproxy.core.counts import Usage
from awfproxy.core.settlement import NOTHING, Spent, due, late

LEARNED = Budget(enabled=True)
STRICT = Budget(enabled=True, mode="strict")
RESERVED = 1000


def usage(given: int | None = 100, made: int | None = 20, read: int = 0, write: int = 0) -> Usage:
    """Counts of Anthropic's kind, whose input has no cache in it."""
    return Usage(given, made, read, write, None, False, {})


@pytest.mark.parametrize(
    ("what", "spent", "strict", "learned"),
    [
        ("reported", Spent(usage=usage(), final=True, sent=True, status=200), 120, 120),
        ("reported, beside an error's status", Spent(usage=usage(), final=True, sent=True, status=500), 120, 120),
        ("more than was reserved", Spent(usage=usage(2000, 5), final=True, sent=True, status=200), 2005, 2005),
        ("never handed over", Spent(), 0, 0),
        ("never handed over, with an estimate", Spent(delivered=70), 0, 0),
        ("an error without usage", Spent(sent=True, status=400), 0, 0),
        ("an overloaded provider", Spent(sent=True, status=529), 0, 0),
        ("cut before a head", Spent(sent=True, delivered=70), 1000, 70),
        ("cut in the middle", Spent(sent=True, status=200, delivered=80), 1000, 80),
        ("cut, some reported", Spent(usage=usage(100, 1), sent=True, status=200, delivered=150), 1000, 150),
        ("cut, more reported", Spent(usage=usage(100, 60), sent=True, status=200, delivered=150), 1000, 160),
        ("cut, beyond what was reserved", Spent(usage=usage(1500, 1), sent=True, status=200), 1501, 1501),
        ("cut, nobody can say", Spent(sent=True, status=200, delivered=None), 1000, 1000),
        ("an error with some reported", Spent(usage=usage(90, 1), sent=True, status=500), 1000, 91),
        ("only what it reports, and nothing", Spent(sent=True, status=200, only_reported=True), 0, 0),
        ("work in the background begins", Spent(sent=True, status=200, delivered=0), 1000, 0),
    ],
)
def test_the_table(what: str, spent: Spent, strict: int, learned: int) -> None:
    """Every way out, in both modes."""
    assert due(STRICT, RESERVED, spent) == strict, what
    assert due(LEARNED, RESERVED, spent) == learned, what


def test_what_counts() -> None:
    """``count = "all"`` adds the cache where the input has none of it."""
    spent = Spent(usage=usage(100, 20, 7, 3), final=True, sent=True)
    assert due(LEARNED, 0, spent) == 120
    assert due(Budget(enabled=True, count="all"), 0, spent) == 130


def test_work_that_is_shown_finished() -> None:
    """A learned budget is charged then; of a strict one the number that was reserved at the beginning goes off."""
    spent = Spent(usage=usage(), final=True, late=True, sent=True, status=200)
    assert late(LEARNED, 0, spent) == 120
    assert late(STRICT, 0, spent) == 120
    assert late(Budget(enabled=True, mode="strict", unbounded=100), 0, spent) == 20
    assert late(Budget(enabled=True, mode="strict", unbounded=500), 0, spent) == 0


@given(
    st.integers(0, 10**6),
    st.builds(
        Spent,
        usage=st.none() | st.builds(usage, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6)),
        sent=st.booleans(),
        status=st.sampled_from([None, 200, 400, 500]),
        delivered=st.none() | st.integers(0, 10**6),
    ),
)
def test_nothing_reported_is_given_away(reserved: int, spent: Spent) -> None:
    """A call is charged at least what was reported; and a strict budget never less than a learned one would be, as
    long as nobody delivers more than was reserved."""
    for budget in (LEARNED, STRICT):
        if spent.sent:
            assert due(budget, reserved, spent) >= spent.tokens(budget.count)
        assert due(budget, reserved, NOTHING) == 0
    if (spent.delivered or 0) <= reserved:
        assert due(STRICT, reserved, spent) >= due(LEARNED, reserved, spent)
