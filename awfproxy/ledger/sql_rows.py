"""Rows in SQL: batches in, sums out, and the comparison with the journal.

A journal is compared by laying it beside the ledger in a temporary table, of any length, in batches; so neither side
has to be in memory, and the journal's order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from awfproxy.core.budgets import Measure
from awfproxy.ledger.database import Database
from awfproxy.ledger.facts import Breakdown, Cost, Position, Share, Window, ranked
from awfproxy.ledger.interface import BATCH_ROWS
from awfproxy.ledger.rows import COMPARED, Difference, Row, differing
from awfproxy.ledger.tables import positions, usage

_NAMES: Final = Row.__struct_fields__
_request_id: Final = attrgetter("request_id")
_COLUMNS: Final = [usage.c[name] for name in _NAMES]
_PRICE: Final = (
    update(usage)
    .where(usage.c.request_id == bindparam("at"), usage.c.counted_usd.is_(None))
    .values(cost_usd=bindparam("usd"), counted_usd=bindparam("counted"))
)
#: by dialect and table: how rows are inserted, in the driver's own words, and whether it takes them as tuples.
#: Compiled once: SQLAlchemy's own way with parameters takes half of what a row costs
_inserts: Final[dict[tuple[str, str], tuple[str, bool]]] = {}
#: SQLAlchemy looks at an INSERT's number of rows only where it is told to
_COUNTED: Final = {"preserve_rowcount": True}
#: the same columns without the index, for a journal that is compared; gone with its connection at the latest
_staged: Final = Table(
    "staged_rows", MetaData(), *(column._copy() for column in usage.columns), prefixes=["TEMPORARY"]
)


class SqlRows:
    """The rows' part of `interface.Ledger`."""

    _database: Database

    def record(self, rows: Sequence[Row], position: Position | None = None) -> int:
        with self._database.write() as connection:
            added = _insert(connection, usage, rows)
            if position is not None:
                put = _upsert(connection, positions).values(msgspec.structs.asdict(position))
                known = {"file": put.excluded.file, "offset": put.excluded.offset}
                connection.execute(put.on_conflict_do_update(index_elements=["instance"], set_=known))
        return added

    def position(self, instance: str) -> Position | None:
        with self._database.read() as connection:
            found = connection.execute(select(positions).where(positions.c.instance == instance)).one_or_none()
        return None if found is None else Position(found.instance, found.file, found.offset)

    def used(
        self,
        port: str,
        since: float,
        until: float,
        *,
        feature: str | None = None,
        user: str | None = None,
        measure: Measure = "reported",
    ) -> int:
        with self._database.read() as connection:
            return _one(connection, select(_sum(measure)).where(*_of(port, since, until, feature, user)))

    def cost(
        self, port: str, since: float, until: float, *, feature: str | None = None, user: str | None = None
    ) -> Cost:
        query = select(
            func.coalesce(func.sum(usage.c.cost_usd), 0.0),
            func.coalesce(func.sum(_unpriced(1)), 0),
            func.coalesce(func.sum(_unpriced(_tokens("all"))), 0),
        ).where(*_of(port, since, until, feature, user))
        with self._database.read() as connection:
            usd, calls, tokens = connection.execute(query).one()
        return Cost(float(usd), int(calls), int(tokens))

    def breakdown(self, port: str, since: float, until: float, *, measure: Measure = "reported") -> Breakdown:
        chosen = _of(port, since, until, None, None)
        found = []
        with self._database.read() as connection:
            for column in (usage.c.feature, usage.c.model, usage.c.user):
                usd, unpriced = func.coalesce(func.sum(usage.c.cost_usd), 0.0), func.sum(_unpriced(1))
                query = select(column, _sum(measure), func.count(), usd, unpriced).where(*chosen).group_by(column)
                shares = connection.execute(query).all()
                found.append(
                    ranked(
                        Share(name, int(tokens), int(calls), float(cost), int(without))
                        for name, tokens, calls, cost, without in shares
                    )
                )
        return Breakdown(*found)

    def not_priced(self, since: float, most: int = BATCH_ROWS, *, after: Row | None = None) -> list[Row]:
        chosen = [usage.c.counted_usd.is_(None), usage.c.created_at >= _milliseconds(since)]
        if after is not None:
            same = and_(usage.c.created_at == after.created_at, usage.c.request_id > after.request_id)
            chosen.append(or_(usage.c.created_at > after.created_at, same))
        query = select(*_COLUMNS).where(*chosen).order_by(usage.c.created_at, usage.c.request_id).limit(most)
        with self._database.read() as connection:
            return [Row(*found) for found in connection.execute(query)]

    def price(self, rows: Sequence[Row]) -> None:
        # in order: two writers of the same rows in another order would each wait for the other's
        values = [
            {"at": row.request_id, "usd": row.cost_usd, "counted": row.counted_usd}
            for row in sorted(rows, key=_request_id)
        ]
        if values:
            with self._database.write() as connection:
                connection.execute(_PRICE, values)

    def rebuild(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> int:
        with self._database.connection() as connection:
            # Reading a long journal takes no lock that others wait for; only the exchange does.
            with _reading(connection):
                _stage(connection, since, until, rows)
            try:
                with _writing(connection):
                    old = or_(_between(usage, since, until), usage.c.request_id.in_(select(_staged.c.request_id)))
                    connection.execute(delete(usage).where(usage.c.instance == instance, old))
                    # WHERE true: without it SQLite takes ON CONFLICT for a join's condition
                    new = select(*(_staged.c[name] for name in _NAMES)).where(literal(True))
                    put = _upsert(connection, usage).from_select(list(_NAMES), new)
                    added = connection.execute(put.on_conflict_do_nothing(), execution_options=_COUNTED).rowcount
            finally:
                _unstage(connection)
        return added

    def verify(self, instance: str, since: float, until: float, rows: Iterable[Row]) -> Iterator[Difference]:
        with self._database.connection() as connection:
            with _reading(connection):
                _stage(connection, since, until, rows)
            try:
                with _reading(connection):
                    yield from _differences(connection, instance, since, until)
            finally:
                _unstage(connection)

    def _shown(self, connection: Connection, window: Window) -> dict[str, int]:
        """Tokens of a window's rows, by instance."""
        scope = window.scope
        feature = scope.name if scope.kind == "feature" else None
        user = scope.name if scope.kind == "user" else None
        chosen = _of(scope.port, window.start, window.end, feature, user)
        query = select(usage.c.instance, _sum(window.measure)).where(*chosen).group_by(usage.c.instance)
        return {instance: int(tokens) for instance, tokens in connection.execute(query)}


def _upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that may say what to do about rows that are there: in words of its own in each dialect."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    if not rows:
        return 0
    key = connection.dialect.name, table.name
    if key not in _inserts:
        put = _upsert(connection, table).on_conflict_do_nothing()
        compiled = put.compile(dialect=connection.dialect, column_keys=_NAMES)
        assert not compiled.positional or compiled.positiontup == list(_NAMES)
        _inserts[key] = str(compiled), compiled.positional
    statement, positional = _inserts[key]
    values: Any = msgspec.structs.astuple if positional else msgspec.structs.asdict
    # in order: two writers of the same requests in another order would each wait for the other's
    prepared = [values(row) for row in sorted(rows, key=_request_id)]
    return connection.exec_driver_sql(statement, prepared, execution_options=_COUNTED).rowcount


def _one(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())  # PostgreSQL's sum of bigint is numeric


def _tokens(measure: Measure) -> ColumnElement[int]:
    """`Row.counted`, in SQL."""
    tokens: ColumnElement[int] = func.coalesce(usage.c.total_tokens, 0)
    if measure == "reported":
        return tokens
    if measure == "usd":
        return func.coalesce(usage.c.counted_usd, 0)
    cached = func.coalesce(usage.c.cache_read_tokens, 0) + func.coalesce(usage.c.cache_write_tokens, 0)
    return tokens + case((usage.c.include_cache.is_(False), cached), else_=0)


def _unpriced(amount: int | ColumnElement[int]) -> ColumnElement[int]:
    """This amount for a row that is `Row.unpriced`; else 0."""
    return case((and_(usage.c.cost_usd.is_(None), _tokens("all") > 0), amount), else_=0)


def _sum(measure: Measure) -> ColumnElement[int]:
    return func.coalesce(func.sum(_tokens(measure)), 0)


def _between(table: Table, since: float, until: float) -> ColumnElement[bool]:
    return and_(table.c.created_at >= _milliseconds(since), table.c.created_at < _milliseconds(until))


def _milliseconds(seconds: float) -> int:
    """The first whole millisecond that is not before."""
    return -int(-seconds * 1000 // 1)


def _of(port: str, since: float, until: float, feature: str | None, user: str | None) -> list[ColumnElement[bool]]:
    chosen = [usage.c.port == port, _between(usage, since, until)]
    if feature is not None:
        chosen.append(usage.c.feature == feature)
    if user is not None:
        chosen.append(usage.c.user == user)
    return chosen


def _reading(connection: Connection) -> Any:
    connection.execution_options(waits=False)
    return connection.begin()


def _writing(connection: Connection) -> Any:
    connection.execution_options(waits=True)
    return connection.begin()


def _stage(connection: Connection, since: float, until: float, rows: Iterable[Row]) -> None:
    _staged.create(connection)
    first, end = _milliseconds(since), _milliseconds(until)
    wanted = (row for row in rows if first <= row.created_at < end)
    while batch := list(islice(wanted, BATCH_ROWS)):
        _insert(connection, _staged, batch)


def _unstage(connection: Connection) -> None:
    if connection.closed or connection.invalidated:
        return  # gone with the connection
    with _reading(connection):
        _staged.drop(connection)


def _differences(connection: Connection, instance: str, since: float, until: float) -> Iterator[Difference]:
    streamed = {"yield_per": BATCH_ROWS}
    theirs = [_staged.c[name].label(f"journal_{name}") for name in _NAMES]
    same = and_(*(_staged.c[name].is_not_distinct_from(usage.c[name]) for name in COMPARED))
    query = (
        select(*theirs, *_COLUMNS)
        .select_from(_staged.outerjoin(usage, _staged.c.request_id == usage.c.request_id))
        .where(or_(usage.c.request_id.is_(None), ~same))
        .order_by(_staged.c.created_at, _staged.c.request_id)
    )
    width = len(_NAMES)
    for found in connection.execute(query, execution_options=streamed):
        journal = Row(*found[:width])
        if found[width] is None:
            yield Difference("missing", journal.request_id, journal=journal)
        else:
            ours = Row(*found[width:])
            yield Difference("different", journal.request_id, differing(journal, ours), journal, ours)
    known = select(_staged.c.request_id).where(_staged.c.request_id == usage.c.request_id).exists()
    extra = (
        select(*_COLUMNS)
        .where(usage.c.instance == instance, _between(usage, since, until), ~known)
        .order_by(usage.c.created_at, usage.c.request_id)
    )
    for found in connection.execute(extra, execution_options=streamed):
        ours = Row(*found)
        yield Difference("extra", ours.request_id, ledger=ours)
