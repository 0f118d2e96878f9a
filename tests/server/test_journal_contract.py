"""What the server may rely on, of the journal on disk and of the one in memory alike."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from awfproxy.server.intake import Intake, Unwritten
from awfproxy.server.journal import Journal
from awfproxy.server.journal_memory import MemoryJournal


class Kept:
    """A journal, and a way to read what it wrote and to stall it."""

    def __init__(self, make: Callable[..., Intake], read: Any, stall: Any) -> None:
        self.make = make
        self.read = read
        self.stall = stall


def the_reactor() -> Any:
    """The one that runs; not known before."""
    from twisted.internet import reactor

    return reactor


def on_disk(folder: Path) -> Kept:
    """`Journal`; stalled by a write that fails."""
    reactor = the_reactor()
    blocked: list[str] = []
    made: list[Journal] = []

    def write(fd: int, data: bytes) -> int:
        if blocked:
            raise OSError(28, blocked[0])
        return os.write(fd, data)

    def make(**limits: Any) -> Intake:
        from_thread = reactor.callFromThread
        made.append(Journal(str(folder), call_from_thread=from_thread, clock=reactor, write=write, **limits))
        return made[-1]

    def read() -> tuple[list[bytes], list[bytes]]:
        names = ("token-usage.jsonl", "requests.jsonl")
        usage, requests = ((folder / name).read_bytes().splitlines(keepends=True) for name in names)
        return usage, requests

    def stall(reason: str | None) -> None:
        blocked[:] = [reason] if reason else []

    return Kept(make, read, stall)


def in_memory(_folder: Path) -> Kept:
    """`MemoryJournal`."""
    reactor = the_reactor()
    made: list[MemoryJournal] = []

    def make(**limits: Any) -> Intake:
        made.append(MemoryJournal(reactor, **limits))
        return made[-1]

    return Kept(make, lambda: (made[-1].usage_lines, made[-1].request_lines), lambda reason: made[-1].stall(reason))


@pytest.fixture(params=[on_disk, in_memory], ids=["disk", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each of the two."""
    return request.param(tmp_path)


def record(number: int) -> tuple[bytes, bytes]:
    """Lines of call ``number``."""
    return b'{"input_tokens":%d,"output_tokens":1}\n' % number, b'{"request_id":"%d"}\n' % number


def hand_over(journal: Intake, number: int, told: list[int] | None = None) -> Deferred[int]:
    """Append call ``number``; fires, and notes it in ``told``, when it is acknowledged."""
    done: Deferred[int] = Deferred()

    def acknowledged() -> None:
        if told is not None:
            told.append(number)
        done.callback(number)

    assert journal.reserve()
    journal.append(*record(number), acknowledged)
    return done


def pause(seconds: float = 0.0) -> Deferred[None]:
    """Let the reactor turn."""
    from twisted.internet import reactor

    return deferLater(reactor, seconds)


@pytest_twisted.ensureDeferred
async def test_lines_are_there_when_it_is_acknowledged(kept: Kept) -> None:
    """Both of them, and the counters say so."""
    journal = kept.make()
    journal.start()
    await hand_over(journal, 1)
    assert kept.read() == ([record(1)[0]], [record(1)[1]])
    assert (journal.written, journal.usage_written, journal.queue_records, journal.queue_bytes) == (1, 1, 0, 0)
    assert journal.last_write is not None
    assert await journal.stop(5) == Unwritten(0, 0)


@pytest_twisted.ensureDeferred
async def test_a_call_without_usage_leaves_one_line(kept: Kept) -> None:
    """Only in the second file."""
    journal = kept.make()
    journal.start()
    told: Deferred[None] = Deferred()
    assert journal.reserve()
    journal.append(None, record(1)[1], lambda: told.callback(None))
    await told
    await journal.stop(5)
    assert kept.read() == ([], [record(1)[1]])
    assert (journal.written, journal.usage_written) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_acknowledgements_come_later_and_in_order(kept: Kept) -> None:
    """Never inside ``append``, whose caller is in the middle of something; a thousand records are several batches."""
    journal = kept.make()
    journal.start()
    told: list[int] = []
    waiting = [hand_over(journal, number, told) for number in range(1000)]
    assert told == []
    assert journal.queue_records == 1000
    await waiting[-1]
    assert told == list(range(1000))
    await journal.stop(5)
    usage, requests = kept.read()
    assert usage == [record(number)[0] for number in range(1000)]
    assert requests == [record(number)[1] for number in range(1000)]


@pytest_twisted.ensureDeferred
async def test_records_handed_over_before_the_start_are_kept(kept: Kept) -> None:
    """They wait."""
    journal = kept.make()
    waiting = hand_over(journal, 1)
    journal.start()
    await waiting
    await journal.stop(5)
    assert len(kept.read()[1]) == 1


@pytest_twisted.ensureDeferred
async def test_places_bound_what_may_run_and_wait(kept: Kept) -> None:
    """Refusals have a few of their own; a place comes back with the acknowledgement or by release."""
    journal = kept.make(places=2, refusal_places=1)
    journal.start()
    assert journal.reserve()
    waiting = hand_over(journal, 1)
    assert not journal.reserve()
    assert journal.reserve(refusal=True)
    assert not journal.reserve(refusal=True)
    journal.drop()
    assert journal.dropped == 1
    await waiting
    assert journal.places_taken == 2
    journal.release()
    assert journal.reserve()
    await journal.stop(5)


