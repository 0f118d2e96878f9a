"""The bookkeeper: journal into ledger, the dead settled first, in rounds by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from awfproxy.core.windows import DAY
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Held, Holder, Position, Window
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.rows import UNPRICED, Row, row_of
from awfproxy.server.bookkeeper import (
    DOUBT_EVERY,
    DOUBT_SECONDS,
    EXPIRE_EVERY,
    FORGET_AFTER,
    LOOK_SECONDS,
    PAUSE_SECONDS,
    Bookkeeper,
)
from awfproxy.server.holdings_file import HoldingsFile, dead
from awfproxy.server.journal_tail import Batch, Tail
from awfproxy.server.tail_mark import SIZE, TailMark
from tests.server.ledger_stage import PORT, START, InlineThread
from tests.server.test_journal_tail import append

TODAY = Window(PORT, "day", START, START + DAY)
THIS_WEEK = Window(PORT, "week", START, START + 7 * DAY)


class Stage:
    """One host's bookkeeper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "token-usage.jsonl"
        self.clock = Clock()
        self.clock.advance(START)
        self.ledger = MemoryLedger()
        self.thread = InlineThread(self.ledger, self.clock)
        self.mark = TailMark(bytearray(SIZE))
        tail = Tail(
            str(self.path), "host", lambda record: row_of(record, "host", feature=None), self.clock.seconds
        )  # fmt: skip
        self.keeper = Bookkeeper(
            self.thread,  # type: ignore[arg-type]
            tail,
            self.mark,
            instance="host",
            state_dir=str(folder),
            price=lambda record, model, at: UNPRICED,
            clock=self.clock,
            now=self.clock.seconds,
            monotonic=self.clock.seconds,
        )

    def turn(self, seconds: float = 0.0) -> None:
        """Time passes; without any, what is to happen now."""
        for _ in range(20):
            self.clock.advance(0)
        while seconds > 0:
            self.clock.advance(0.05)
            seconds -= 0.05

    @property
    def used(self) -> int:
        """Tokens of the rows."""
        return self.ledger.used("p", 0, 2**40)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """One that is closed afterwards."""
    made = Stage(tmp_path)
    yield made
    made.keeper._tail.close()


def test_rows_soon_after_the_records(stage: Stage) -> None:
    """Those of a moment in one transaction; at once where somebody waits; and unasked."""
    stage.keeper.start()
    stage.turn()
    append(stage.path, 1)
    stage.keeper.wake()
    stage.turn()
    assert stage.keeper.recorded == 0
    append(stage.path, 2)
    stage.keeper.wake()
    before = stage.thread.operations
    stage.turn(PAUSE_SECONDS + 0.05)
    assert stage.keeper.recorded == 2
    assert stage.thread.operations == before + 1
    append(stage.path, 3)
    stage.keeper.hurry()
    stage.turn()
    assert stage.keeper.recorded == 3
    append(stage.path, 4)
    stage.turn(LOOK_SECONDS + 0.1)
    assert stage.keeper.recorded == 4
    assert stage.keeper.lag == 0


def test_the_mark_says_how_far_it_is(stage: Stage) -> None:
    """The beginning of the last step that came to the end: nothing later is promised."""
    append(stage.path, *range(1, 3000))
    assert stage.mark.at == 0
    stage.keeper.start()
    stage.thread.slowness = 1.0
    stage.turn(1.5)
    assert 0 < stage.keeper.recorded < 2999
    assert stage.mark.at == 0
    stage.turn(5)
    assert stage.keeper.recorded == 2999
    assert START < stage.mark.at <= stage.clock.seconds()
    stage.thread.lose()
    stage.turn(5)
    behind = stage.mark.at
    append(stage.path, 3000)
    stage.turn(5)
    assert stage.mark.at == behind
    assert stage.keeper.trouble == "gone fishing"
    assert stage.keeper.lag == 1
    stage.thread.come_back()
    stage.turn(5)
    assert stage.mark.at > behind
    assert stage.keeper.trouble is None


def test_another_ledger_is_filled_from_the_beginning(stage: Stage) -> None:
    """And one that was restored from an older copy from where that stands."""
    append(stage.path, 1, 2)
    stage.keeper.start()
    stage.turn()
    append(stage.path, 3)
    older = stage.ledger.position("host")
    stage.turn(1)
    fresh = MemoryLedger()
    stage.thread.come_back(fresh)
    stage.turn(1)
    assert fresh.used("p", 0, 2**40) == stage.used == 9
    restored = MemoryLedger()
    restored.record([row for row in stage.ledger._rows.values() if row.request_id in ("r1", "r2")], older)
    stage.thread.come_back(restored)
    stage.turn(1)
    assert restored.used("p", 0, 2**40) == 9
    assert stage.keeper.recorded == 3 + 3 + 1


