"""Where budgets are asked about: at the running service, else at the ledger of the stopped one.

Rules:
- Nothing is made where there is nothing: reading a ledger whose file is not there is reading one that knows what was
  last seen stored of budgets, and nothing else.
- Who writes the ledger of a stopped service has its lock, so that it does not start meanwhile; gives back to the ledger
  what that lost of stored budgets; and keeps what is stored then, as the service does.
- Whoever asks while no service runs is told whose ledger it is.
- A file that root makes is given to the owner of its folder, or the service could not use it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import click

from awfproxy.commands.failure import CommandFailed
from awfproxy.commands.service_socket import running_service
from awfproxy.commands.unusable import unusable
from awfproxy.configuration import load, state_dir
from awfproxy.core.settings import Database, Settings, SettingsError
from awfproxy.ledger.budget_desk import BudgetDesk, Division, Refused, Statement, Statements
from awfproxy.ledger.errors import LedgerError
from awfproxy.ledger.facts import Setting
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.person import person
from awfproxy.ledger.sql import SqlLedger
from awfproxy.report.escaping import visible
from awfproxy.state import service_lock, stored_budgets
from awfproxy.state.service_lock import ServiceLock, ServiceLockError, StateDirInUse
from awfproxy.state.stored_budgets import StoredBudgets


class Desk(Protocol):
    """What `BudgetDesk` and `ServiceSocket` both do."""

    def show(
        self, port: str | None = None, user: str | None = None, feature: str | None = None
    ) -> Statements | Refused: ...

    def set(
        self, fields: Mapping[str, Any], port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused: ...

    def unset(
        self, names: Sequence[str] | None, port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused: ...

    def division(self, port: str) -> Division | Refused: ...


@contextmanager
def open_desk(config: str | None, environ: Mapping[str, str], *, writes: bool = False) -> Iterator[Desk]:
    """The desk of the proxy of this file and environment.

    :param writes: something is going to be stored
    :raises CommandFailed: neither service nor ledger can be used; within the block too.  For wrong settings the command
        ends as `unusable` has it
    """
    try:
        service = running_service(state_dir(config, environ))
        if service is not None:
            yield service
            return
        settings = load(config, environ)
        # a command in another folder, without the file that the service has, asks a ledger that nobody uses
        folder = visible(settings.service.state_dir)
        click.echo(f"note: no service runs with the state folder {folder}; this is its stored ledger.", err=True)
    except SettingsError as error:
        unusable(map(visible, error.lines), config)
    with open_ledger(settings, writes=writes) as ledger:
        yield BudgetDesk(settings, ledger, person(os.getuid()), time.time())


@contextmanager
def open_ledger(settings: Settings, *, writes: bool) -> Iterator[Ledger]:
    """The ledger of these settings, for the block.

    :param writes: of a service that does not run
    :raises CommandFailed: it cannot be used; within the block too.  Or it is to be written, and the service is about to
        start, or what is stored of budgets cannot be kept
    """
    folder = settings.service.state_dir
    with _locked(folder) if writes else nullcontext():
        stored = StoredBudgets(folder)
        seen = stored.read()
        ledger = _opened(settings.service.ledger, seen or (), writes)
        try:
            if writes and (restored := stored.look(ledger).restored):
                note = f"note: the ledger had lost what was stored of budgets: {len(restored)} stored again"
                click.echo(f"{note} as {stored_budgets.NAME} has them", err=True)
            yield ledger
            if writes:
                stored.look(ledger)
        except LedgerError as error:
            raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        finally:
            ledger.close()
            if writes:
                _give(os.path.join(folder, stored_budgets.NAME))
                if settings.service.ledger.path is not None:
                    _give(settings.service.ledger.path)
    if stored.trouble is not None:
        raise CommandFailed(f"It is in the ledger, and would be lost with it: {stored.trouble}.")


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    lock = ServiceLock(folder)
    try:
        lock.take()
    except StateDirInUse as error:
        raise CommandFailed("The service is about to start or to end, or another command writes; try again.") from error
    except ServiceLockError as error:
        raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    try:
        _give(os.path.join(folder, service_lock.NAME))
        yield
    finally:
        lock.release()


def _opened(database: Database, seen: Sequence[Setting], writes: bool) -> Ledger:
    if writes or database.path is None or os.path.exists(database.path):
        return _sql(database.reveal())
    ledger = MemoryLedger()
    ledger.restore_settings(seen)
    return ledger


def _sql(url: str) -> Ledger:
    try:
        return SqlLedger(url)
    except LedgerError as error:
        raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _give(path: str) -> None:
    if os.geteuid() == 0 and os.path.lexists(path) and os.lstat(path).st_uid == 0:
        folder = os.stat(os.path.dirname(path))
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
