"""Budgets at a start without the ledger: what was seen last holds, and what nobody knows is not taken for nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from awfproxy.core.budgets import Scope
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Settings
from awfproxy.core.settings_file import from_file
from awfproxy.ledger.budget_desk import BudgetDesk, Refused, Statement
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.sql import SqlLedger
from awfproxy.server.allowance import Allowances, Answer, NoAllowances
from awfproxy.server.books import Books
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.unknown_budgets import UnknownBudgets
from awfproxy.state import stored_budgets
from awfproxy.state.stored_budgets import NAME, StoredBudgets
from tests.server.test_books import until

CONFIG = """
[service]
log_dir = "{folder}"
state_dir = "{folder}/state"
ledger = "sqlite:///{folder}/database/ledger.db"
[ports.p]
provider = "openai"
[ports.q]
provider = "openai"
listen = "tcp:1"
budget.on_ledger_loss = "allow"
"""
SEEN = [
    Setting(Scope("p"), {"enabled": True, "hard_cap_tokens": 500, "soft_cap_tokens": 7}, "root", 1.0),
    Setting(Scope("p", "user", "ci"), {"enabled": True, "hard_cap_tokens": -1, "odd": "x"}, "root", 2.0),
]


def settings(folder: Path) -> Settings:
    """Two ports without a budget, of which one goes on without the ledger."""
    return from_file(
        CONFIG.format(folder=folder), "a.toml", {"HOME": "/h"},
        directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20),
    )  # fmt: skip


class Started:
    """Books, and what they lend."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        (folder / "token-usage.jsonl").touch()
        self.lent: list[Allowances] = []
        self.books = Books(settings(folder), reactor, MemoryJournal(reactor))
        self.books.lend = self.lent.append
        self.books.start(keeps=True)


@pytest.fixture
def without(tmp_path: Path) -> Callable[[], None]:
    """The ledger cannot be reached until this is called."""
    (tmp_path / "database").write_text("")

    def reach() -> None:
        (tmp_path / "database").unlink()
        (tmp_path / "database").mkdir(exist_ok=True)  # who waits for it may have made it at once

    return reach


def test_what_is_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was; and it is written only where it is something else."""
    stored = StoredBudgets(str(tmp_path))
    assert stored.read() == []
    stored.keep(SEEN)
    assert StoredBudgets(str(tmp_path)).read() == SEEN
    before = (tmp_path / NAME).stat().st_ino
    again = StoredBudgets(str(tmp_path))
    again.read()
    again.keep(SEEN)
    assert (tmp_path / NAME).stat().st_ino == before

    def full(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(stored_budgets, "replace", full)
        again.keep([])
    assert again.trouble == f"state_dir: {NAME} cannot be written: No space left on device"
    assert StoredBudgets(str(tmp_path)).read() == SEEN
    again.keep([])
    assert again.trouble is None
    assert StoredBudgets(str(tmp_path)).read() == []


def test_a_ledger_gets_back_what_it_lost(tmp_path: Path) -> None:
    """What is newer there stays, an unset one too; and it is no loss where nothing had been seen."""
    StoredBudgets(str(tmp_path)).keep(SEEN)
    stored, ledger = StoredBudgets(str(tmp_path)), MemoryLedger()
    assert stored.look(ledger) == ([], [])  # nothing was read
    StoredBudgets(str(tmp_path)).keep(SEEN)
    stored.read()
    unset = ledger.set_setting(SEEN[0].scope, {}, "ann", 3.0, lambda stored, given: {})
    assert stored.look(ledger) == ([unset, SEEN[1]], [SEEN[1]])
    assert stored.look(ledger) == ([unset, SEEN[1]], [])
    assert StoredBudgets(str(tmp_path)).read() == ledger.settings() == [unset, SEEN[1]]
    assert stored.look(MemoryLedger()) == ([unset, SEEN[1]], [unset, SEEN[1]])


def test_what_cannot_be_written_is_known_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the process lives."""
    stored, ledger = StoredBudgets(str(tmp_path / "file")), MemoryLedger()
    (tmp_path / "file").write_text("")
    ledger.restore_settings(SEEN)
    assert stored.look(ledger) == (SEEN, [])
    assert stored.trouble is not None
    assert stored.look(MemoryLedger()) == (SEEN, SEEN)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"[1]", b'[{"scope":{"port":"p","kind":"world"},"fields":{},"changed_by":"","changed_at":0}]',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_damaged_is_not_known(tmp_path: Path, content: bytes) -> None:
    """Not as if nothing had been stored."""
    (tmp_path / NAME).write_bytes(content)
    assert StoredBudgets(str(tmp_path)).read() is None


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    """Whatever stands there."""
    (tmp_path / NAME).mkdir()
    assert StoredBudgets(str(tmp_path)).read() is None


