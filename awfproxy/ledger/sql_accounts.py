"""Accounts in their tables: loaded, and what changed of them stored."""

from __future__ import annotations

from copy import copy
from typing import Any, Final

from msgspec import structs
from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, insert, select, update

from awfproxy.core.budgets import Scope
from awfproxy.ledger.facts import Holder, Window
from awfproxy.ledger.lending import Account, Lease
from awfproxy.ledger.tables import covered, leases, windows

# Statements are made once: to put one together costs as much as to run it.

_LEASES: Final = select(leases).where(leases.c.window_id.in_(bindparam("ids", expanding=True)))
_COVERED: Final = select(covered).where(covered.c.window_id.in_(bindparam("ids", expanding=True)))
_AT: Final = and_(
    leases.c.window_id == bindparam("at_window"),
    leases.c.instance == bindparam("at_instance"),
    leases.c.worker == bindparam("at_worker"),
)
_CHANGE: Final = update(windows).where(windows.c.id == bindparam("at_window"))
_ADD: Final = insert(leases)
_ALTER: Final = update(leases).where(_AT)
_END: Final = delete(leases).where(_AT)
#: adds what an account that is opened knows of an installation
COVER: Final = insert(covered)
_COVER_MORE: Final = update(covered).where(
    covered.c.window_id == bindparam("at_window"), covered.c.instance == bindparam("at_instance")
)


class Loaded:
    """Accounts as they were loaded, and as they are now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._accounts: dict[Window, Account] = {}
        self._ids: dict[Window, int] = {}
        self._before: dict[Window, Account] = {}

    def __contains__(self, window: Window) -> bool:
        return window in self._accounts

    def account(self, window: Window) -> Account:
        return self._accounts[window]

    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def load(self, query: Select[Any], values: dict[str, Any]) -> bool:
        """Add the accounts of the windows that are found; whether there was one."""
        found = {row.id: row for row in self._connection.execute(query, values)}
        if not found:
            return False
        held: dict[int, dict[Holder, Lease]] = {number: {} for number in found}
        for row in self._connection.execute(_LEASES, {"ids": list(found)}):
            lease = Lease(row.granted, row.spent, row.shown, row.reserved, row.lost, row.dead, row.expires_at)
            held[row.window_id][Holder(row.instance, row.worker)] = lease
        accounts = {
            number: Account(window_of(row), row.committed, row.lost, row.wanted_until, held[number])
            for number, row in found.items()
        }
        for row in self._connection.execute(_COVERED, {"ids": list(found)}):
            account = accounts[row.window_id]
            account.covered[row.instance] = row.tokens
            if row.doubtful:
                account.doubtful[row.instance] = row.doubtful
        for number, account in accounts.items():
            self._ids[account.window] = number
            self._accounts[account.window] = account
            self._before[account.window] = structs.replace(
                account,
                leases={holder: copy(lease) for holder, lease in account.leases.items()},
                covered=dict(account.covered),
                doubtful=dict(account.doubtful),
            )
        return True

    def store(self) -> None:
        """Write what changed."""
        execute = self._connection.execute
        changed, added, altered, ended = [], [], [], []
        put: list[dict[str, Any]] = []
        more: list[dict[str, Any]] = []
        for window, account in self._accounts.items():
            number, before = self._ids[window], self._before[window]
            if _figures(account) != _figures(before):
                changed.append({"at_window": number, **_figures(account)})
            for holder, lease in account.leases.items():
                old = before.leases.get(holder)
                if old is None:
                    key = {"window_id": number, "instance": holder.instance, "worker": holder.worker}
                    added.append(key | structs.asdict(lease))
                elif lease != old:
                    altered.append(_key(number, holder) | structs.asdict(lease))
            ended += [_key(number, holder) for holder in before.leases.keys() - account.leases.keys()]
            for instance in account.covered:
                figures = _covered(account, instance)
                if instance not in before.covered:
                    put.append({"window_id": number, "instance": instance, **figures})
                elif figures != _covered(before, instance):
                    more.append({"at_window": number, "at_instance": instance, **figures})
        if changed:
            execute(_CHANGE, changed)
        if added:
            execute(_ADD, added)
        if altered:
            execute(_ALTER, altered)
        if ended:
            execute(_END, ended)
        if put:
            execute(COVER, put)
        if more:
            execute(_COVER_MORE, more)


def _key(number: int, holder: Holder) -> dict[str, Any]:
    return {"at_window": number, "at_instance": holder.instance, "at_worker": holder.worker}


def _figures(account: Account) -> dict[str, Any]:
    return {"committed": account.committed, "lost": account.lost, "wanted_until": account.wanted_until}


def _covered(account: Account, instance: str) -> dict[str, int]:
    return {"tokens": account.covered[instance], "doubtful": account.doubtful.get(instance, 0)}


def identity(window: Window) -> dict[str, Any]:
    """The columns by which a window is known."""
    scope = window.scope
    return {
        "port": scope.port,
        "kind": scope.kind,
        "name": scope.name,
        "period": window.period,
        "measure": window.measure,
        "starts_at": window.start,
    }


def window_of(row: Row[Any]) -> Window:
    """That a row of `tables.windows` is about."""
    return Window(Scope(row.port, row.kind, row.name), row.period, row.starts_at, row.ends_at, row.measure)
