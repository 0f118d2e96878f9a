"""Windows and leases in SQL: an account is loaded under its lock, changed by `lending`, and what changed is stored.

The lock: on PostgreSQL the window's row, which every transaction takes before it looks at leases, all that it needs by
one statement and in the order of their keys; on SQLite the one that a writing transaction begins with.  Rows that are
missing are made before, in the order of their names, because whoever makes one waits for another who makes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Final

from msgspec import structs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from awfproxy.core.budgets import Scope
from awfproxy.ledger.database import Database
from awfproxy.ledger.facts import Grant, Held, Holder, Loss, Release, Standing, Window
from awfproxy.ledger.lending import Account, Lease
from awfproxy.ledger.tables import covered, leases, settled, windows

#: SQLAlchemy looks at an INSERT's number of rows only where it is told to
_COUNTED: Final = {"preserve_rowcount": True}

# Statements are made once: to put one together costs as much as to run it.


def _given(table: Table, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(name) for name in names))


_NAMED: Final = select(windows).where(_given(windows, "port", "kind", "name", "period", "measure", "starts_at"))
_NAMED_LOCKED: Final = _NAMED.with_for_update()
_NUMBER: Final = select(windows.c.id).where(_given(windows, "port", "kind", "name", "period", "measure", "starts_at"))
_HELD: Final = windows.c.id.in_(select(leases.c.window_id).where(_given(leases, "instance", "worker")))
_NUMBERED: Final = windows.c.id.in_(bindparam("numbers", expanding=True))
_HELD_LOCKED: Final = select(windows).where(_HELD).order_by(windows.c.id).with_for_update()
_THESE_LOCKED: Final = select(windows).where(or_(_HELD, _NUMBERED)).order_by(windows.c.id).with_for_update()
_ENDED: Final = windows.c.ends_at < bindparam("before")
_OVER: Final = select(windows.c.id).where(_ENDED).order_by(windows.c.id).with_for_update()
_SETTLED: Final = select(settled.c.settled_at).where(_given(settled, "instance", "worker"))
_OVERDUE: Final = select(leases.c.window_id).where(leases.c.dead.is_(False), leases.c.expires_at <= bindparam("now"))
_OVERDUE_LOCKED: Final = select(windows).where(windows.c.id.in_(_OVERDUE)).order_by(windows.c.id).with_for_update()
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
_COVER: Final = insert(covered)
_COVER_MORE: Final = update(covered).where(
    covered.c.window_id == bindparam("at_window"), covered.c.instance == bindparam("at_instance")
)


class SqlLeases:
    """The windows' part of `interface.Ledger`."""

    _database: Database

    def _shown(self, connection: Connection, window: Window) -> dict[str, int]:
        raise NotImplementedError  # the rows' part

    def window(self, window: Window, now: float) -> Standing | None:
        with self._database.read() as connection:
            loaded = _Loaded(connection)
            return loaded.account(window).standing(now) if loaded.load(_NAMED, _identity(window)) else None

    def windows(self, now: float) -> list[Window]:
        with self._database.read() as connection:
            return sorted(map(_window, connection.execute(select(windows).where(windows.c.ends_at > now))))

    def join(self, holder: Holder, held: Held, *, now: float, expires_at: float, recount: bool) -> Grant:
        with self._database.write() as connection:
            opened = self._open(connection, [held.window])
            loaded = _Loaded(connection)
            loaded.load(_NAMED_LOCKED, _identity(held.window))
            account = loaded.account(held.window)
            if _is_settled(connection, holder):
                return account.stranger(now)
            rows = None
            if recount and not opened:
                rows = self._shown(connection, held.window).get(holder.instance, 0)
            grant = account.join(holder, held, rows, now, expires_at)
            loaded.store()
        return grant

    def borrow(
        self, holder: Holder, held: Held, *, cap: int, need: int, most: int, now: float, expires_at: float
    ) -> Grant:
        with self._database.write() as connection:
            self._open(connection, [held.window])
            loaded = _Loaded(connection)
            loaded.load(_NAMED_LOCKED, _identity(held.window))
            account = loaded.account(held.window)
            if holder not in account.leases and _is_settled(connection, holder):
                return account.stranger(now)
            grant = account.borrow(holder, held, cap=cap, need=need, most=most, now=now, expires_at=expires_at)
            loaded.store()
        return grant

    def give_back(self, holder: Holder, held: Held, now: float) -> Grant:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            if not loaded.load(_NAMED_LOCKED, _identity(held.window)):
                return Account(held.window, 0).stranger(now)
            grant = loaded.account(held.window).give_back(holder, held, now)
            loaded.store()
        return grant

    def close_lease(self, holder: Holder, held: Held) -> None:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            if loaded.load(_NAMED_LOCKED, _identity(held.window)):
                loaded.account(held.window).close(holder, held)
                loaded.store()

    def heartbeat(self, holder: Holder, helds: Sequence[Held], now: float, expires_at: float) -> list[Grant]:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            loaded.load(_HELD_LOCKED, structs.asdict(holder))
            grants = []
            for held in helds:
                # Of a window of which the holder has no lease it is told so, without a lock on that one.
                account = loaded.account(held.window) if held.window in loaded else Account(held.window, 0)
                grants.append(account.beat(holder, held, now, expires_at))
            loaded.store()
        return grants

    def settle_dead(self, holder: Holder, helds: Sequence[Held], now: float) -> list[Loss]:
        figures = {held.window: held for held in helds}
        with self._database.write() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            values = structs.asdict(holder) | {"settled_at": now}
            put = dialect.insert(settled).values(values).on_conflict_do_nothing()
            if not connection.execute(put, execution_options=_COUNTED).rowcount:
                return []
            self._open(connection, figures)
            loaded = _Loaded(connection)
            numbers = [connection.execute(_NUMBER, _identity(window)).scalar_one() for window in figures]
            loaded.load(_THESE_LOCKED, structs.asdict(holder) | {"numbers": numbers})
            losses = [account.settle(holder, figures.get(account.window)) for account in loaded.accounts()]
            loaded.store()
        return losses

    def give_up(self, holder: Holder) -> list[Loss]:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            loaded.load(_HELD_LOCKED, structs.asdict(holder))
            losses = [Loss(holder, account.window, account.give_up(holder)) for account in loaded.accounts()]
            loaded.store()
        return losses

    def expire(self, now: float) -> list[Loss]:
        with self._database.read() as connection:
            if connection.execute(_OVERDUE, {"now": now}).first() is None:
                return []  # as nearly always: no lock is taken
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            loaded.load(_OVERDUE_LOCKED, {"now": now})
            losses = [loss for account in loaded.accounts() for loss in account.expire(now)]
            loaded.store()
        return losses

    def release_lost(self, window: Window) -> Release | None:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            if not loaded.load(_NAMED_LOCKED, _identity(window)):
                return None
            release = loaded.account(window).release(self._shown(connection, window))
            loaded.store()
        return release

    def recount(self, window: Window, instance: str) -> None:
        with self._database.write() as connection:
            loaded = _Loaded(connection)
            if loaded.load(_NAMED_LOCKED, _identity(window)):
                loaded.account(window).recount(instance, self._shown(connection, window).get(instance, 0))
                loaded.store()

    def forget(self, before: float) -> int:
        with self._database.write() as connection:
            connection.execute(delete(settled).where(settled.c.settled_at < before))
            over = connection.execute(_OVER, {"before": before}).scalars().all()
            if over:
                connection.execute(delete(windows).where(windows.c.id.in_(over)))
        return len(over)

    def _open(self, connection: Connection, named: Iterable[Window]) -> bool:
        """Make the accounts of those of these windows that have none, from rows; whether one was made."""
        opened = False
        for window in sorted(named):
            if connection.execute(_NUMBER, _identity(window)).first() is None:
                opened |= _open_account(connection, window, self._shown(connection, window))
        return opened


