"""Rows made from the journal's records."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.budgets import Charge
from awfproxy.core.consumption import Consumption, Counted, of_record
from awfproxy.core.fields import COUNT_MAX
from awfproxy.core.records import TokenUsageRecord
from awfproxy.ledger.rows import REQUEST_ID_MAX, TEXT_MAX, Row, differing, priced, row_of
from tests.ledger.samples import row


def record(**more: object) -> TokenUsageRecord:
    made = TokenUsageRecord(
        timestamp="2026-03-01T00:10:00.500Z",
        request_id="0198c0de-0000-7000-8000-000000000000",
        provider="anthropic",
        model="claude-sonnet-4-5",
        path="/v1/messages",
        status=200,
        streaming=True,
        input_tokens=100,
        output_tokens=20,
        cache_read_tokens=7,
        cache_write_tokens=3,
        duration_ms=1.0,
        request_bytes=1,
        response_bytes=1,
        usage_source="reported",
        outcome="complete",
        port="claude",
        input_tokens_include_cache=False,
        admitted_at="2026-02-28T23:59:59.999Z",
        user="ci",
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def made(**more: object) -> Row:
    found = row_of(record(**more), "host-a", feature="chat")
    assert found is not None
    return found


def test_a_record_becomes_a_row() -> None:
    """Every column has its member, and the time is that of the admission, to the millisecond."""
    assert row_of(record(), "host-a", feature="chat", price=lambda *asked: Charge(0.5, 500_000)) == Row(
        request_id="0198c0de-0000-7000-8000-000000000000",
        instance="host-a",
        port="claude",
        created_at=1_772_323_199_999,
        provider="anthropic",
        model="claude-sonnet-4-5",
        usage_source="reported",
        user="ci",
        feature="chat",
        input_tokens=100,
        output_tokens=20,
        total_tokens=120,
        cache_read_tokens=7,
        cache_write_tokens=3,
        include_cache=False,
        cost_usd=0.5,
        counted_usd=500_000,
    )


@pytest.mark.parametrize(
    ("unknown", "total"),
    [(["input_tokens"], 20), (["output_tokens", "status"], 100), (["input_tokens", "output_tokens"], None)],
)
def test_what_nobody_reported_is_not_zero(unknown: list[str], total: int | None) -> None:
    """A count in `unknown` is None; the total is what is known of it."""
    found = made(unknown=[*unknown, "cache_read_tokens"])
    assert found.total_tokens == total
    assert found.cache_read_tokens is None
    assert [name for name in ("input_tokens", "output_tokens") if getattr(found, name) is None] == [
        name for name in unknown if name != "status"
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"admitted_at": None}, 1_772_323_800_500),
        ({"admitted_at": "yesterday"}, 1_772_323_800_500),
        ({"admitted_at": "2026-03-01T01:10:00.500+01:00"}, 1_772_323_800_500),
        ({"admitted_at": "2026-03-01T00:10:00.500"}, 1_772_323_800_500),
    ],
)
def test_the_end_stands_in_for_an_admission_that_is_not_said(times: dict[str, str], expected: int) -> None:
    """And any ISO 8601 time is read, in UTC where it names no zone."""
    assert made(**times).created_at == expected


@pytest.mark.parametrize(
    "more",
    [
        {"admitted_at": None, "timestamp": "?"},
        {"request_id": ""},
        {"request_id": "a" * (REQUEST_ID_MAX + 1)},
        {"request_id": "a\0b"},
    ],
)
def test_a_line_that_somebody_edited_has_no_row(more: dict[str, str]) -> None:
    """Without a time it is in no window; without a sound id it cannot be counted once."""
    assert row_of(record(**more), "host-a", feature=None) is None


@given(
    text=st.text(st.characters(codec=None, categories=None), max_size=2000),
    number=st.integers() | st.integers(-5, 5),
)
def test_whatever_a_line_holds_the_row_can_be_stored(text: str, number: int) -> None:
    """Texts are valid, without NUL and bounded; counts are in their range or not said."""
    found = made(model=text, port=text, provider=text, user=text, input_tokens=number, cache_write_tokens=number)
    for value in (found.model, found.port, found.provider, found.user):
        assert value is not None and "\0" not in value and len(value.encode()) <= TEXT_MAX
    in_range = number if 0 <= number <= COUNT_MAX else None
    assert found.input_tokens == in_range == found.cache_write_tokens
    assert found.total_tokens == 20 + (in_range or 0)


def test_what_differs_is_named() -> None:
    """Not the price, which changes, and not who wrote the row down."""
    assert differing(row(1), row(1, cost_usd=1.0, instance="host-b")) == ()
    assert differing(row(1), row(1, total_tokens=99, user="ci")) == ("user", "total_tokens")


def test_money_is_counted_in_millionths() -> None:
    """As they were found when the row was priced; of a model without a price too.  Nothing is counted before."""
    rows = [row(1), row(1, cost_usd=0.0, counted_usd=0), row(1, counted_usd=7), row(1, cost_usd=2.5)]
    assert [each.counted("usd") for each in rows] == [0, 0, 7, 2_500_000]
    assert [each.unpriced for each in rows] == [True, False, True, False]
    assert not row(1, 0).unpriced


@given(
    st.tuples(*[st.none() | st.integers(0, 10**9)] * 4),
    st.sampled_from([None, True, False]),
    st.sampled_from(["anthropic", "openai"]),
)
def test_a_row_is_priced_by_its_counts(
    counts: tuple[int | None, ...], include_cache: bool | None, provider: str
) -> None:
    """As the record would be that it was made from; what is not known is not taken for 0."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    given: dict[str, Any] = dict(zip(names, counts, strict=True))
    made = row(1, **given, include_cache=include_cache, provider=provider)
    asked: list[Consumption | None] = []

    def price(record: Counted, model: str, at: float) -> Charge:
        assert (model, at) == (made.model, made.created_at / 1000)
        asked.append(of_record(record))
        return Charge(1.5, 1_500_000)

    found = priced(made, price)
    assert (found.cost_usd, found.counted_usd) == (1.5, 1_500_000)
    assert differing(found, made) == ()
    like = record(
        provider=provider, model=made.model, input_tokens_include_cache=include_cache,
        unknown=[name for name, count in zip(names, counts, strict=True) if count is None],
        **{name: count or 0 for name, count in zip(names, counts, strict=True)},
    )  # fmt: skip
    assert asked == [of_record(like)]
