"""Sums by group, tested by laws: nothing is lost, order does not matter, unknown stays unknown."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report import totals as totals_module
from awfproxy.report.rows import COUNTS, Row
from awfproxy.report.sums import ORDERS, OTHERS, Totals
from awfproxy.report.totals import KEYS, Grouped

counts = st.none() | st.integers(0, 10**9)
names = st.none() | st.sampled_from(["a", "b", "c"])
rows = st.lists(
    st.builds(
        Row,
        provider=names | st.sampled_from(["anthropic", "bedrock", "copilot"]),
        model=names,
        timestamp=st.sampled_from([None, "2026-01-01T10:00:00Z", "2026-01-02T11:00:00Z"]),
        usage_source=st.sampled_from([None, "reported", "partial", "estimated", "made up"]),
        input_tokens=counts,
        output_tokens=counts,
        cache_read_tokens=counts,
        cache_write_tokens=counts,
        reasoning_tokens=counts,
        input_tokens_include_cache=st.none() | st.booleans(),
        unknown=st.none() | st.lists(st.sampled_from([*COUNTS, "status"]), max_size=3).map(tuple),
    ),
    max_size=20,
)
keys = st.lists(st.sampled_from(sorted(KEYS)), unique=True, max_size=3)


def grouped_of(several: list[Row], by: list[str]) -> Grouped:
    grouped = Grouped(by)
    for row in several:
        grouped.add(row)
    grouped.settle()
    return grouped


def known(row: Row, name: str) -> int | None:
    return None if name in (row.unknown or ()) else getattr(row, name)


def facts(totals: Totals) -> object:
    sums = [(total.known, total.calls, total.unknown) for total in (*totals.sums.values(), totals.total)]
    return totals.calls, sums, dict(totals.sources), totals.cache_hit_rate


@given(rows, keys)
def test_the_groups_make_up_the_whole(several: list[Row], by: list[str]) -> None:
    """Calls, counts and the calls without them: the groups' add up to the total's, and that to the rows'."""
    grouped = grouped_of(several, by)
    groups, whole = [totals for _, totals in grouped.groups()], grouped.overall()
    assert sum(totals.calls for totals in groups) == whole.calls == len(several)
    for name in COUNTS:
        parts, total = [each.sums[name] for each in groups], whole.sums[name]
        assert sum(part.known for part in parts) == total.known == sum(known(row, name) or 0 for row in several)
        assert sum(part.unknown for part in parts) == total.unknown
        assert total.unknown == sum(known(row, name) is None for row in several)
        assert total.calls + total.unknown == len(several)
    merged = Totals()
    for each in groups:
        merged.merge(each)
    assert facts(merged) == facts(whole)


@given(rows)
def test_all_tokens_are_those_of_each_row(several: list[Row]) -> None:
    """What a bucket adds up is what each call read and wrote; of a call that did not report both, what it did."""
    for row in several:
        row.forget_unknown()
    total = grouped_of(several, []).overall().total
    known = 0
    for row in several:
        fresh, cached = row.input_tokens, (row.cache_read_tokens or 0) + (row.cache_write_tokens or 0)
        known += row.output_tokens or 0
        known += cached if fresh is None else fresh if row.includes_cache else fresh + cached
    missing = 0
    for row in several:
        needed = {"input_tokens", "output_tokens"}
        if row.provider == "anthropic" and not row.includes_cache and row.usage_source != "estimated":
            needed |= {"cache_read_tokens", "cache_write_tokens"}
        missing += any(getattr(row, name) is None for name in needed)
    assert (total.known, total.unknown) == (known, missing)
    assert (total.value is None) == (missing == len(several) and not known)


@given(rows, keys)
def test_a_count_that_is_absent_is_one_that_is_unknown(several: list[Row], by: list[str]) -> None:
    """However a record says that it does not know."""
    forgotten = [msgspec.structs.replace(row) for row in several]
    for row in forgotten:
        row.forget_unknown()
    told = [
        sorted((str(key), repr(facts(totals))) for key, totals in grouped_of(each, by).groups())
        for each in (several, forgotten)
    ]
    assert told[0] == told[1]