@pytest_twisted.ensureDeferred
async def test_a_stalled_disk_stops_admission_and_loses_nothing(kept: Kept) -> None:
    """Bytes that wait are bounded too; then all is written, in order, and well again."""
    journal = kept.make(queue_bytes_max=100)
    journal.start()
    kept.stall("No space left on device")
    waiting = [hand_over(journal, number) for number in range(2)]
    journal.append(*record(2), lambda: None)
    while journal.degraded is None:
        await pause(0.001)
    assert "No space left on device" in journal.degraded
    assert journal.errors > 0
    assert not journal.reserve()
    await pause(0.01)
    oldest = journal.oldest_waiting()
    assert oldest is not None
    assert oldest >= 0.005
    kept.stall(None)
    for each in waiting:
        await each
    while journal.degraded is not None:
        await pause(0.001)
    assert await journal.stop(5) == Unwritten(0, 0)
    assert kept.read()[1] == [record(number)[1] for number in range(3)]
    assert journal.oldest_waiting() is None


@pytest_twisted.ensureDeferred
async def test_records_of_refusals_have_a_few_bytes_of_their_own(kept: Kept) -> None:
    """Beyond what stops admission; then they are refused a place too, however many places are left."""
    size = len(record(1)[1])
    journal = kept.make(queue_bytes_max=2 * size, refusal_bytes_max=2 * size)
    journal.start()
    kept.stall("No space left on device")
    kept_for = 0
    while journal.reserve(refusal=True):
        journal.append(None, record(1)[1], lambda: None)
        kept_for += 1
        assert kept_for < 100
        assert journal.reserve(refusal=True) == (journal.queue_bytes <= 4 * size)
        if journal.queue_bytes <= 4 * size:
            journal.release()
        assert journal.full == (journal.queue_bytes > 2 * size)
    assert kept_for == 5
    kept.stall(None)
    assert await journal.stop(5) == Unwritten(0, 0)
    assert journal.reserve(refusal=True)


@pytest_twisted.ensureDeferred
async def test_the_end_writes_all_that_waits(kept: Kept) -> None:
    """And acknowledges it before it says so."""
    journal = kept.make()
    journal.start()
    told: list[int] = []
    for number in range(600):
        hand_over(journal, number, told)
    assert await journal.stop(5) == Unwritten(0, 0)
    assert told == list(range(600))
    assert len(kept.read()[1]) == 600


@pytest_twisted.ensureDeferred
async def test_the_end_says_what_it_could_not_write(kept: Kept) -> None:
    """How many records, and the tokens in them; a process that lost some must not exit 0."""
    journal = kept.make()
    journal.start()
    kept.stall("No space left on device")
    for number in (10, 20):
        hand_over(journal, number)
    assert await journal.stop(0.05) == Unwritten(2, 32)
    kept.stall(None)
    await pause(0.1)


@pytest_twisted.ensureDeferred
async def test_the_end_can_be_hurried(kept: Kept) -> None:
    """Somebody does not want to wait any longer; before the end, and where it comes sooner anyway, it is nothing."""
    journal = kept.make()
    journal.hurry(0.0)
    journal.start()
    journal.hurry(0.0)
    kept.stall("No space left on device")
    hand_over(journal, 10)
    stopped = journal.stop(30)
    journal.hurry(60)
    assert not stopped.called
    journal.hurry(0.02)
    assert await stopped == Unwritten(1, 11)
    journal.hurry(0.0)
    kept.stall(None)
    await pause(0.1)


@pytest_twisted.ensureDeferred
async def test_full_is_when_nobody_is_let_in(kept: Kept) -> None:
    """By places, and by bytes."""
    journal = kept.make(places=1, queue_bytes_max=10)
    assert not journal.full
    assert journal.reserve()
    assert journal.full
    journal.release()
    assert not journal.full
    journal.start()
    kept.stall("No space left on device")
    hand_over(journal, 10)
    assert journal.full
    kept.stall(None)
    assert await journal.stop(5) == Unwritten(0, 0)
    assert not journal.full


@pytest_twisted.ensureDeferred
async def test_a_record_after_the_end_is_counted_and_its_call_is_told(kept: Kept) -> None:
    """Nobody waits for ever."""
    journal = kept.make()
    journal.start()
    await journal.stop(5)
    await hand_over(journal, 1)
    assert journal.dropped == 1
    assert journal.places_taken == 0


@pytest_twisted.ensureDeferred
async def test_a_call_that_fails_when_told_does_not_stop_the_others(kept: Kept, logged_failures: Any) -> None:
    """The failure is logged."""
    journal = kept.make()
    journal.start()

    def broken() -> None:
        raise ZeroDivisionError

    journal.reserve()
    journal.append(None, b"{}\n", broken)
    await hand_over(journal, 1)
    await journal.stop(5)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@pytest_twisted.ensureDeferred
async def test_stopping_what_was_not_started_is_over_at_once(kept: Kept) -> None:
    """A start that failed stops everything."""
    assert await kept.make().stop(5) == Unwritten(0, 0)
