"""One story a trouble, however many appends fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.journal_watch import CALM_SECONDS, JournalWatch


@implementer(ILogObserver)
class Stage:
    """A journal that is looked at twice a second, and what is logged."""

    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        self.journal = MemoryJournal(self.clock, **limits)
        self.journal.start()
        self.released = 0
        self.watch = JournalWatch(self.journal, 5.0, lambda: self.released)
        self.lines: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if "journal: " in str(event.get("log_format")):
            self.lines.append(str(event["log_format"]).format(**event))

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.watch.look(self.clock.seconds())

    def call(self) -> None:
        """A call ends."""
        self.journal.reserve()
        self.journal.append(None, b"{}\n", lambda: None)

    def observed(self) -> Iterator[Stage]:
        """Until the test is over."""
        globalLogPublisher.addObserver(self)
        try:
            yield self
        finally:
            globalLogPublisher.removeObserver(self)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nothing has happened."""
    yield from Stage().observed()


def test_a_disk_that_works_is_nothing_to_tell(stage: Stage) -> None:
    """Not a line."""
    for _ in range(20):
        stage.call()
        stage.pass_(0.5)
    assert stage.lines == []


def test_a_full_disk_is_told_once_and_once_that_it_is_over(stage: Stage) -> None:
    """Whatever comes meanwhile; the end says what it cost."""
    stage.journal.stall("requests.jsonl: No space left on device")
    for _ in range(20):
        stage.call()
        stage.pass_(1)
    stage.released = 7
    stage.journal.stall(None)
    stage.pass_(CALM_SECONDS - 1)
    assert stage.lines == ["journal: requests.jsonl: No space left on device; what cannot be written waits in memory"]
    stage.pass_(2)
    assert stage.lines[1:] == ["journal: writing again; in 20 s 7 ends of answers went out before their record"]
    stage.pass_(60)
    assert len(stage.lines) == 2


def test_a_write_that_hangs_is_told(stage: Stage) -> None:
    """No error comes of it: the age of what waits tells."""
    stage.journal._stalled = "not a word"  # as if the thread were in the kernel
    stage.call()
    stage.journal._stalled = None
    stage.pass_(0)
    watch = JournalWatch(stage.journal, 0.0, lambda: 0)
    stage.clock.rightNow += 3
    watch.look(stage.clock.seconds())
    assert stage.lines == ["journal: 1 records wait, the oldest for 3 s; what cannot be written waits in memory"]


def test_an_append_that_failed_between_two_looks_is_told(stage: Stage) -> None:
    """It went well the second time; still somebody should look at that disk."""
    stage.journal.stall("token-usage.jsonl: Input/output error")
    stage.journal.stall(None)
    stage.pass_(20)
    assert [line.partition(";")[0] for line in stage.lines] == [
        "journal: token-usage.jsonl: Input/output error", "journal: writing again",
    ]  # fmt: skip


def test_that_calls_are_refused_and_records_dropped_is_told_too() -> None:
    """Each once: it has come to the worse."""
    for stage in Stage(places=3, refusal_places=0).observed():
        stage.journal.stall("full")
        stage.pass_(1)
        for _ in range(3):
            stage.call()
        stage.pass_(3)
        for _ in range(4):
            stage.journal.drop()
            stage.pass_(1)
        stage.journal.stall(None)
        stage.pass_(20)
        assert stage.lines == [
            "journal: full; what cannot be written waits in memory",
            "journal: 3 records wait: calls are refused",
            "journal: no place is left for the records of refusals: they are dropped",
            "journal: writing again; in 8 s 0 ends of answers went out before their record, and 4 records of refusals "
            "were dropped",
        ]


@given(st.lists(st.booleans(), max_size=60))
def test_no_disk_makes_it_talk(well: list[bool]) -> None:
    """Whenever it fails, in seconds: a beginning, an end, in turns, and seldom."""
    for stage in Stage().observed():
        for good in well:
            stage.journal.stall(None if good else "bad")
            stage.call()
            stage.pass_(1)
        kinds = ["writing again" in line for line in stage.lines]
        assert kinds == [bool(index % 2) for index in range(len(kinds))]
        assert len(kinds) <= 2 + 2 * len(well) / CALM_SECONDS
        assert bool(kinds) == (not all(well))
