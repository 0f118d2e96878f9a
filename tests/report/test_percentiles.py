"""Percentiles: as near as they say, in memory that does not grow."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.percentiles import ERROR, LEAST, MOST, Percentiles

values = st.lists(st.floats(0.0, MOST), min_size=1, max_size=200)


@given(values, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_is_as_near_as_it_says(several: list[float], share: float) -> None:
    """Beside the value at that place of the sorted ones; what is below a microsecond counts as one."""
    kept = Percentiles()
    for value in several:
        kept.add(value)
    true = max(sorted(several)[max(ceil(share * len(several)), 1) - 1], LEAST)
    found = kept.at(share)
    assert found is not None
    assert abs(max(found, LEAST) - true) <= true * (ERROR + 1e-9) + 1e-12
    assert kept.greatest == max(several)


def test_nothing_has_no_percentile() -> None:
    """None, and never 0."""
    assert Percentiles().at(0.5) is None


def test_memory_is_bounded() -> None:
    """From a microsecond to a year there are so many bins and no more."""
    kept = Percentiles()
    for power in range(-400, 1400):
        kept.add(1.02 ** (power / 1) if power < 1200 else 1e300)
    assert len(kept._bins) < 1700
