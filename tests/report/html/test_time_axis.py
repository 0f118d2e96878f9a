"""The axis of time: columns of equal length, without a gap, not too many of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.html.time_axis import COLUMNS_MAX, Step, begin_of, columns, labels, step_of
from awfproxy.report.html.timeline import LENGTHS

TIMES = st.datetimes(timezones=st.just(UTC))
LONG = [length for length in LENGTHS if length]


@given(TIMES, TIMES, st.sampled_from(LONG))
def test_columns_are_whole(one: datetime, other: datetime, length: int) -> None:
    """Every time from the first to the last is in exactly one column; each begins where the one before ends."""
    first, last = min(one, other), max(one, other)
    step = step_of(first, last, length)
    begins = columns(first, last, step)
    assert 1 <= len(begins) <= COLUMNS_MAX
    assert begins[0] == step.begin(first)
    assert begins[-1] == step.begin(last)
    for begin, following in pairwise(begins):
        assert step.next(begin) == following
        assert step.begin(following) == following
        assert step.begin(following - timedelta(microseconds=1)) == begin
    assert len(labels(begins, step)) == len(begins)
    assert len(set(map(step.title, begins))) == len(begins)


@given(TIMES, st.sampled_from(LONG))
def test_a_cut_time_is_not_after_it(when: datetime, length: int) -> None:
    """The beginning of a text is the beginning of a time."""
    begin = begin_of(when.isoformat()[:length])
    assert begin is not None
    assert begin <= when


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-06-01T10:00", "2026-06-01T10:00", "one minute"),
        ("2026-06-01T10:00", "2026-06-01T10:40", "one minute"),
        ("2026-06-01T10:00", "2026-06-01T18:00", "10 minutes"),
        ("2026-06-01T10:00", "2026-06-03T18:00", "one hour"),
        ("2026-06-01T10:00", "2026-06-08T10:00", "3 hours"),
        ("2026-06-01T10:00", "2026-07-15T10:00", "one day"),
        ("2026-01-01T10:00", "2026-12-31T10:00", "one week"),
        ("2020-01-01T10:00", "2024-01-01T10:00", "one month"),
        ("2000-01-01T10:00", "2026-01-01T10:00", "6 months"),
        ("1970-01-01T10:00", "2026-01-01T10:00", "one year"),
    ],
)
def test_lengths(first: str, last: str, words: str) -> None:
    """As short as they can be."""
    begin, end = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (first, last))
    assert step_of(begin, end, LENGTHS[0]).words == words


def test_weeks_begin_on_monday() -> None:
    """1 June 2026 is one."""
    assert Step(604_800).begin(datetime(2026, 6, 7, 23, tzinfo=UTC)) == datetime(2026, 6, 1, tzinfo=UTC)


def test_labels_are_days_where_there_are_enough() -> None:
    """Else whole hours."""
    begins = columns(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 5, tzinfo=UTC), Step(10_800))
    assert [each for each in labels(begins, Step(10_800)) if each] == ["1 Jun", "2 Jun", "3 Jun", "4 Jun", "5 Jun"]
    begins = columns(datetime(2026, 6, 1, 7, 50, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC), Step(600))
    assert [each for each in labels(begins, Step(600)) if each] == ["08:00", "09:00", "10:00", "11:00", "12:00"]


@pytest.mark.parametrize("cut", ["", "2026-13", "never", "2026-06-01T25"])
def test_what_is_no_time(cut: str) -> None:
    """Nothing, and nothing raised."""
    found = begin_of(cut)
    assert found is None or found.year == 1
