"""What every ledger promises about rows, sums, and the comparison with the journal."""

import math
from pathlib import Path

import pytest
from msgspec import structs

from awfproxy.core.budgets import Count
from awfproxy.ledger.facts import Cost, Position, Share
from awfproxy.ledger.interface import BATCH_ROWS, Ledger
from awfproxy.ledger.rows import Row
from tests.ledger.samples import APRIL, MARCH, row


def differences(ledger: Ledger, rows: list[Row], until: float = APRIL) -> list[tuple[str, str, tuple[str, ...]]]:
    found = ledger.verify("host-a", MARCH, until, iter(rows))
    return [(found.kind, found.request_id, found.fields) for found in found]


def test_rows_are_added_once(ledger: Ledger) -> None:
    """A request id that is there already is passed over, in the same batch too, and the first row stays."""
    assert ledger.record([row(1, 10), row(2, 20), row(1, 99)]) == 2
    assert ledger.record([row(2, 77), row(3, 30)]) == 1
    assert ledger.record([]) == 0
    assert ledger.used("openai", MARCH, APRIL) == 60


def test_every_column_comes_back_as_it_was(ledger: Ledger) -> None:
    """What is not said stays so, and texts of any script and with quotes come through."""
    rows = [
        row(1, model="modèle 🙂 '\"; --", user="ü", cost_usd=0.25, include_cache=False, cache_read_tokens=10**12),
        row(2, user=None, feature=None, input_tokens=None, output_tokens=None, total_tokens=None),
        row(3, cache_read_tokens=None, cache_write_tokens=None, include_cache=None, input_tokens=None),
    ]
    ledger.record(rows)
    found = list(ledger.verify("host-a", MARCH, APRIL, []))
    assert [found.ledger for found in found] == rows


def test_the_position_is_kept_with_the_rows(ledger: Ledger) -> None:
    """Each installation has its own; the last one told counts, also one that goes back (another file)."""
    assert ledger.position("host-a") is None
    ledger.record([row(1)], Position("host-a", "8:1", 2**40))
    ledger.record([], Position("host-b", "8:7", 7))
    ledger.record([row(2)], Position("host-a", "8:2", 10))
    assert ledger.position("host-a") == Position("host-a", "8:2", 10)
    assert ledger.position("host-b") == Position("host-b", "8:7", 7)


def test_a_window_has_its_start_and_not_its_end(ledger: Ledger) -> None:
    """A call admitted at the millisecond of the start belongs to it, at that of the end to the next."""
    first, last = MARCH * 1000, APRIL * 1000 - 1
    ledger.record([row(1, 1, created_at=first - 1), row(2, 2, created_at=first), row(3, 4, created_at=last)])
    ledger.record([row(4, 8, created_at=last + 1)])
    assert ledger.used("openai", MARCH, APRIL) == 6
    assert ledger.used("openai", MARCH + 0.0005, APRIL + 0.0005) == 12


def test_use_of_a_port_a_feature_a_user(ledger: Ledger) -> None:
    """Sums are of one port, or of one of its features or users."""
    ledger.record([row(1, 1), row(2, 2, feature="embed"), row(3, 4, user="ci"), row(4, 8, port="anthropic")])
    assert ledger.used("openai", MARCH, APRIL) == 7
    assert ledger.used("openai", MARCH, APRIL, feature="chat") == 5
    assert ledger.used("openai", MARCH, APRIL, user="ci") == 4
    assert ledger.used("openai", MARCH, APRIL, user="nobody") == 0
    assert ledger.used("none", MARCH, APRIL) == 0


@pytest.mark.parametrize(
    ("include_cache", "measure", "used"),
    [(False, "reported", 10), (False, "all", 17), (True, "all", 10), (None, "all", 10)],
)
def test_cached_tokens_count_where_they_are_apart(
    ledger: Ledger, include_cache: bool | None, measure: Count, used: int
) -> None:
    """With `all` cache reads and writes are added, unless the input has them already or nobody knows."""
    ledger.record([row(1, 10, include_cache=include_cache, cache_read_tokens=5, cache_write_tokens=2)])
    assert ledger.used("openai", MARCH, APRIL, measure=measure) == used


def test_money_and_what_has_no_price(ledger: Ledger) -> None:
    """A call without a price is no call for nothing: it is counted apart.  As a measure, money is in millionths."""
    ledger.record([row(1, cost_usd=0.5), row(2, cost_usd=0.0000014), row(3, 30, user="ci", counted_usd=9)])
    ledger.record([row(4, 0, cost_usd=None, counted_usd=0)])
    cost = ledger.cost("openai", MARCH, APRIL)
    assert math.isclose(cost.usd, 0.5000014)
    assert (cost.unpriced_calls, cost.unpriced_tokens) == (1, 30)
    assert ledger.cost("openai", MARCH, APRIL, user="nobody") == Cost(0.0, 0, 0)
    assert ledger.used("openai", MARCH, APRIL, measure="usd") == 500_011


def test_rows_are_priced_later(ledger: Ledger) -> None:
    """Those that nobody has priced, the oldest first, in batches; what was said once about a row stays."""
    ledger.record([row(number) for number in (5, 3, 1)] + [row(2, cost_usd=0.5), row(4, counted_usd=7)])
    assert ledger.not_priced(MARCH) == [row(1), row(3), row(5)]
    assert ledger.not_priced(MARCH, 2) == [row(1), row(3)]
    assert ledger.not_priced(MARCH + 2) == [row(3), row(5)]
    assert ledger.not_priced(MARCH, 1, after=row(1)) == [row(3)]
    assert ledger.not_priced(MARCH, after=row(5)) == []
    ledger.price([row(1, cost_usd=0.25), row(3, counted_usd=9), row(2, cost_usd=8.0), row(4, cost_usd=8.0)])
    ledger.price([row(6, cost_usd=8.0)])
    assert ledger.not_priced(MARCH) == [row(5)]
    assert ledger.used("openai", MARCH, APRIL, measure="usd") == 750_016
    assert ledger.cost("openai", MARCH, APRIL).usd == 0.75
    assert [each.ledger for each in ledger.verify("host-a", MARCH, MARCH + 2, [])] == [row(1, cost_usd=0.25)]


