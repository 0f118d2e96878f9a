"""The ledger in SQL, on SQLite or PostgreSQL."""

from __future__ import annotations

from awfproxy.ledger.database import LOCK_SECONDS, Database
from awfproxy.ledger.sql_leases import SqlLeases
from awfproxy.ledger.sql_rows import SqlRows
from awfproxy.ledger.sql_settings import SqlSettings


class SqlLedger(SqlRows, SqlLeases, SqlSettings):
    """See `interface.Ledger`.  Nothing is opened before the first call, or `open`.

    :param url: ``sqlite:////path/of/a/file`` or ``postgresql://user:password@host/database?sslmode=...``
    :param lock_seconds: how long each transaction waits for those of others
    :raises LedgerSetting: the url is none of these, or its driver is not installed
    """

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        self._database = Database(url, lock_seconds)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._database.name}>"

    @property
    def name(self) -> str:
        """For people: the file, or host and database; never a password."""
        return self._database.name

    def open(self) -> None:
        """Connect, and make or upgrade the tables.

        :raises LedgerUnavailable: there is no way to the database now
        :raises LedgerNewer: a newer version of this program made the tables
        """
        self._database.open()

    def close(self) -> None:
        self._database.close()

    def reopen(self) -> None:
        self._database.close()
        self._database.open()
