"""Windows and leases in SQL: an account is loaded under its lock, changed by `lending`, and what changed is stored.

The lock: on PostgreSQL the window's row, which every transaction takes before it looks at leases, all that it needs by
one statement and in the order of their keys; on SQLite the one that a writing transaction begins with.  Rows that are
missing are made before, in the order of their names, because whoever makes one waits for another who makes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from awfproxy.ledger.database import Database
from awfproxy.ledger.facts import Grant, Held, Holder, Loss, Release, Standing, Window
from awfproxy.ledger.lending import Account
from awfproxy.ledger.sql_accounts import COVER, Loaded, identity, window_of
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
_DOUBTFUL: Final = (
    select(windows)
    .join(covered, covered.c.window_id == windows.c.id)
    .where(covered.c.instance == bindparam("instance"), covered.c.doubtful > 0)
)


class SqlLeases:
    """The windows' part of `interface.Ledger`."""

    _database: Database

    def _shown(self, connection: Connection, window: Window) -> dict[str, int]:
        raise NotImplementedError  # the rows' part

    def window(self, window: Window, now: float) -> Standing | None:
        with self._database.read() as connection:
            loaded = Loaded(connection)
            return loaded.account(window).standing(now) if loaded.load(_NAMED, identity(window)) else None

    def windows(self, now: float) -> list[Window]:
        with self._database.read() as connection:
            return sorted(map(window_of, connection.execute(select(windows).where(windows.c.ends_at > now))))

    def join(self, holder: Holder, held: Held, *, now: float, expires_at: float, recount: bool) -> Grant:
        with self._database.write() as connection:
            opened = self._open(connection, [held.window])
            loaded = Loaded(connection)
            loaded.load(_NAMED_LOCKED, identity(held.window))
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
            loaded = Loaded(connection)
            loaded.load(_NAMED_LOCKED, identity(held.window))
            account = loaded.account(held.window)
            if holder not in account.leases and _is_settled(connection, holder):
                return account.stranger(now)
            grant = account.borrow(holder, held, cap=cap, need=need, most=most, now=now, expires_at=expires_at)
            loaded.store()
        return grant

    def give_back(self, holder: Holder, held: Held, now: float) -> Grant:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            if not loaded.load(_NAMED_LOCKED, identity(held.window)):
                return Account(held.window, 0).stranger(now)
            grant = loaded.account(held.window).give_back(holder, held, now)
            loaded.store()
        return grant

    def close_lease(self, holder: Holder, held: Held) -> None:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            if loaded.load(_NAMED_LOCKED, identity(held.window)):
                loaded.account(held.window).close(holder, held)
                loaded.store()

    def heartbeat(self, holder: Holder, helds: Sequence[Held], now: float, expires_at: float) -> list[Grant]:
        with self._database.write() as connection:
            loaded = Loaded(connection)
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
            loaded = Loaded(connection)
            numbers = [connection.execute(_NUMBER, identity(window)).scalar_one() for window in figures]
            loaded.load(_THESE_LOCKED, structs.asdict(holder) | {"numbers": numbers})
            losses = [account.settle(holder, figures.get(account.window)) for account in loaded.accounts()]
            loaded.store()
        return losses

    def give_up(self, holder: Holder) -> list[Loss]:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            loaded.load(_HELD_LOCKED, structs.asdict(holder))
            losses = [Loss(holder, account.window, account.give_up(holder)) for account in loaded.accounts()]
            loaded.store()
        return losses

    def expire(self, now: float) -> list[Loss]:
        with self._database.read() as connection:
            if connection.execute(_OVERDUE, {"now": now}).first() is None:
                return []  # as nearly always: no lock is taken
        with self._database.write() as connection:
            loaded = Loaded(connection)
            loaded.load(_OVERDUE_LOCKED, {"now": now})
            losses = [loss for account in loaded.accounts() for loss in account.expire(now)]
            loaded.store()
        return losses

    def release_lost(self, window: Window) -> Release | None:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            if not loaded.load(_NAMED_LOCKED, identity(window)):
                return None
            release = loaded.account(window).release(self._shown(connection, window))
            loaded.store()
        return release

    def recount(self, window: Window, instance: str) -> None:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            if loaded.load(_NAMED_LOCKED, identity(window)):
                loaded.account(window).recount(instance, self._shown(connection, window).get(instance, 0))
                loaded.store()

    def in_doubt(self, instance: str) -> list[Window]:
        with self._database.read() as connection:
            return sorted(map(window_of, connection.execute(_DOUBTFUL, {"instance": instance})))

    def review(self, window: Window, instance: str, last: bool) -> None:
        with self._database.write() as connection:
            loaded = Loaded(connection)
            if loaded.load(_NAMED_LOCKED, identity(window)):
                rows = self._shown(connection, window).get(instance, 0)
                loaded.account(window).review(instance, rows, last)
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
            if connection.execute(_NUMBER, identity(window)).first() is None:
                opened |= _open_account(connection, window, self._shown(connection, window))
        return opened


def _open_account(connection: Connection, window: Window, shown: dict[str, int]) -> bool:
    """Another process may do the same at once: the first one's stays.  Whether it is ours."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    figures = {"committed": sum(shown.values()), "lost": 0, "wanted_until": 0.0}
    put = dialect.insert(windows).values(identity(window) | {"ends_at": window.end} | figures).on_conflict_do_nothing()
    if not connection.execute(put, execution_options=_COUNTED).rowcount:
        return False
    if shown:
        number = connection.execute(_NUMBER, identity(window)).scalar_one()
        rows = [{"window_id": number, "instance": instance, "tokens": tokens} for instance, tokens in shown.items()]
        connection.execute(COVER, rows)
    return True


def _is_settled(connection: Connection, holder: Holder) -> bool:
    return connection.execute(_SETTLED, structs.asdict(holder)).first() is not None