@given(rows, keys, st.randoms())
def test_the_order_does_not_matter(several: list[Row], by: list[str], random: Any) -> None:
    """Whatever order files are read in, the report is the same."""
    one = grouped_of(several, by)
    random.shuffle(several)
    other = grouped_of(several, by)
    told = [[(key, facts(totals)) for key, totals in grouped.groups()] for grouped in (one, other)]
    assert told[0] == told[1]


@given(rows)
def test_a_sum_that_nobody_reported_has_no_value(several: list[Row]) -> None:
    """None, and never 0."""
    whole = grouped_of(several, []).overall()
    for name in COUNTS:
        reported = any(known(row, name) is not None for row in several)
        assert (whole.sums[name].value is not None) == reported


@given(rows)
def test_the_hit_rate_is_a_share(several: list[Row]) -> None:
    """Between 0 and 1, whatever a provider reports."""
    rate = grouped_of(several, []).overall().cache_hit_rate
    assert rate is None or 0 <= rate <= 1


def test_times_stand_in_order_and_the_rest_by_size() -> None:
    """A day's largest group comes first in that day."""
    calls = [
        Row(timestamp=f"2026-01-{when}T00:00:00Z", model=model, input_tokens=tokens, output_tokens=0)
        for when, model, tokens in (("02", "a", 1), ("01", "a", 1), ("02", "b", 5), ("01", "b", 9))
    ]
    order = [key for key, _ in grouped_of(calls, ["day", "model"]).groups()]
    assert order == [("2026-01-01", "b"), ("2026-01-01", "a"), ("2026-01-02", "b"), ("2026-01-02", "a")]


@pytest.mark.parametrize("order", ORDERS)
def test_groups_can_be_sorted(order: str) -> None:
    """Figures from the largest on, what is unknown last; names from a to z."""
    calls = [
        Row(model="a", input_tokens=5, output_tokens=5, cache_read_tokens=1),
        Row(model="c", input_tokens=9, output_tokens=9, cache_read_tokens=9),
        Row(model="b", usage_source="estimated"),
    ]
    found = [key[0] for key, _ in grouped_of(calls, ["model"]).sorted_by(order)]
    assert found == {"calls": ["c", "a", "b"], "name": ["a", "b", "c"], "cost": found}.get(order, ["c", "a", "b"])


def test_the_cache_hit_rate_counts_calls_that_tell_both() -> None:
    """A call that does not say how much it read from the cache does not pull the rate down."""
    calls = [
        Row(provider="openai", input_tokens=100, cache_read_tokens=50, output_tokens=1),
        Row(provider="openai", input_tokens=900, output_tokens=1),
    ]
    assert grouped_of(calls, []).overall().cache_hit_rate == 0.5


def test_names_without_end_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes when there are too many groups goes to one, and that is counted; totals stay right."""
    monkeypatch.setattr(totals_module, "BUCKETS_MAX", 50)
    calls = [Row(model=f"m{number}", provider="p", input_tokens=1, output_tokens=1) for number in range(200)]
    grouped = grouped_of(calls + calls, ["model"])
    assert grouped.overall().total.known == 800
    assert len(grouped.groups()) == 51
    assert grouped.overflowed == 300
    assert (OTHERS,) in [key for key, _ in grouped.groups()]


def test_long_names_are_cut_and_stay_apart() -> None:
    """A megabyte of name, a hundred times."""
    calls = [Row(model="x" * 1_000_000 + str(number), input_tokens=1, output_tokens=1) for number in range(20)]
    found = grouped_of(calls, ["model"]).groups()
    assert len(found) == 20
    assert all(len(key[0] or "") < 300 for key, _ in found)


def test_the_span_of_time() -> None:
    """The hours of the first and the last, in UTC, whatever stands between."""
    calls = [
        Row(timestamp=when, input_tokens=1, output_tokens=1)
        for when in ("2026-01-02T03:04:05.678Z", "zzz", None, "2026-01-01T01:30:00+02:00", "9999-99-99T00:00:00.000Z")
    ]
    assert grouped_of(calls, []).span() == ("2025-12-31T23:00Z", "2026-01-02T03:00Z")
    assert grouped_of([], []).span() is None
