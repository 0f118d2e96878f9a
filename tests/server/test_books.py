"""Everything about the ledger together: real thread, real database, real files; no calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest_twisted
from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from awfproxy.core.budgets import Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Feature, Settings
from awfproxy.core.settings_file import from_file
from awfproxy.core.windows import window_end, window_start
from awfproxy.ledger.facts import Window
from awfproxy.ledger.sql import SqlLedger
from awfproxy.server.allowance import Allowance, Answer, Reservation
from awfproxy.server.books import Books
from awfproxy.server.journal_memory import MemoryJournal
from tests.server.test_journal_tail import line

CONFIG = """
[service]
log_dir = "{folder}"
state_dir = "{folder}/state"
[ports.p]
provider = "openai"
[ports.p.budget]
enabled = {enabled}
period = "month"
soft_cap_tokens = 0
hard_cap_tokens = 100000
mode = "strict"
"""


def settings(folder: Path, enabled: str = "true") -> Settings:
    """One port with a budget."""
    return from_file(
        CONFIG.format(folder=folder, enabled=enabled), "a.toml", {"HOME": "/h"},
        directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20),
    )  # fmt: skip


def started(folder: Path, enabled: str = "true") -> tuple[Books, Allowance]:
    """Books that keep and lend, and the budget of the port."""
    from twisted.internet import reactor

    (folder / "token-usage.jsonl").touch()
    books = Books(settings(folder, enabled), reactor, MemoryJournal(reactor))
    books.start(keeps=True)
    assert books.allowances is not None
    (allowance,) = books.allowances.of("p", None, "chat")
    return books, allowance


def taken(allowance: Allowance, amount: int) -> Deferred[Reservation]:
    """Fires when so much is reserved."""
    got: Deferred[Reservation] = Deferred()

    def answered(answer: Answer) -> None:
        reservation = allowance.reserve(amount, time.time()) if answer.fits else None
        if reservation is not None:
            got.callback(reservation)
        else:
            allowance.ask(amount, answered)

    answered(Answer(True, allowance.standing(time.time())))
    return got


def until(true: Callable[[], bool]) -> Deferred[None]:
    """Waits, ten seconds at most."""

    async def wait() -> None:
        from twisted.internet import reactor

        end = time.monotonic() + 10
        while not true():
            assert time.monotonic() < end
            await deferLater(reactor, 0.02)

    return Deferred.fromCoroutine(wait())


def figures(folder: Path) -> tuple[int, int, int]:
    """Committed, lost and holders of the month's account."""
    start = window_start("month", time.time())
    ledger = SqlLedger(f"sqlite:///{folder}/state/ledger.db")
    standing = ledger.window(Window(Scope("p"), "month", start, window_end("month", start)), time.time())
    ledger.close()
    assert standing is not None
    return standing.committed, standing.lost, standing.holders


def used_before(folder: Path, tokens: int) -> None:
    """A record of a call of now."""
    now = int(time.time()) - 1_768_435_200
    (folder / "token-usage.jsonl").write_bytes(
        line(now).replace(b'"input_tokens":%d' % now, b'"input_tokens":%d' % (tokens - 1))
    )


@pytest_twisted.inlineCallbacks
def test_spent_given_back_and_remembered(tmp_path: Path) -> Any:
    """What the files have counts; what was spent is committed after the end, and no file is left."""
    used_before(tmp_path, 400)
    books, allowance = started(tmp_path)
    reservation = yield taken(allowance, 1000)
    assert allowance.standing(time.time()).used == 400
    allowance.settle(reservation, 700)
    assert allowance.standing(time.time()).used == 1100
    assert books.condition() is None
    yield books.stop()
    assert figures(tmp_path) == (1100, 0, 0)
    assert os.listdir(tmp_path / "state" / "holdings") == []


@pytest_twisted.inlineCallbacks
def test_a_ledger_that_is_deleted_knows_what_is_held_soon(tmp_path: Path) -> Any:
    """Rows from the files, leases from those who hold them."""
    used_before(tmp_path, 400)
    books, allowance = started(tmp_path)
    reservation = yield taken(allowance, 1000)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / "state" / name).unlink(missing_ok=True)
    yield until(lambda: (tmp_path / "state" / "ledger.db").exists())
    again = yield taken(allowance, 98_000)
    standing = allowance.standing(time.time())
    assert (standing.used, standing.reserved) == (400, 99_000)
    allowance.settle(reservation, 1000)
    allowance.settle(again, 98_000)
    answers: list[Answer] = []
    allowance.ask(601, answers.append)
    yield until(lambda: bool(answers))
    assert not answers[0].fits
    yield books.stop()


