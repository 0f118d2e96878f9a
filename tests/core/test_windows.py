"""Calendar windows: laws over all periods and moments, named edges of the calendar, clocks that are set back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.windows import DAY, PERIODS, STEP_BACK, WEEK, Period, Windows, window_end, window_start

periods = st.sampled_from(PERIODS)
#: from the year 1 to the year 9998, fractions too
moments = st.floats(-62_135_500_000, 253_300_000_000, allow_nan=False)


def epoch(text: str) -> float:
    """Seconds of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def said(start: int) -> str:
    """A window's start, to be read."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start)).strftime("%Y-%m-%d %H:%M:%S")


@given(periods, moments)
def test_a_moment_is_within_its_window(period: Period, moment: float) -> None:
    """start <= t < end."""
    start = window_start(period, moment)
    assert start <= moment < window_end(period, start)


@given(periods, moments)
def test_windows_follow_each_other_without_gap(period: Period, moment: float) -> None:
    """The end is the start of the next, and the second before it is still in this one."""
    start = window_start(period, moment)
    end = window_end(period, start)
    assert window_start(period, end) == end
    assert window_start(period, end - 1) == start
    assert window_start(period, start) == start


@given(periods, moments, moments)
def test_later_moments_are_in_later_windows(period: Period, one: float, other: float) -> None:
    """Monotone."""
    early, late = sorted((one, other))
    assert window_start(period, early) <= window_start(period, late)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_starts_are_those_of_the_calendar(moment: datetime) -> None:
    """As `datetime` reckons: midnight, Monday, the 1st."""
    moment = moment.replace(tzinfo=UTC)
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    for period, day in (
        ("day", midnight),
        ("week", midnight - timedelta(days=moment.weekday())),
        ("month", midnight.replace(day=1)),
    ):
        assert said(window_start(period, seconds)) == day.strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("day", "2024-02-29 23:59:59.999", "2024-02-29", "2024-03-01"),
        ("day", "2024-12-31 23:59:59", "2024-12-31", "2025-01-01"),
        ("week", "2024-12-31 12:00:00", "2024-12-30", "2025-01-06"),
        ("week", "2024-03-03 23:59:59", "2024-02-26", "2024-03-04"),  # a Sunday, over a leap day
        ("week", "2024-03-04 00:00:00", "2024-03-04", "2024-03-11"),  # a Monday
        ("week", "1970-01-01 00:00:00", "1969-12-29", "1970-01-05"),
        ("month", "2024-02-29 00:00:00", "2024-02-01", "2024-03-01"),
        ("month", "2023-02-28 23:59:59", "2023-02-01", "2023-03-01"),
        ("month", "1900-02-28 12:00:00", "1900-02-01", "1900-03-01"),  # no leap year
        ("month", "2000-02-29 12:00:00", "2000-02-01", "2000-03-01"),  # one
        ("month", "2025-12-31 23:59:59", "2025-12-01", "2026-01-01"),
    ],
)
def test_edges_of_the_calendar(period: Period, moment: str, start: str, end: str) -> None:
    """Leap days, ends of years, the epoch."""
    found = window_start(period, epoch(moment))
    assert (said(found)[:10], said(window_end(period, found))[:10]) == (start, end)


@given(periods, st.floats(0, 10**10), st.lists(st.floats(-3 * WEEK, 3 * WEEK), max_size=20))
def test_a_process_is_never_far_from_the_clock(period: Period, begin: float, steps: list[float]) -> None:
    """Whatever the clock does, the window is the clock's, or begins at most `STEP_BACK` after the clock."""
    windows = Windows(period, begin)
    now = begin
    for step in steps:
        now += step
        start = windows.at(now)
        assert start == window_start(period, now) or 0 < start - now <= STEP_BACK
        assert (windows.start, windows.end) == (start, window_end(period, start))


@given(periods, st.floats(0, 10**10), st.lists(st.floats(-STEP_BACK / 20, 2 * DAY), max_size=20))
def test_small_steps_back_never_bring_back_a_window(period: Period, begin: float, steps: list[float]) -> None:
    """A process that has begun a window stays in it while a clock is set back by less than `STEP_BACK` in all."""
    windows = Windows(period, begin)
    now, last = begin, windows.start
    for step in steps:
        now += step
        start = windows.at(now)
        assert start >= last
        last = start


def test_a_clock_set_back_at_midnight() -> None:
    """Small steps are not followed, large ones are, and the time that comes is met as usual."""
    midnight = int(epoch("2026-03-01 00:00:00"))
    windows = Windows("day", midnight - 1)
    assert windows.at(midnight) == midnight
    assert windows.at(midnight - 2) == midnight
    assert windows.at(midnight - STEP_BACK) == midnight
    assert windows.at(midnight - STEP_BACK - 1) == midnight - DAY
    assert windows.at(midnight) == midnight
    assert windows.at(midnight + 40 * DAY) == midnight + 40 * DAY
    # the clock had been wrong by a month: it is not waited for
    assert windows.at(midnight + 5) == midnight