def test_rows_of_one_moment_are_priced_in_the_order_of_their_ids(ledger: Ledger) -> None:
    """So that who goes on behind one of them passes none over."""
    same = [structs.replace(row(number), created_at=row(1).created_at) for number in range(1, 6)]
    ledger.record(same)
    found: list[Row] = []
    while batch := ledger.not_priced(MARCH, 2, after=found[-1] if found else None):
        found += batch
    assert found == same


def test_breakdown_is_ranked(ledger: Ledger) -> None:
    """By feature, model and user, the greatest first; calls of unknown users are a line of their own."""
    ledger.record([row(1, 10), row(2, 5, feature="embed", model="small"), row(3, 90, feature="embed", user="ci")])
    ledger.record([row(4, 0, feature="embed", cost_usd=0.25), row(5, 0, model="small", cost_usd=0.5)])
    found = ledger.breakdown("openai", MARCH, APRIL)
    assert found.features == [Share("embed", 95, 3, 0.25, 2), Share("chat", 10, 2, 0.5, 1)]
    assert found.models == [Share("gpt-5", 100, 3, 0.25, 2), Share("small", 5, 2, 0.5, 1)]
    assert found.users == [Share("ci", 90, 1, 0.0, 1), Share(None, 15, 4, 0.75, 2)]
    assert ledger.breakdown("openai", APRIL, APRIL + 1).features == []


def test_a_ledger_like_its_journal_has_no_differences(ledger: Ledger) -> None:
    """Whatever the order, over several batches, with lines that were written twice, and of another installation."""
    rows = [row(number) for number in range(BATCH_ROWS * 2 + 1)]
    ledger.record(rows)
    ledger.record([row(5000, instance="host-b")])
    assert differences(ledger, [*reversed(rows), rows[0]]) == []


def test_differences_are_listed(ledger: Ledger) -> None:
    """Missing in the ledger, more in the ledger, or not the same; prices and installation are not compared."""
    ledger.record([row(1), row(2, 20), row(3), row(4, user="a"), row(5)])
    journal = [
        row(1, cost_usd=1.0, instance="host-c"),
        row(2, 24),
        row(4, user=None, feature=None),
        row(5),
        row(6),
    ]
    assert sorted(differences(ledger, journal)) == [
        ("different", "r000002", ("input_tokens", "output_tokens", "total_tokens")),
        ("different", "r000004", ("user", "feature")),
        ("extra", "r000003", ()),
        ("missing", "r000006", ()),
    ]


def test_only_the_covered_time_is_compared(ledger: Ledger) -> None:
    """Rows and lines of other times are neither missing nor extra."""
    ledger.record([row(1), row(100)])
    assert differences(ledger, [row(1), row(200)], until=MARCH + 50) == []


def test_a_comparison_can_be_left_and_begun_again(ledger: Ledger) -> None:
    """Whoever has seen enough differences leaves nothing behind."""
    ledger.record([row(number) for number in range(10)])
    first = ledger.verify("host-a", MARCH, APRIL, [])
    next(first)
    ledger.record([row(11)])
    del first
    assert len(differences(ledger, [])) == 11


def test_rebuilding_replaces_what_the_journal_covers(ledger: Ledger) -> None:
    """This installation's rows of that time are the journal's afterwards; all others stay."""
    ledger.record([row(1, 11), row(2, 22), row(3, 33), row(9, 99), row(4, instance="host-b")])
    journal = [row(1, 12), row(3, 33), row(5), row(5, 77), row(9, 100)]
    assert ledger.rebuild("host-a", MARCH, MARCH + 8, iter(journal)) == 3
    assert ledger.used("openai", MARCH, APRIL) == 12 + 33 + 10 + 99 + 10
    assert differences(ledger, journal, until=MARCH + 8) == []


def test_rebuilding_moves_a_row_whose_time_was_wrong(ledger: Ledger) -> None:
    """A request that the ledger has at another time is not kept out by its old row."""
    ledger.record([row(1, created_at=(MARCH - 5) * 1000)])
    assert ledger.rebuild("host-a", MARCH, APRIL, [row(1)]) == 1
    assert ledger.used("openai", MARCH, APRIL) == 10
    assert ledger.used("openai", MARCH - 10, MARCH) == 0


def test_rebuilding_leaves_others_rows_alone(ledger: Ledger) -> None:
    """A copied journal cannot take another installation's rows away, or count them twice."""
    ledger.record([row(1, instance="host-b")])
    assert ledger.rebuild("host-a", MARCH, APRIL, [row(1, 99), row(2)]) == 1
    assert ledger.used("openai", MARCH, APRIL) == 20


def test_rebuilding_from_a_journal_that_cannot_be_read_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """An error of whoever reads the files passes through, and the ledger is as before."""
    ledger.record([row(1)])

    def lines() -> list[Row]:
        (tmp_path / "none").read_bytes()
        return []

    with pytest.raises(FileNotFoundError):
        ledger.rebuild("host-a", MARCH, APRIL, (found for _ in range(1) for found in lines()))
    assert ledger.used("openai", MARCH, APRIL) == 10
    assert ledger.rebuild("host-a", MARCH, APRIL, [structs.replace(row(1), total_tokens=12)]) == 1