class _Loaded:
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
        ended: dict[int, dict[str, int]] = {number: {} for number in found}
        for row in self._connection.execute(_COVERED, {"ids": list(found)}):
            ended[row.window_id][row.instance] = row.tokens
        for number, row in found.items():
            account = Account(_window(row), row.committed, row.lost, row.wanted_until, held[number], ended[number])
            before = {holder: copy(lease) for holder, lease in account.leases.items()}
            self._ids[account.window] = number
            self._accounts[account.window] = account
            self._before[account.window] = structs.replace(account, leases=before, covered=dict(account.covered))
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
            for instance, tokens in account.covered.items():
                if instance not in before.covered:
                    put.append({"window_id": number, "instance": instance, "tokens": tokens})
                elif tokens != before.covered[instance]:
                    more.append({"at_window": number, "at_instance": instance, "tokens": tokens})
        if changed:
            execute(_CHANGE, changed)
        if added:
            execute(_ADD, added)
        if altered:
            execute(_ALTER, altered)
        if ended:
            execute(_END, ended)
        if put:
            execute(_COVER, put)
        if more:
            execute(_COVER_MORE, more)


def _key(number: int, holder: Holder) -> dict[str, Any]:
    return {"at_window": number, "at_instance": holder.instance, "at_worker": holder.worker}


def _figures(account: Account) -> dict[str, Any]:
    return {"committed": account.committed, "lost": account.lost, "wanted_until": account.wanted_until}


def _open_account(connection: Connection, window: Window, shown: dict[str, int]) -> bool:
    """Another process may do the same at once: the first one's stays.  Whether it is ours."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    figures = {"committed": sum(shown.values()), "lost": 0, "wanted_until": 0.0}
    put = dialect.insert(windows).values(_identity(window) | {"ends_at": window.end} | figures).on_conflict_do_nothing()
    if not connection.execute(put, execution_options=_COUNTED).rowcount:
        return False
    if shown:
        number = connection.execute(_NUMBER, _identity(window)).scalar_one()
        rows = [{"window_id": number, "instance": instance, "tokens": tokens} for instance, tokens in shown.items()]
        connection.execute(_COVER, rows)
    return True


def _is_settled(connection: Connection, holder: Holder) -> bool:
    return connection.execute(_SETTLED, structs.asdict(holder)).first() is not None


def _identity(window: Window) -> dict[str, Any]:
    scope = window.scope
    return {
        "port": scope.port,
        "kind": scope.kind,
        "name": scope.name,
        "period": window.period,
        "measure": window.measure,
        "starts_at": window.start,
    }


def _window(row: Row[Any]) -> Window:
    return Window(Scope(row.port, row.kind, row.name), row.period, row.starts_at, row.ends_at, row.measure)
