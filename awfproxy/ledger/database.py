"""The way to the database: one engine, transactions, and the edge at which foreign errors become `errors`.

SQLite: WAL, so that reports read while the service writes; ``synchronous=NORMAL``, which survives the death of every
process (the machine's is not promised); transactions that may write take the lock when they begin, as a lock that is
asked for later cannot be waited for.  The file is looked at before every transaction: one that was removed would take
rows without an error, and nobody would find them.

PostgreSQL: a connection that died is found and replaced before it is used, so that a restart of the server costs no
call.  All statements wait for locks, and for a silent network, a limited time.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError

from awfproxy.ledger.errors import LedgerGone, LedgerSetting, LedgerUnavailable
from awfproxy.ledger.schema import upgrade

#: seconds to wait for another process's transaction; the longest of ours is a batch of rows, some ten milliseconds
LOCK_SECONDS: Final = 5.0
#: seconds between two looks for a lock that SQLite does not wait for itself
LOCK_LOOK: Final = 0.01
#: seconds to wait for a connection to PostgreSQL
CONNECT_SECONDS: Final = 5
#: libpq's: after 10 + 3 * 5 silent seconds a connection is dead, where TCP's own patience is hours
KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
#: connections kept: one thread uses the ledger
POOL_SIZE: Final = 1
#: more of them while a reader (`verify`) is not done
POOL_MORE: Final = 2
#: owner writes, group reads, as the journal's: the rows name users and models
FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750

#: SQLSTATE of PostgreSQL for a table, a schema or a database that is not there
_NOT_THERE: Final = frozenset({"42P01", "3F000", "3D000"})


def parse(url: str) -> URL:
    """The ``ledger`` setting as an address.

    :raises LedgerSetting: it is none, or its driver is missing; the message does not repeat it: it may hold a password
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise LedgerSetting("the ledger must be sqlite:////path/of/a/file or postgresql://host/database") from None
    if parsed.drivername == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.host or parsed.query:
            raise LedgerSetting("an SQLite ledger is a file: sqlite:////path/of/a/file, with four slashes")
        return parsed
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise LedgerSetting("a PostgreSQL ledger needs the driver psycopg: pip install 'awfproxy[postgres]'")
        return parsed.set(drivername="postgresql+psycopg")
    raise LedgerSetting(f"the ledger's scheme is {parsed.drivername!r}; it must be sqlite or postgresql")


class Database:
    """One database.  It is opened when it is first used, so not before a process has forked.

    :param url: the ``ledger`` setting
    :param lock_seconds: how long to wait for others' locks
    :raises LedgerSetting: it cannot be one
    """

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        self._url = parse(url)
        self._lock_seconds = lock_seconds
        self._engine: Engine | None = None
        #: of the SQLite file that is open
        self._identity = (0, 0)
        self._path = os.path.abspath(self._url.database or "") if self.is_sqlite else ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def is_sqlite(self) -> bool:
        return self._url.drivername == "sqlite"

    @property
    def name(self) -> str:
        """For people: the file, or host and database."""
        return self._path if self.is_sqlite else f"{self._url.host or 'local'}/{self._url.database or ''}"

    def close(self) -> None:
        """Drop all connections; the next use opens anew."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def open(self) -> None:
        """Connect, and make or upgrade the tables; nothing is done where that has happened."""
        if self._engine is not None:
            return
        try:
            engine = self._sqlite() if self.is_sqlite else self._postgresql()
        except OSError as error:
            raise LedgerUnavailable(f"the ledger {self.name}: {error.strerror or type(error).__name__}") from error
        try:
            with self._translated(), engine.begin() as connection:
                upgrade(connection)
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end of the block."""
        with self.connection() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and holds nobody up."""
        with self.connection() as connection:
            connection.execution_options(waits=False)
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for one or more transactions, the caller's."""
        self.open()
        assert self._engine is not None
        with self._translated():
            self._look()
            with self._engine.connect() as connection:
                yield connection

    def _look(self) -> None:
        if self.is_sqlite and _identity(self._path) != self._identity:
            raise LedgerGone(f"the ledger {self._path} is gone: the file was removed or replaced")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, DataError):
            raise  # what was to be stored is wrong, not the database
        except SQLAlchemyError as error:
            raise self._unavailable(error) from None  # the original may show the address with its password

    def _unavailable(self, error: SQLAlchemyError) -> LedgerUnavailable:
        cause: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            cause = error.orig
        words = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        if self._url.password:
            words = words.replace(str(self._url.password), "***")
        gone = getattr(cause, "sqlstate", None) in _NOT_THERE or words.startswith("no such table")
        return (LedgerGone if gone else LedgerUnavailable)(f"the ledger {self.name}: {words}")

    def _sqlite(self) -> Engine:
        os.makedirs(os.path.dirname(self._path), DIRECTORY_MODE, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        # mode=rw: only this place makes the file, or a connection would, in the moment after it was removed
        address = f"file:{quote(self._path)}?mode=rw"

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                address, timeout=self._lock_seconds, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                _to_wal(connection, self._lock_seconds)
                for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
                    connection.execute(f"PRAGMA {pragma}").close()
            except BaseException:
                connection.close()
                raise
            return connection

        engine = _engine("sqlite+pysqlite://", creator=connect)
        event.listen(engine, "begin", _begin)
        self._identity = _identity(self._path)
        return engine

    def _postgresql(self) -> Engine:
        defaults: dict[str, object] = {"connect_timeout": CONNECT_SECONDS, "application_name": "awfproxy", **KEEPALIVE}
        arguments = {name: value for name, value in defaults.items() if name not in self._url.query}
        engine = _engine(self._url, connect_args=arguments, pool_pre_ping=True, isolation_level="READ COMMITTED")
        milliseconds = int(self._lock_seconds * 1000)

        def connected(connection: Any, _: object) -> None:
            connection.execute(f"SET lock_timeout = {milliseconds}")
            connection.commit()

        event.listen(engine, "connect", connected)
        return engine


def _engine(url: str | URL, **arguments: Any) -> Engine:
    return create_engine(
        url,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=POOL_MORE,
        pool_timeout=CONNECT_SECONDS,
        hide_parameters=True,
        **arguments,
    )


def _to_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Have the file in WAL mode.  Where several open a new one at the same moment, SQLite says to all but one that it
    is locked, without waiting as it does for transactions."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(LOCK_LOOK)


def _begin(connection: Connection) -> None:
    waits = connection.get_execution_options().get("waits", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if waits else "BEGIN")


def _identity(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (facts.st_dev, facts.st_ino)


