"""The tables as the queries see them.  What makes them is `schema`; a test compares the two.

``ai_usage_ledger`` has the columns of `rows.Row`, with None as NULL.  ``user`` is a reserved word: without quotes
it is the database's user in PostgreSQL, and not the column.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

usage: Final = Table(
    "ai_usage_ledger",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("instance", Text, nullable=False),
    Column("port", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("usage_source", Text, nullable=False),
    Column("user", Text),
    Column("feature", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("include_cache", Boolean),
    Column("cost_usd", Double),
    Column("counted_usd", BigInteger),
)
Index("ai_usage_ledger_port_created_at", usage.c.port, usage.c.created_at)
_NOT_PRICED: Final = usage.c.counted_usd.is_(None)
Index(
    "ai_usage_ledger_not_priced", usage.c.created_at, sqlite_where=_NOT_PRICED, postgresql_where=_NOT_PRICED
)

positions: Final = Table(
    "journal_positions",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("file", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
)

settings: Final = Table(
    "budget_settings",
    metadata,
    Column("port", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("fields", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
)

windows: Final = Table(
    "budget_windows",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("port", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("committed", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("wanted_until", Double, nullable=False),
    UniqueConstraint("port", "kind", "name", "period", "measure", "starts_at"),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("window_id", BigInteger, ForeignKey(windows.c.id, ondelete="CASCADE"), primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("worker", Integer, primary_key=True),
    Column("granted", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("dead", Boolean, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("shown", BigInteger, nullable=False, server_default="0"),
)
Index("leases_holder", leases.c.instance, leases.c.worker)

#: see `lending.Account.covered`
covered: Final = Table(
    "covered_tokens",
    metadata,
    Column("window_id", BigInteger, ForeignKey(windows.c.id, ondelete="CASCADE"), primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("doubtful", BigInteger, nullable=False, server_default="0"),
)

settled: Final = Table(
    "settled_holders",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("worker", Integer, primary_key=True),
    Column("settled_at", Double, nullable=False),
)