def test_the_dead_are_settled_before_accounts_are_opened(stage: Stage, tmp_path: Path, logged: list[str]) -> None:
    """What they had free comes back, what they had reserved is lost, and their file goes; then the mark moves."""
    file = HoldingsFile(str(tmp_path))
    holding = file.holding(TODAY)
    holder = Holder("host", file.number)
    grant = stage.ledger.borrow(
        holder, Held(TODAY, 0, 0, 0), cap=1000, need=400, most=0, now=START, expires_at=START + 300
    )
    holding.agree(grant.granted, START + 300)
    assert holding.reserve(300)
    holding.settle(300, 250)
    assert holding.reserve(100)
    stage.keeper.start()
    stage.turn()
    standing = stage.ledger.window(TODAY, START)
    assert standing is not None
    assert standing.holders == 1  # it lives
    file.close()
    stage.turn(1)
    standing = stage.ledger.window(TODAY, START)
    assert standing is not None
    assert (standing.committed, standing.lost, standing.holders) == (350, 100, 0)
    assert stage.keeper.lost_tokens == 100
    assert "100 tokens of p are lost with a process that died" in logged
    assert not list(dead(str(tmp_path)))


def test_the_dead_wait_for_the_ledger(stage: Stage, tmp_path: Path) -> None:
    """Their files stay until it has taken them."""
    file = HoldingsFile(str(tmp_path))
    file.holding(TODAY).agree(50, START)
    file.close()
    stage.thread.lose()
    stage.keeper.start()
    stage.turn(2)
    (found,) = dead(str(tmp_path))
    found.close()
    stage.thread.come_back()
    stage.turn(1)
    assert not list(dead(str(tmp_path)))


def test_leases_of_hosts_that_are_gone(stage: Stage) -> None:
    """Expire: what they had is lost, as nobody knows what they used of it; and old accounts are forgotten."""
    stage.ledger.borrow(
        Holder("other", 1), Held(TODAY, 0, 0, 0), cap=1000, need=400, most=0, now=START, expires_at=START + 300
    )
    stage.keeper.start()
    stage.turn(1)
    stage.clock.advance(300 + EXPIRE_EVERY)
    stage.turn(1)
    standing = stage.ledger.window(TODAY, stage.clock.seconds())
    assert standing is not None
    assert standing.lost == 400
    stage.clock.advance(DAY + FORGET_AFTER)
    stage.turn(EXPIRE_EVERY + 1)
    assert stage.ledger.window(TODAY, START) is None


def test_what_was_used_while_nobody_lent_counts(stage: Stage) -> None:
    """An account that was opened before, and rows of calls that no lease covered: it is as if they had asked."""
    holder = Holder("other", 1)
    stage.ledger.borrow(
        holder, Held(TODAY, 0, 0, 0), cap=1000, need=100, most=0, now=START, expires_at=START + 300
    )
    stage.ledger.close_lease(holder, Held(TODAY, 100, 70, 0))
    append(stage.path, *range(100, 104))
    stage.keeper.start()
    stage.turn()
    standing = stage.ledger.window(TODAY, START)
    assert standing is not None
    assert stage.used == 100 + 101 + 102 + 103 + 4
    assert standing.committed == 70 + stage.used


def recounts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """Accounts that made up with rows since."""
    made: list[Window] = []
    monkeypatch.setattr(MemoryLedger, "recount", lambda ledger, window, instance: made.append(window))
    stage.ledger.borrow(
        Holder("other", 1), Held(TODAY, 0, 0, 0), cap=1000, need=100, most=0, now=START, expires_at=START + 300
    )
    return made


def test_an_installation_that_is_new_has_nothing_to_make_up_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several that begin at the same moment do not count what the others are using; rows that come later are covered."""
    made = recounts(stage, monkeypatch)
    stage.keeper.start()
    stage.turn(1)
    append(stage.path, 100)
    stage.turn(1)
    assert stage.keeper.recorded == 1
    assert made == []


def test_one_that_has_been_here_before_makes_up_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls may have run while the budget was off."""
    stage.ledger.record([], Position("host", "file", 1))
    made = recounts(stage, monkeypatch)
    stage.keeper.start()
    stage.turn(3)
    assert made == [TODAY]


