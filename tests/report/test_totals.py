"""Sums by group, tested by laws: nothing is lost, order does not matter, unknown stays unknown."""

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.rows import COUNTS, Row
from awfproxy.report.totals import KEYS, Grouped, Totals

counts = st.none() | st.integers(0, 10**9)
names = st.none() | st.sampled_from(["a", "b", "c"])
rows = st.lists(
    st.builds(
        Row,
        provider=names,
        model=names,
        timestamp=st.sampled_from([None, "2026-01-01T10:00:00Z", "2026-01-02T11:00:00Z"]),
        usage_source=st.sampled_from([None, "reported", "partial", "estimated", "made up"]),
        input_tokens=counts,
        output_tokens=counts,
        cache_read_tokens=counts,
        cache_write_tokens=counts,
        reasoning_tokens=counts,
        input_tokens_include_cache=st.none() | st.booleans(),
    ),
    max_size=20,
)
keys = st.lists(st.sampled_from(sorted(KEYS)), unique=True, max_size=3)


def facts(totals: Totals) -> object:
    sums = [(total.known, total.calls, total.unknown) for total in (*totals.sums.values(), totals.total)]
    return totals.calls, sums, dict(totals.sources), totals.cache_hit_rate


@given(rows, keys)
def test_the_groups_make_up_the_whole(several: list[Row], by: list[str]) -> None:
    """Calls, counts and the calls without them: the groups' add up to the total's."""
    grouped = Grouped(by)
    for row in several:
        grouped.add(row)
    groups = [totals for _, totals in grouped.groups()]
    assert sum(totals.calls for totals in groups) == grouped.overall.calls == len(several)
    for name in COUNTS:
        parts = [totals.sums[name] for totals in groups]
        whole = grouped.overall.sums[name]
        assert sum(part.known for part in parts) == whole.known == sum(getattr(row, name) or 0 for row in several)
        assert sum(part.unknown for part in parts) == whole.unknown
        assert whole.calls + whole.unknown == len(several)


@given(rows, keys, st.randoms())
def test_the_order_does_not_matter(several: list[Row], by: list[str], random: object) -> None:
    """Whatever order files are read in, the report is the same."""
    one, other = Grouped(by), Grouped(by)
    for row in several:
        one.add(row)
    random.shuffle(several)  # type: ignore[attr-defined]
    for row in several:
        other.add(row)
    told = [[(key, facts(totals)) for key, totals in grouped.groups()] for grouped in (one, other)]
    assert told[0] == told[1]


@given(rows)
def test_a_sum_that_nobody_reported_has_no_value(several: list[Row]) -> None:
    """None, and never 0."""
    totals = Totals()
    for row in several:
        totals.add(row)
    for name in COUNTS:
        reported = any(getattr(row, name) is not None for row in several)
        assert (totals.sums[name].value is not None) == reported


@given(rows)
def test_the_hit_rate_is_a_share(several: list[Row]) -> None:
    """Between 0 and 1, whatever a provider reports."""
    totals = Totals()
    for row in several:
        totals.add(row)
    assert totals.cache_hit_rate is None or 0 <= totals.cache_hit_rate <= 1


def test_times_stand_in_order_and_the_rest_by_size() -> None:
    """A day's largest group comes first in that day."""
    grouped = Grouped(["day", "model"])
    for when, model, tokens in (("02", "a", 1), ("01", "a", 1), ("02", "b", 5), ("01", "b", 9)):
        grouped.add(Row(timestamp=f"2026-01-{when}T00:00:00Z", model=model, input_tokens=tokens, output_tokens=0))
    order = [key for key, _ in grouped.groups()]
    assert order == [("2026-01-01", "b"), ("2026-01-01", "a"), ("2026-01-02", "b"), ("2026-01-02", "a")]


def test_the_cache_hit_rate_counts_calls_that_tell_both() -> None:
    """A call that does not say how much it read from the cache does not pull the rate down."""
    totals = Totals()
    totals.add(Row(provider="openai", input_tokens=100, cache_read_tokens=50, output_tokens=1))
    totals.add(Row(provider="openai", input_tokens=900, output_tokens=1))
    assert totals.cache_hit_rate == 0.5
