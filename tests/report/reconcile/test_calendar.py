"""Periods: what is covered, and where they begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.reconcile.calendar import Calendar, offset_of
from awfproxy.report.reconcile.used import DAY, HOUR
from tests.report.reconcile.exported import START

_times = st.integers(START, START + 30 * DAY)


@given(st.integers(0, DAY - 1), _times, st.lists(st.tuples(_times, _times), max_size=5))
def test_a_period_is_covered_as_its_moments_are(offset: int, time: int, spans: list[tuple[int, int]]) -> None:
    """Whole periods: what covers one moment of a period covers all of it."""
    calendar = Calendar(DAY, offset, [(min(span), max(span)) for span in spans])
    period = calendar.period(time)
    begin = period * DAY + offset
    assert begin <= time < begin + DAY and calendar.into(time) == time - begin
    assert calendar.covers(time) == calendar.covers(begin) == calendar.covers(begin + DAY - 1) == calendar.touches(period)
    assert calendar.covers(time) == any(
        calendar.period(min(span)) <= period <= calendar.period(max(span) - 1) for span in spans if span[0] != span[1]
    )


@given(_times, _times, _times)
def test_within_only_whole_periods(time: int, since: int, until: int) -> None:
    """Nothing outside of the two times, and all periods that are wholly between them."""
    calendar = Calendar(DAY, 0, [(START, START + 30 * DAY)]).within(since, until)
    begin = time - time % DAY
    assert calendar.covers(time) == (since <= begin and begin + DAY <= until and begin < START + 30 * DAY)


def test_offsets() -> None:
    """Days of one beginning; never longer than what is compared."""
    assert offset_of({(DAY, 0), (HOUR, 7_200)}, DAY) == 0
    assert offset_of({(DAY, 25_200)}, DAY) == 25_200
    for widths, length in (({(DAY, 0), (DAY, 25_200)}, DAY), ({(7 * DAY, 0)}, DAY), ({(DAY, 0)}, HOUR)):
        assert isinstance(offset_of(widths, length), str)


def test_labels() -> None:
    """A day by its date, unless it begins elsewhere; an hour by its beginning."""
    day = Calendar(DAY, 0, [])
    assert day.label(day.period(START)) == "2026-03-01" and day.span() is None
    later = Calendar(DAY, 25_200, [(START + 25_200, START + 25_200 + DAY)])
    assert later.label(later.period(START + 25_200)) == "2026-03-01T07:00Z"
    assert later.span() == ("2026-03-01T07:00Z", "2026-03-02T07:00Z")
    hour = Calendar(HOUR, 25_200, [])
    assert hour.label(hour.period(START + 7_300)) == "2026-03-01T02:00Z"