def test_an_unknown_budget_lets_nobody_in() -> None:
    """Where the port denies; it answers in a later turn, or not at all where it is cancelled."""
    clock = Clock()
    unknown = UnknownBudgets(settings(Path("/x")), NoAllowances(), clock)
    assert unknown.of("q", None, "chat") == ()
    (budget,) = unknown.of("p", "ci", "chat")
    assert not budget.cap.enabled
    assert budget.reserve(0, 0.0) is None
    answers: list[Answer] = []
    budget.ask(0, answers.append)
    budget.ask(0, answers.append)()
    assert answers == []
    clock.advance(0)
    assert [(answer.fits, answer.available) for answer in answers] == [(False, False)]
    budget.settle(budget.overdraw(0.0), 100)
    assert not budget.standing(0.0).soft_exceeded


@pytest_twisted.inlineCallbacks
def test_what_was_seen_last_holds_until_the_first_look(tmp_path: Path, without: Callable[[], None]) -> Any:
    """A new ledger gets it then; what is unset in that is not stored again."""
    StoredBudgets(str(tmp_path / "state")).keep(SEEN)
    started = Started(tmp_path)
    books = started.books
    assert books.known
    budget = books.budgets[Scope("p")]
    assert (budget.enabled, budget.hard_cap_tokens, budget.soft_cap_tokens) == (True, 500, 7)
    assert Scope("p", "user", "ci") not in books.budgets
    assert started.lent == [books.allowances]
    without()
    yield until(lambda: books.allowances is not None and books.condition() is None)
    found = yield books.on_ledger(lambda ledger: ledger.settings())
    assert found == SEEN
    assert books.budgets[Scope("p")] == budget
    yield books.on_ledger(lambda ledger: BudgetDesk(settings(tmp_path), ledger, "ann", 3.0).unset(None, "p"))
    books.look()
    yield until(lambda: not books.budgets[Scope("p")].enabled)
    kept = StoredBudgets(str(tmp_path / "state")).read()
    assert kept == [Setting(Scope("p"), {}, "ann", 3.0), SEEN[1]]
    yield books.stop()


@pytest_twisted.inlineCallbacks
def test_a_change_after_the_loss_goes_over_what_was_stored(tmp_path: Path) -> Any:
    """Even where it is the first that the new ledger hears of."""
    StoredBudgets(str(tmp_path / "state")).keep(SEEN)
    books = Started(tmp_path).books
    yield books.on_ledger(lambda ledger: ledger.settings())
    books._looking.stop()
    for path in (tmp_path / "database").iterdir():
        path.unlink()

    def change(ledger: Ledger) -> Statement | Refused:
        return BudgetDesk(settings(tmp_path), ledger, "ann", 3.0).set({"hard_cap_tokens": 900}, "p")

    with suppress(LedgerUnavailable):  # unless another operation has found before that it is gone
        yield books.on_ledger(change)
    yield books.on_ledger(change)
    assert books.budgets[Scope("p")].enabled
    kept = yield books.on_ledger(lambda ledger: ledger.settings())
    assert kept == [Setting(Scope("p"), SEEN[0].fields | {"hard_cap_tokens": 900}, "ann", 3.0), SEEN[1]]
    yield books.stop()


@pytest_twisted.inlineCallbacks
def test_what_is_seen_is_kept(tmp_path: Path) -> Any:
    """For the next start, also where it was the same as before."""
    (tmp_path / "database").mkdir()
    ledger = SqlLedger(f"sqlite:///{tmp_path}/database/ledger.db")
    ledger.open()
    fields = {"enabled": True, "soft_cap_tokens": 1, "hard_cap_tokens": 2}
    ledger.set_setting(Scope("p"), fields, "root", time.time(), lambda kept, given: given)
    ledger.close()
    books = Started(tmp_path).books
    yield until(lambda: books.budgets[Scope("p")].enabled)
    yield books.stop()
    kept = StoredBudgets(str(tmp_path / "state")).read()
    assert kept is not None
    assert [(each.scope, each.fields) for each in kept] == [(Scope("p"), fields)]
    assert sorted(os.listdir(tmp_path / "state")).count(NAME) == 1


@pytest_twisted.inlineCallbacks
def test_where_nobody_knows_the_ports_own_rule_decides(tmp_path: Path, without: Callable[[], None]) -> Any:
    """Loudly, until the first look."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / NAME).write_bytes(b"half")
    started = Started(tmp_path)
    books = started.books
    (lent,) = started.lent
    (budget,) = lent.of("p", None, "chat")
    assert budget.reserve(0, time.time()) is None
    for each in lent.of("q", None, "chat"):
        assert each.reserve(10, time.time()) is not None
    assert "is not known" in str(books.condition())
    without()
    yield until(lambda: books.known)
    assert started.lent == [lent, books.allowances]
    assert books.condition() is None
    yield books.stop()
    assert StoredBudgets(str(tmp_path / "state")).read() == []
