"""The ledger's thread: in order, once, and never in the reactor's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from awfproxy.ledger.errors import LedgerGone, LedgerNewer, LedgerUnavailable
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.server.ledger_thread import LedgerThread


class Database(MemoryLedger):
    """A ledger that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Exception | None = None
        self.opened = 0
        self.closed = False

    def reopen(self) -> None:
        """As the real one's."""
        self.opened += 1
        if self.away is not None:
            raise self.away

    def close(self) -> None:
        """As the real one's."""
        self.closed = True

    def use(self) -> str:
        """As any operation does."""
        if self.away is not None:
            raise self.away
        return "done"


@pytest.fixture
def database() -> Database:
    """One that is there."""
    return Database()


@pytest.fixture
def thread(database: Database) -> Iterator[LedgerThread]:
    """Running, and stopped afterwards."""
    from twisted.internet import reactor

    def opened() -> Ledger:
        database.reopen()
        return database

    made = LedgerThread(opened, call_from_thread=reactor.callFromThread, clock=reactor)  # type: ignore[attr-defined]
    made.start()
    yield made
    assert pytest_twisted.blockon(made.stop(5)) is True


def done(thread: LedgerThread, operation: Callable[[Any], Any]) -> Deferred[Any]:
    """What became of an operation."""
    result: Deferred[Any] = Deferred()
    thread.do(operation, result.callback)
    return result


def until(true: Callable[[], bool]) -> Deferred[None]:
    """Waits, five seconds at most."""

    async def wait() -> None:
        from twisted.internet import reactor

        end = time.monotonic() + 5
        while not true():
            assert time.monotonic() < end
            await deferLater(reactor, 0.01)

    return Deferred.fromCoroutine(wait())


@pytest_twisted.inlineCallbacks
def test_in_order_in_a_thread_of_its_own(thread: LedgerThread) -> Any:
    """And answered in the reactor's."""
    order: list[int] = []
    where: list[threading.Thread] = []
    results = []
    for number in range(50):

        def operation(_: Ledger, number: int = number) -> int:
            order.append(number)
            where.append(threading.current_thread())
            return number

        results.append(done(thread, operation).addCallback(lambda got: (got, threading.current_thread())))
    for number, result in enumerate(results):
        got, answered_in = yield result
        assert got == number
        assert answered_in is threading.current_thread()
    assert order == list(range(50))
    assert set(where) != {threading.current_thread()}


@pytest_twisted.inlineCallbacks
def test_a_lost_ledger_is_reached_again(thread: LedgerThread, database: Database) -> Any:
    """What is given meanwhile is answered at once with the reason; whoever wants to hears of the return."""
    returned: list[int] = []
    thread.returned.append(lambda: returned.append(1))
    yield done(thread, Database.use)
    before = len(returned)
    database.away = LedgerUnavailable("the ledger is on holiday")
    for _ in range(3):
        answer = yield done(thread, Database.use)
        assert isinstance(answer, LedgerUnavailable)
        assert str(answer) == "the ledger is on holiday"
    yield until(lambda: thread.trouble == "the ledger is on holiday")
    database.away = None
    yield until(lambda: thread.trouble is None)
    yield until(lambda: len(returned) > before)
    assert (yield done(thread, Database.use)) == "done"
    assert thread.errors >= 1
    assert thread.made_anew == 0


@pytest_twisted.inlineCallbacks
def test_a_ledger_that_is_gone_is_counted(thread: LedgerThread, database: Database) -> Any:
    """Whatever was known of it is of another one."""
    database.away = LedgerGone("gone")
    answer = yield done(thread, Database.use)
    assert isinstance(answer, LedgerGone)
    database.away = None
    yield until(lambda: thread.trouble is None)
    assert thread.made_anew == 1


@pytest_twisted.inlineCallbacks
def test_a_defect_does_not_end_it(thread: LedgerThread, logged_failures: Any) -> Any:
    """It is logged, answered, and the next operation is done."""
    answer = yield done(thread, lambda _: 1 // 0)
    assert isinstance(answer, LedgerUnavailable)
    assert "ZeroDivisionError" in str(answer)
    assert (yield done(thread, Database.use)) == "done"


@pytest.mark.parametrize(
    ("away", "trouble"),
    [
        (LedgerNewer("the tables are newer"), "the tables are newer"),
        (OSError(24, "Too many open files"), "the ledger cannot be opened: OSError: [Errno 24] Too many open files"),
    ],
    ids=["newer", "files"],
)
@pytest_twisted.inlineCallbacks
def test_one_that_cannot_be_opened_yet(database: Database, away: Exception, trouble: str) -> Any:
    """Not at the first attempt, not with tables of a newer version, not while something else is missing: tried until
    it can."""
    from twisted.internet import reactor

    database.away = away

    def opened() -> Ledger:
        database.reopen()
        return database

    thread = LedgerThread(opened, call_from_thread=reactor.callFromThread, clock=reactor)  # type: ignore[attr-defined]
    thread.start()
    yield until(lambda: thread.trouble == trouble)
    answer = yield done(thread, Database.use)
    assert isinstance(answer, LedgerUnavailable)
    database.away = None
    yield until(lambda: thread.trouble is None)
    assert (yield done(thread, Database.use)) == "done"
    assert (yield thread.stop(5)) is True
    assert database.closed


@pytest_twisted.inlineCallbacks
def test_stopping_does_what_was_given_before(database: Database) -> Any:
    """And refuses what comes later; twice is once; before the start it is nothing."""
    from twisted.internet import reactor

    thread = LedgerThread(lambda: database, call_from_thread=reactor.callFromThread, clock=reactor)  # type: ignore[attr-defined]
    assert (yield thread.stop(1)) is True
    thread.start()

    def late(_: Ledger) -> str:
        time.sleep(0.1)
        return "late"

    result = done(thread, late)
    stopping = thread.stop(5)
    refused = done(thread, Database.use)
    assert (yield result) == "late"
    assert (yield stopping) is True
    assert isinstance((yield refused), LedgerUnavailable)
    assert not thread.running


@pytest_twisted.inlineCallbacks
def test_a_database_that_hangs_does_not_stop_the_end(database: Database) -> Any:
    """After the deadline it goes on without."""
    from twisted.internet import reactor

    gate = threading.Event()
    thread = LedgerThread(lambda: database, call_from_thread=reactor.callFromThread, clock=reactor)  # type: ignore[attr-defined]
    thread.start()
    thread.do(lambda _: gate.wait(10), lambda _: None)
    assert (yield thread.stop(0.1)) is False
    assert not thread.running
    gate.set()
