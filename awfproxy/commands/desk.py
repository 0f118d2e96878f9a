"""Where budgets are asked about: at the running service, else at the ledger of the stopped one.

Rules: nothing is made where there is nothing: reading a ledger whose file is not there yet is reading an empty one.  A
file that root makes is given to the owner of its folder, or the service could not write it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from awfproxy.commands.failure import CommandFailed
from awfproxy.commands.service_socket import running_service
from awfproxy.configuration import load, state_dir
from awfproxy.core.settings import Settings, SettingsError
from awfproxy.ledger.budget_desk import BudgetDesk, Division, Refused, Statement, Statements
from awfproxy.ledger.errors import LedgerError
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.person import person
from awfproxy.ledger.sql import SqlLedger


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
    :raises CommandFailed: the settings are wrong, or neither service nor ledger can be used; within the block too
    """
    try:
        service = running_service(state_dir(config, environ))
        if service is not None:
            yield service
            return
        settings = load(config, environ)
    except SettingsError as error:
        raise CommandFailed("\n".join(error.lines)) from error
    with open_ledger(settings, writes=writes) as ledger:
        yield BudgetDesk(settings, ledger, person(os.getuid()), time.time())


@contextmanager
def open_ledger(settings: Settings, *, writes: bool) -> Iterator[Ledger]:
    """The ledger of these settings, for the block.

    :raises CommandFailed: it cannot be used; within the block too
    """
    database = settings.service.ledger
    made = database.path is not None and not os.path.exists(database.path)
    ledger: Ledger = MemoryLedger() if made and not writes else _sql(database.reveal())
    try:
        yield ledger
    except LedgerError as error:
        raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    finally:
        ledger.close()
        if made and writes and database.path is not None:
            _give(database.path)


def _sql(url: str) -> Ledger:
    try:
        return SqlLedger(url)
    except LedgerError as error:
        raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _give(path: str) -> None:
    if os.geteuid() == 0 and os.path.exists(path):
        folder = os.stat(os.path.dirname(path))
        os.chown(path, folder.st_uid, folder.st_gid)
