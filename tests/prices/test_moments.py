"""When a price holds: days and times of the day as the library has them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from genai_prices.types import StartDateConstraint, TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.prices.moments import ALWAYS, Span, span_of

#: seconds since the epoch, from 1970 to 2100
moments = st.floats(0, 4_102_444_800, allow_nan=False)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-7))])


@given(moments, st.dates(date(1971, 1, 1), date(2099, 1, 1)))
def test_from_a_day_on(at: float, day: date) -> None:
    """As the library decides it."""
    active = StartDateConstraint(start_date=day).active(datetime.fromtimestamp(at, UTC))
    assert span_of(StartDateConstraint(start_date=day)).holds(at) == active


@given(moments.map(int), st.times().map(lambda of_day: of_day.replace(microsecond=0)), st.times(), zones)
def test_times_of_the_day(at: int, start: time, end: time, zone: timezone | None) -> None:
    """Over midnight too, in any zone, as the library decides it."""
    constraint = TimeOfDateConstraint(
        start_time=start.replace(tzinfo=zone), end_time=end.replace(microsecond=0, tzinfo=zone)
    )
    active = constraint.active(datetime.fromtimestamp(at, UTC))
    assert span_of(constraint).holds(at) == active


@pytest.mark.parametrize("at", [-1e9, 0.0, 1.8e9])
def test_without_a_condition_always(at: float) -> None:
    """No constraint is one that always holds."""
    assert span_of(None) == ALWAYS
    assert Span().holds(at)


@given(moments.map(int), st.integers(0, 3599), st.sampled_from([0, 8, 16, 23]), st.sampled_from([0, 15, 30]))
def test_an_hourly_one_holds_for_whole_hours(at: int, later: int, hour: int, minute: int) -> None:
    """At both ends of the day's times, and from a day on."""
    of_day = Span(start=hour * 3600.0 + minute * 60, end=12 * 3600.0)
    dated = span_of(StartDateConstraint(start_date=date(2026, 3, 1)))
    assert ALWAYS.hourly and dated.hourly and of_day.hourly == (not minute)
    begun = at - at % 3600
    for span in (dated, *([of_day] if of_day.hourly else [])):
        assert span.holds(begun) == span.holds(begun + later)
