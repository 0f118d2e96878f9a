"""Versions of the tables, and the way from each to the next.

`STEPS` only grows: a step that was released is never changed, as databases out there have gone through it.  Steps are
applied at the start, in one transaction under a lock, because processes and hosts start together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, inspect, text

from awfproxy.ledger.errors import LedgerNewer

#: statements of each step; ``{serial}`` is a key that counts by itself
STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE ai_usage_ledger (
            request_id TEXT NOT NULL PRIMARY KEY,
            instance TEXT NOT NULL,
            port TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            usage_source TEXT NOT NULL,
            "user" TEXT,
            feature TEXT,
            input_tokens BIGINT,
            output_tokens BIGINT,
            total_tokens BIGINT,
            cache_read_tokens BIGINT,
            cache_write_tokens BIGINT,
            include_cache BOOLEAN,
            cost_usd DOUBLE PRECISION
        )""",
        "CREATE INDEX ai_usage_ledger_port_created_at ON ai_usage_ledger (port, created_at)",
        """CREATE TABLE journal_positions (
            instance TEXT NOT NULL PRIMARY KEY,
            file TEXT NOT NULL,
            "offset" BIGINT NOT NULL
        )""",
        """CREATE TABLE budget_settings (
            port TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            fields TEXT NOT NULL,
            changed_by TEXT NOT NULL,
            changed_at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (port, kind, name)
        )""",
        """CREATE TABLE budget_windows (
            id {serial},
            port TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            period TEXT NOT NULL,
            measure TEXT NOT NULL,
            starts_at BIGINT NOT NULL,
            ends_at BIGINT NOT NULL,
            committed BIGINT NOT NULL,
            lost BIGINT NOT NULL,
            wanted_until DOUBLE PRECISION NOT NULL,
            UNIQUE (port, kind, name, period, measure, starts_at)
        )""",
        """CREATE TABLE leases (
            window_id BIGINT NOT NULL,
            instance TEXT NOT NULL,
            worker INTEGER NOT NULL,
            granted BIGINT NOT NULL,
            spent BIGINT NOT NULL,
            reserved BIGINT NOT NULL,
            lost BIGINT NOT NULL,
            dead BOOLEAN NOT NULL,
            expires_at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (window_id, instance, worker),
            FOREIGN KEY (window_id) REFERENCES budget_windows (id) ON DELETE CASCADE
        )""",
        "CREATE INDEX leases_holder ON leases (instance, worker)",
    ),
    # Rows that are there are priced by their own counts: they have NULL until then (`bookkeeper`).
    (
        "ALTER TABLE ai_usage_ledger ADD COLUMN counted_usd BIGINT",
        "CREATE INDEX ai_usage_ledger_not_priced ON ai_usage_ledger (created_at) WHERE counted_usd IS NULL",
    ),
    (
        "ALTER TABLE leases ADD COLUMN shown BIGINT NOT NULL DEFAULT 0",
        """CREATE TABLE settled_holders (
            instance TEXT NOT NULL,
            worker INTEGER NOT NULL,
            settled_at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (instance, worker)
        )""",
    ),
    # Leases that are there add what they have spent when they end.
    (
        """CREATE TABLE covered_tokens (
            window_id BIGINT NOT NULL,
            instance TEXT NOT NULL,
            tokens BIGINT NOT NULL,
            PRIMARY KEY (window_id, instance),
            FOREIGN KEY (window_id) REFERENCES budget_windows (id) ON DELETE CASCADE
        )""",
        """INSERT INTO covered_tokens (window_id, instance, tokens)
            SELECT shown.window_id, shown.instance, shown.tokens - coalesce((
                SELECT sum(l.spent) FROM leases AS l
                WHERE l.window_id = shown.window_id AND l.instance = shown.instance
            ), 0)
            FROM (
                SELECT w.id AS window_id, u.instance AS instance, sum(
                    CASE WHEN w.measure = 'usd' THEN coalesce(u.counted_usd, 0)
                    WHEN w.measure = 'all' AND NOT u.include_cache THEN coalesce(u.total_tokens, 0)
                        + coalesce(u.cache_read_tokens, 0) + coalesce(u.cache_write_tokens, 0)
                    ELSE coalesce(u.total_tokens, 0) END
                ) AS tokens
                FROM budget_windows AS w JOIN ai_usage_ledger AS u ON u.port = w.port
                    AND u.created_at >= w.starts_at * 1000 AND u.created_at < w.ends_at * 1000
                    AND (w.kind = 'port' OR w.kind = 'user' AND u."user" = w.name
                        OR w.kind = 'feature' AND u.feature = w.name)
                GROUP BY w.id, u.instance
            ) AS shown""",
    ),
    ("ALTER TABLE covered_tokens ADD COLUMN doubtful BIGINT NOT NULL DEFAULT 0",),
)
_SERIAL: Final = {
    "sqlite": "INTEGER PRIMARY KEY",
    "postgresql": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
}
#: any number that no other program takes for its own advisory lock: "awfproxy" as bytes
_LOCK: Final = int.from_bytes(b"awfproxy", "big")


def upgrade(connection: Connection, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """Bring the tables to the version of ``steps``, within the connection's transaction; returns the version before.

    On SQLite the transaction must have the write lock already.

    :raises LedgerNewer: they are beyond it
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # asked first, because IF NOT EXISTS wants the right to create, which a program's user may not have
    if not inspect(connection).has_table("schema_version"):
        connection.exec_driver_sql("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
    found = connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar()
    before = int(found or 0)
    if before > len(steps):
        raise LedgerNewer(
            f"the ledger's tables have version {before}, and this awfproxy knows them up to version {len(steps)}: "
            "use the version of awfproxy that made them, or a newer one, or another ledger"
        )
    for number, statements in enumerate(steps[before:], before + 1):
        for statement in statements:
            connection.exec_driver_sql(statement.format(serial=_SERIAL[dialect]))
        connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})
    return before
