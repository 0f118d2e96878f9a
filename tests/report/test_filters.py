"""Filters: everything asked for must hold."""

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.filters import Filters
from awfproxy.report.rows import Row

TIMES = ("2026-01-01T00:00:00.000Z", "2026-01-01T12:00:00.000Z", "2026-01-02T00:00:00.000Z")
rows = st.builds(
    Row,
    timestamp=st.sampled_from([None, *TIMES, "2026-01-01T13:00:00+01:00", "2026-01-01 12:00:00.000Z", "never"]),
    model=st.sampled_from([None, "gpt-4o", "GPT-4o-mini", "claude-x"]),
    run=st.sampled_from([None, "1", "2"]),
)


@given(rows)
def test_nothing_asked_for_is_everything(row: Row) -> None:
    """And says so, so that readers need not ask."""
    filters = Filters()
    assert not filters
    assert filters.wants(row)
    assert filters.facts() == {}


@given(rows, st.sampled_from([None, *TIMES]), st.sampled_from([None, *TIMES]))
def test_a_span_has_its_beginning_and_not_its_end(row: Row, since: str | None, until: str | None) -> None:
    """Adjacent spans share no call; a call without a time is in none."""
    plain = {"2026-01-01T13:00:00+01:00": TIMES[1], "2026-01-01 12:00:00.000Z": TIMES[1], "never": None}
    when = plain.get(row.timestamp or "", row.timestamp)
    expected = when is not None and (since is None or when >= since) and (until is None or when < until)
    assert Filters(since, until).wants(row) == (expected if since or until else True)


@given(rows)
def test_all_that_is_asked_for_holds(row: Row) -> None:
    """One of several values of a kind; small and capital letters of models alike."""
    filters = Filters(model=["gpt-*", "*-x"], members={"run": ["1"], "user": []})
    assert filters.wants(row) == (row.model is not None and row.run == "1")
    assert filters.facts() == {"model": ["gpt-*", "*-x"], "run": ("1",)}


def test_a_pattern_is_a_glob_and_no_expression() -> None:
    """Signs of regular expressions mean themselves; the whole name must fit."""
    assert not Filters(model=["gpt.4o"]).wants(Row(model="gpt-4o"))
    assert not Filters(model=["gpt"]).wants(Row(model="gpt-4o"))
    assert Filters(model=["(+)?"]).wants(Row(model="(+)x"))