@pytest_twisted.inlineCallbacks
def test_a_start_settles_what_the_last_process_held(tmp_path: Path) -> Any:
    """Killed with a call that ran: what it had reserved counts as used, the rest is there again."""
    books, allowance = started(tmp_path)
    spent = yield taken(allowance, 1000)
    allowance.settle(spent, 800)
    yield taken(allowance, 500)
    assert books.allowances is not None
    books.allowances._places.close()  # its lock goes, as at a death
    books.allowances._places._file = None
    books.allowances._leases.clear()
    yield books.stop()
    (tmp_path / "token-usage.jsonl").write_bytes(b"")
    books, allowance = started(tmp_path)
    got = yield taken(allowance, 98_700)
    assert figures(tmp_path)[1] == 500
    allowance.settle(got, 0)
    yield books.stop()
    assert figures(tmp_path) == (1300, 500, 0)


@pytest_twisted.inlineCallbacks
def test_without_budgets_nothing_is_held(tmp_path: Path) -> Any:
    """Rows are recorded all the same."""
    used_before(tmp_path, 400)
    books, _ = started(tmp_path, "false")
    yield until(lambda: books.figures().recorded == 1)
    assert books.figures().lag == 0
    yield books.stop()
    assert not (tmp_path / "state" / "holdings").exists()


@pytest_twisted.inlineCallbacks
def test_opening_until_budgets_can_be_spent(tmp_path: Path) -> Any:
    """Then a call reserves at once what it needs; where no budget is on there is nothing to open."""
    books, allowance = started(tmp_path)
    assert books.opening()
    yield until(lambda: not books.opening())
    assert books.condition() is None and allowance.standing(time.time()).known
    yield books.stop()
    (tmp_path / "off").mkdir()
    books, _ = started(tmp_path / "off", "false")
    assert not books.opening()
    yield books.stop()


@pytest_twisted.inlineCallbacks
def test_nothing_opens_without_a_ledger(tmp_path: Path) -> Any:
    """As soon as it is known that it cannot be reached; where what was stored is not known either, that is looked for."""
    (tmp_path / "state" / "ledger.db").mkdir(parents=True)
    books, _ = started(tmp_path)
    yield until(lambda: not books.opening())
    assert books.condition() is not None
    yield books.stop()
    (tmp_path / "other" / "state").mkdir(parents=True)
    (tmp_path / "other" / "state" / "budgets.json").write_text("{torn")
    books, _ = started(tmp_path / "other", "false")
    assert not books.known and books.opening()
    yield until(lambda: not books.opening())
    assert books.known
    yield books.stop()


@pytest_twisted.inlineCallbacks
def test_stopping_what_was_not_started(tmp_path: Path) -> Any:
    """Is nothing, as often as one likes."""
    from twisted.internet import reactor

    books = Books(settings(tmp_path), reactor, MemoryJournal(reactor))
    yield books.stop()
    yield books.stop()
    assert not (tmp_path / "state").exists()


@pytest_twisted.inlineCallbacks
def test_other_settings(tmp_path: Path) -> Any:
    """A budget is switched on with what was used before; what was stored over the settings goes on before the file's;
    prices are another file's; features that are listed now are their own in rows.
    """
    used_before(tmp_path, 400)
    books, allowance = started(tmp_path, "false")
    yield until(lambda: books.figures().recorded == 1)
    stored = {"hard_cap_tokens": 60_000}
    yield books.on_ledger(
        lambda ledger: ledger.set_setting(Scope("p"), stored, "somebody", time.time(), lambda before, given: given)
    )
    yield until(lambda: books.budgets[Scope("p")].hard_cap_tokens == 60_000)
    changed = settings(tmp_path)
    prices = tmp_path / "prices.toml"
    prices.write_text("")
    (port,) = changed.ports
    port = structs.replace(port, features=(Feature(name="review"),))
    service = structs.replace(changed.service, prices=str(prices))
    books.take_over(structs.replace(changed, service=service, ports=(port,)))
    assert (allowance.budget.enabled, allowance.budget.hard_cap_tokens) == (True, 60_000)
    assert books.allowances is not None
    assert [each.scope.name for each in books.allowances.of("p", None, "review")] == ["", "review"]
    reservation = yield taken(allowance, 1000)
    assert allowance.standing(time.time()).used == 400
    allowance.settle(reservation, 0)
    yield until(lambda: books._charges._path == str(prices))
    books.take_over(settings(tmp_path, "false"))
    assert not allowance.cap.enabled
    yield books.stop()
