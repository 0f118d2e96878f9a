"""Rows that nobody has priced: priced by the bookkeeper before accounts are opened, as soon as somebody can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from awfproxy.core.budgets import Charge
from awfproxy.core.consumption import Counted
from awfproxy.core.windows import DAY
from awfproxy.ledger.facts import Held, Holder
from awfproxy.ledger.interface import BATCH_ROWS
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.rows import Row
from awfproxy.server.bookkeeper import PRICE_EVERY
from tests.server.ledger_stage import START
from tests.server.test_bookkeeper import TODAY, Stage
from tests.server.test_journal_tail import append

USD = structs.replace(TODAY, measure="usd")


def price(record: Counted, model: str, at: float) -> Charge:
    """A dollar a token."""
    usd = record.input_tokens + record.output_tokens
    return Charge(float(usd), usd * 1_000_000)


def old_rows(count: int) -> list[Row]:
    """As an older version wrote them."""
    return [
        Row(f"old-{number}", "host", "p", START * 1000 + number, "openai", "m", "reported", None, None, 1, 2, 3)
        for number in range(count)
    ]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """One that can price, and is closed afterwards."""
    made = Stage(tmp_path)
    made.keeper._price = price
    yield made
    made.keeper._tail.close()


def used(stage: Stage) -> int:
    """Dollars of the rows of today."""
    return stage.ledger.used("p", START, START + DAY, measure="usd") // 1_000_000


def test_rows_of_an_older_version_are_priced_before_accounts_are_opened(stage: Stage) -> None:
    """However many they are; what is older than budgets look stays as it is."""
    count = 2 * BATCH_ROWS + 5
    past = [structs.replace(row, request_id=f"p{row.request_id}", created_at=1) for row in old_rows(3)]
    stage.ledger.record([*old_rows(count), *past])
    seen = []
    stage.keeper._mark = type("Mark", (), {"at": property(lambda _: 0.0, lambda _, at: seen.append((at, used(stage))))})()
    stage.keeper.start()
    stage.turn(1)
    assert used(stage) == 3 * count
    assert next(dollars for at, dollars in seen if at > 0) == 3 * count
    assert stage.ledger.not_priced(0) == past


def test_rows_are_priced_when_there_is_a_price_list_again(stage: Stage) -> None:
    """Not at every round; and accounts that were opened without them count them then."""
    working, stage.keeper._price = stage.keeper._price, lambda record, model, at: Charge(None, None)
    append(stage.path, 1, 2)
    stage.keeper.start()
    stage.turn(1)
    assert (stage.keeper.recorded, used(stage), stage.mark.at > 0) == (2, 0, True)
    holder = Holder("host", 7)
    stage.ledger.borrow(holder, Held(USD, 0, 0, 0), cap=10**9, need=5, most=0, now=START, expires_at=START + 300)
    stage.keeper._price = working
    stage.turn(1)
    assert used(stage) == 0
    stage.turn(PRICE_EVERY)
    spent = used(stage)
    assert spent > 0
    standing = stage.ledger.window(USD, START)
    assert standing is not None and standing.committed >= spent * 1_000_000


def test_rows_that_nobody_can_price_hide_none_behind_them(stage: Stage) -> None:
    """A whole batch of such, and more: those behind are priced by and by, and those before when somebody can."""
    working = stage.keeper._price
    stage.keeper._price = lambda record, model, at: Charge(None, None) if model == "bad" else price(record, model, at)
    rows = old_rows(3 * BATCH_ROWS)
    bad = [structs.replace(row, model="bad") for row in rows[: BATCH_ROWS + 3]]
    stage.ledger.record([*bad, *rows[BATCH_ROWS + 3 :]])
    stage.keeper.start()
    stage.turn(1)
    assert used(stage) == 0
    stage.turn(PRICE_EVERY)
    assert used(stage) == 3 * (2 * BATCH_ROWS - 3)
    stage.keeper._price = working
    stage.turn(3 * PRICE_EVERY)
    assert used(stage) == 3 * len(rows)
    assert stage.ledger.not_priced(0) == []


def test_where_all_is_priced_nobody_looks(stage: Stage) -> None:
    """The rounds of every second ask for nothing."""

    class Ledger(MemoryLedger):
        looks = 0

        def not_priced(self, since: float, most: int = BATCH_ROWS, *, after: Row | None = None) -> list[Row]:
            self.looks += 1
            return super().not_priced(since, most, after=after)

    stage.ledger = stage.thread.ledger = ledger = Ledger()
    stage.keeper.start()
    stage.turn(1)
    looks = ledger.looks
    stage.turn(5)
    assert ledger.looks == looks == 1
