"""Times of records and of people: one meaning, whatever the form."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.times import CANONICAL, Hours, canonical, comparable, end_of_span, moment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timestamp", "in_hour"),
    [
        ("2026-01-31T17:05:06.789Z", "2026-01-31T17:00Z"),
        ("2026-02-01T00:30:00+02:00", "2026-01-31T22:00Z"),
        ("2026-01-31T17:05:06", "2026-01-31T17:00Z"),
        ("2026-01-31T17:05:06Z", "2026-01-31T17:00Z"),
        ("yesterday", None),
        ("2026-13-31T17:05:06.789Z", None),
        ("", None),
        (None, None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_hours_and_days_are_utc(timestamp: str | None, in_hour: str | None) -> None:
    """Whatever zone the writer was in, and at the second look as at the first."""
    hours = Hours()
    for _ in range(2):
        assert hours.hour(timestamp) == in_hour
        assert hours.day(timestamp) == (in_hour[:10] if in_hour else None)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_canonical_texts_compare_as_their_times(one: datetime, other: datetime) -> None:
    """To the millisecond, so that filters can compare texts."""
    texts = [canonical(each.isoformat()) for each in (one, other)]
    times = [each.replace(microsecond=each.microsecond // 1000 * 1000) for each in (one, other)]
    assert all(text is not None and len(text) == CANONICAL for text in texts)
    assert (str(texts[0]) < str(texts[1])) == (times[0] < times[1])
    assert moment(texts[0]) == times[0].replace(tzinfo=UTC)


#: 24 characters that end in Z, and yet another form; and what they are
ALIKE = {
    "2026-10-15 10:00:00.000Z": "2026-10-15T10:00:00.000Z",
    "2026-10-15T10:00:00,000Z": "2026-10-15T10:00:00.000Z",
    "2026-10-15T103000.12345Z": "2026-10-15T10:30:00.123Z",
    "20261015T103000.1234567Z": "2026-10-15T10:30:00.123Z",
    "2026-W42-4T10:00:00.000Z": "2026-10-15T10:00:00.000Z",
    "2026-10-15T10:99:00.000Z": None,
    "2026-10-15T24:00:00.000Z": None,
    "2026-13-15T10:00:00.000Z": None,
}


@pytest.mark.parametrize(("text", "meant"), ALIKE.items())
def test_another_form_of_the_same_length(text: str, meant: str | None) -> None:
    """Is read as what it is, and tells nothing of the hour that it begins like."""
    assert len(text) == CANONICAL and text.endswith("Z")
    assert comparable(text) == canonical(text) == meant
    hours = Hours()
    assert hours.hour(text) == (meant and f"{meant[:13]}:00Z")
    assert hours.hour("2026-10-15T10:05:00.000Z") == "2026-10-15T10:00Z"


@given(st.datetimes().map(lambda when: when.isoformat(timespec="milliseconds")[:23] + "Z") | st.text(max_size=30))
def test_a_text_that_compares_is_the_canonical_one(text: str) -> None:
    """But for days that no month has, which are not looked for."""
    assert comparable(text) in (canonical(text), text)
    if canonical(text) is not None:
        assert comparable(text) == canonical(text)


@given(st.text(max_size=30))
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing raises."""
    Hours().day(text)
    assert canonical(text) is None or len(canonical(text) or "") == CANONICAL
    end_of_span(text, NOW)


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)),
     ("7d", timedelta(days=7)), (" 2W ", timedelta(weeks=2))],
)  # fmt: skip
def test_how_long_ago(text: str, ago: timedelta) -> None:
    """Counted from now."""
    assert end_of_span(text, NOW) == canonical((NOW - ago).isoformat())


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
        ("2026-01-31T17:00Z", "2026-01-31T17:00:00.000Z"),
        ("2026-01-31T17:00:00+01:00", "2026-01-31T16:00:00.000Z"),
        ("999999w", None),
        ("-1d", None),
        ("soon", None),
    ],
)
def test_ends_of_spans(text: str, end: str | None) -> None:
    """ISO 8601, in UTC where nothing else is said."""
    assert end_of_span(text, NOW) == end