def test_a_restored_copy_is_not_what_the_mark_spoke_of(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is promised until the journal was read into it to the end, and its accounts have made up."""
    append(stage.path, 100)
    stage.keeper.start()
    stage.turn(1)
    made = recounts(stage, monkeypatch)
    copy = MemoryLedger()
    copy.borrow(Holder("other", 1), Held(TODAY, 0, 0, 0), cap=1000, need=100, most=0, now=START, expires_at=START + 300)
    at = stage.mark.at
    assert at > 0
    with monkeypatch.context() as patched:
        patched.setattr(stage.keeper._tail, "read", lambda: Batch([], None, False))
        stage.thread.ledger = copy
        stage.thread.slowness = 0.2
        stage.turn(1)
        assert stage.mark.at == 0
    stage.turn(1)
    assert stage.mark.at > at
    assert made == [TODAY]
    assert copy.used("p", 0, 2**40) == 101


def test_a_batch_whose_answer_got_lost_is_no_other_ledger(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was recorded, and nothing is to be made up for: what it has is of leases that live."""
    append(stage.path, 100)
    stage.keeper.start()
    stage.turn(1)
    made = recounts(stage, monkeypatch)
    record = stage.ledger.record

    def records(rows: Sequence[Row], position: Position | None = None) -> int:
        record(rows, position)
        raise LedgerUnavailable("the connection broke")

    with monkeypatch.context() as patched:
        patched.setattr(stage.ledger, "record", records)
        append(stage.path, 200, 300)
        stage.turn(0.6)
    append(stage.path, 400)
    stage.turn(2)
    assert stage.used == 100 + 200 + 300 + 400 + 4
    assert stage.keeper.recorded == 4
    assert made == []


def test_what_rows_show_of_leases_that_live_is_not_counted_twice_for_long(stage: Stage) -> None:
    """Holders tell it with their next beats; and what is left after some seconds is decided."""
    holder = Holder("host", 1)
    stage.ledger.record([], Position("host", "file", 1))
    stage.ledger.join(holder, Held(TODAY, 0, 0, 0), now=START, expires_at=START + 300, recount=False)
    append(stage.path, 100, 200)
    stage.keeper.start()
    stage.turn(1)

    def committed(spent: int, shown: int, seconds: float) -> int:
        held = Held(TODAY, spent, spent, 0, shown)
        stage.ledger.heartbeat(holder, [held], stage.clock.seconds(), START + 300)
        stage.turn(seconds)
        standing = stage.ledger.window(TODAY, stage.clock.seconds())
        assert standing is not None
        return standing.committed

    assert committed(101, 0, 0.1) == 101 + 302
    assert committed(101, 101, 2 * DOUBT_EVERY) == 302
    assert stage.ledger.in_doubt("host") == [TODAY]
    assert committed(101, 101, DOUBT_SECONDS) == 302
    assert stage.ledger.in_doubt("host") == []


@pytest.mark.parametrize("held", [True, False])
def test_a_death_makes_up_where_the_ledger_had_not_followed(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Of an account of which the dead had a lease that the ledger knows, all is known; and of no other."""
    stage.keeper.start()
    stage.turn(1)
    made = recounts(stage, monkeypatch)
    file = HoldingsFile(str(tmp_path))
    if held:
        file.holding(TODAY).agree(0, START + 300)
        stage.ledger.join(
            Holder("host", file.number), Held(TODAY, 0, 0, 0), now=START, expires_at=START + 300, recount=False
        )
    else:
        file.holding(THIS_WEEK)
    file.close()
    stage.turn(1)
    assert not list(dead(str(tmp_path)))
    assert set(made) == (set() if held else {THIS_WEEK, TODAY})


def test_a_journal_that_cannot_be_read_is_said(stage: Stage) -> None:
    """The ledger is well; and it is tried again."""
    stage.path.mkdir()
    stage.keeper.start()
    stage.turn(3)
    assert stage.keeper.trouble == "the journal cannot be read: token-usage.jsonl: Is a directory"
    assert stage.thread.trouble is None
    stage.path.rmdir()
    append(stage.path, 1)
    stage.turn(1)
    assert stage.keeper.trouble is None
    assert stage.keeper.recorded == 1


def test_the_last_round_reads_what_is_there(stage: Stage) -> None:
    """Also where one is under way; and then nothing happens any more."""
    append(stage.path, 1)
    stage.keeper.start()
    stage.thread.slowness = 0.2
    stage.turn(0.1)
    append(stage.path, 2)
    done: list[None] = []
    stage.keeper.stop().addCallback(done.append)
    append(stage.path, 3)
    stage.turn(1)
    assert done == [None]
    assert stage.keeper.recorded == 3
    assert stage.clock.getDelayedCalls() == []


def test_the_end_does_not_wait_for_a_lost_ledger(stage: Stage) -> None:
    """The next start reads the rest."""
    stage.keeper.start()
    stage.turn()
    stage.thread.lose()
    done: list[None] = []
    stage.keeper.stop().addCallback(done.append)
    stage.turn(0.2)
    assert done == [None]
    assert stage.clock.getDelayedCalls() == []
