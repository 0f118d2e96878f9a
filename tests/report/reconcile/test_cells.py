"""Cells: what is surely the provider's figure is read, all else is refused with a reason."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.fields import COUNT_MAX
from awfproxy.report.costs import PICO
from awfproxy.report.reconcile.cells import Wrong, checked_count, count_of, money_of, time_of


@given(st.integers(0, COUNT_MAX))
def test_a_count_is_read_in_each_way_of_writing_it(count: int) -> None:
    """Plain, with thousands, as the dashboard's float."""
    assert count_of(str(count)) == count_of(f" {count:,} ") == count_of(f"{count}.0") == count


@pytest.mark.parametrize("text", ["-1", "1.5", "1,23", "12,34", "0x10", "1_000", "=1+1", "nan", "١٢", "9" * 19, "1 000"])
def test_what_is_no_count(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Wrong, match="is no count"):
        count_of(text)


@pytest.mark.parametrize("text", ["1.2E+05", "1,2e5", "3e10"])
def test_a_count_that_a_spreadsheet_has_rounded(text: str) -> None:
    """It would be off by thousands."""
    with pytest.raises(Wrong, match="rounded by a spreadsheet"):
        count_of(text)


@given(st.text() | st.text("0123456789.,-eE+:TZ "))
def test_no_text_raises_anything_else(text: str) -> None:
    """A figure, None, or the reason; and what is quoted shows."""
    for read in (count_of, time_of, lambda cell: money_of(cell, Decimal(1))):
        said = ""
        try:
            read(text)
        except Wrong as error:
            said = str(error)
        assert len(said) < 300 and said.isprintable()


@pytest.mark.parametrize("count", [-1, 1.5, COUNT_MAX + 1, 1e300])
def test_what_is_no_count_in_json(count: float) -> None:
    """A float is one only if it is whole."""
    with pytest.raises(Wrong):
        checked_count(count)


def test_money_knows_how_well_it_is_known() -> None:
    """Half of the last digit, and never more than half a cent."""
    assert money_of("0.06", Decimal(1)) == (6 * PICO // 100, PICO // 200)
    assert money_of("$12", Decimal(1)) == (12 * PICO, PICO // 200)
    assert money_of("123.78912", Decimal("0.01")) == (1_237_891_200_000, 50_000)
    assert money_of("-0.5", Decimal(1)) == (-PICO // 2, PICO // 200)
    assert money_of(" ", Decimal(1)) is None


def test_times_are_utc_unless_they_say_otherwise() -> None:
    """Seconds, days, hours, zones."""
    midnight = 1_772_323_200
    for text in ("2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01 01:00:00+01:00", str(midnight), f"{midnight}.0"):
        assert time_of(text) == midnight
    for text in ("03/01/2026", "1772323200000", "12", "2026-02-30", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(Wrong):
            time_of(text)
