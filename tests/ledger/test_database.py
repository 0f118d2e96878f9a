"""What a ledger in SQL makes of databases that are not as they should be."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from awfproxy.core.budgets import Scope
from awfproxy.ledger.database import FILE_MODE, parse
from awfproxy.ledger.errors import LedgerError, LedgerGone, LedgerSetting, LedgerUnavailable
from awfproxy.ledger.facts import Position
from awfproxy.ledger.sql import SqlLedger
from awfproxy.ledger.tables import metadata
from tests.ledger.conftest import NewUrl
from tests.ledger.samples import APRIL, LATER, MARCH, NOW, A, held, row

#: seconds of patience with locks in these tests
PATIENCE = 0.3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SqlLedger]:
    made = SqlLedger(f"sqlite:///{path}", lock_seconds=PATIENCE)
    yield made
    made.close()


@pytest.fixture
def postgres(new_schema: NewUrl) -> Iterator[SqlLedger]:
    made = SqlLedger(new_schema(), lock_seconds=PATIENCE)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u:secret@h/d", "sqlite or postgresql"),
        ("ledger.db", "sqlite:////path"),
        ("", "sqlite:////path"),
        ("postgresql://u:secret@h:port/d", "sqlite:////path"),
        ("sqlite://", "four slashes"),
        ("sqlite:///:memory:", "four slashes"),
        ("sqlite://u:secret@host/d", "four slashes"),
        ("sqlite:////x/y?mode=memory", "four slashes"),
    ],
)
def test_settings_that_are_no_ledger(url: str, says: str) -> None:
    """Each says what would be right, and none repeats what may hold a password."""
    with pytest.raises(LedgerSetting, match=says) as caught:
        SqlLedger(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_addresses_of_postgresql(scheme: str) -> None:
    """With and without the driver's name, and as other programs write it."""
    assert parse(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LedgerSetting, match=r"pip install 'awfproxy\[postgres\]'"):
        SqlLedger("postgresql://h/d")


def test_nothing_is_opened_before_it_is_used(sqlite: SqlLedger, path: Path) -> None:
    """A process may fork until then; the file that is made belongs to its owner, and its folder too."""
    assert not path.parent.exists()
    sqlite.open()
    assert stat.S_IMODE(path.stat().st_mode) == FILE_MODE
    assert path.parent.stat().st_mode & 0o007 == 0
    assert repr(sqlite) == f"<SqlLedger {path}>"


def test_a_file_is_in_wal_mode_and_safe_against_dead_processes(sqlite: SqlLedger, path: Path) -> None:
    """Readers do not stop writers; keys between tables hold."""
    with sqlite._database.write() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert [*found, connection.exec_driver_sql("PRAGMA foreign_keys").scalar()] == ["wal", 1, 1]


@pytest.mark.parametrize("name", ["with space%20.db", "quo'te?.db", "ü#.db"])
def test_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    """Characters that mean something in an address are only characters here."""
    address = make_url("sqlite://").set(database=str(tmp_path / name)).render_as_string()
    ledger = SqlLedger(address)
    ledger.record([row(1)])
    ledger.close()
    assert name in os.listdir(tmp_path)


@pytest.mark.parametrize("how", ["removed", "replaced", "folder removed"])
def test_a_file_that_is_gone_takes_no_rows(sqlite: SqlLedger, path: Path, how: str) -> None:
    """Every call says so, until it is opened anew: empty, and the journal is read from where that one stands."""
    sqlite.record([row(1)], Position("host-a", "f", 100))
    for name in os.listdir(path.parent):
        (path.parent / name).unlink()
    if how == "replaced":
        path.touch()
    elif how == "folder removed":
        path.parent.rmdir()
    for call in (lambda: sqlite.record([row(2)]), lambda: sqlite.position("host-a"), lambda: sqlite.expire(NOW)):
        with pytest.raises(LedgerGone, match="gone"):
            call()
    sqlite.reopen()
    assert sqlite.position("host-a") is None
    assert sqlite.record([row(1), row(2)]) == 2


def test_a_file_that_is_removed_without_its_log(sqlite: SqlLedger, path: Path) -> None:
    """What SQLite left beside it does not get into the new one."""
    sqlite.record([row(1)])
    assert (path.parent / "ledger.db-wal").exists()
    path.unlink()
    sqlite.reopen()
    assert sqlite.used("openai", MARCH, APRIL) == 0
    assert sqlite.record([row(1)]) == 1


def test_tables_that_are_gone_are_made_anew(sql_ledger: SqlLedger) -> None:
    """By `reopen`, as with a file that is gone."""
    sql_ledger.record([row(1)])
    with sql_ledger._database.write() as connection:
        for table in (*reversed(metadata.sorted_tables), "schema_version"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with pytest.raises(LedgerGone):
        sql_ledger.record([row(2)])
    sql_ledger.reopen()
    assert sql_ledger.record([row(2)]) == 1


def test_a_file_that_is_no_database(path: Path) -> None:
    """Is left as it is, and named."""
    path.parent.mkdir()
    path.write_text("a shopping list, which is longer than the header of a database file would be" * 20)
    ledger = SqlLedger(f"sqlite:///{path}")
    with pytest.raises(LedgerUnavailable, match=r"ledger\.db: file is not a database"):
        ledger.record([row(1)])
    assert path.read_text().startswith("a shopping list")


@pytest.mark.parametrize("where", ["a file where a folder should be", "a folder where the file should be"])
def test_places_where_no_file_can_be(tmp_path: Path, where: str) -> None:
    """The reason is the system's."""
    (tmp_path / "here").touch() if "file where" in where else (tmp_path / "here" / "ledger.db").mkdir(parents=True)
    ledger = SqlLedger(f"sqlite:///{tmp_path}/here/ledger.db")
    with pytest.raises(LedgerUnavailable, match=r"here/ledger\.db: (File exists|Not a directory|Is a directory)"):
        ledger.open()


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_takes_no_half_batch(sqlite: SqlLedger, path: Path) -> None:
    """All of a batch or nothing, its position too, and it goes on when there is room."""
    sqlite.record([row(0)], Position("host-a", "f", 1))
    batch = [row(number) for number in range(1, 3000)]
    size = (path.parent / "ledger.db-wal").stat().st_size
    with small_disk(size + 100_000), pytest.raises(LedgerUnavailable, match=r"ledger\.db: "):
        sqlite.record(batch, Position("host-a", "f", 2))
    assert sqlite.position("host-a") == Position("host-a", "f", 1)
    assert sqlite.used("openai", MARCH, APRIL) == 10
    assert sqlite.record(batch, Position("host-a", "f", 2)) == len(batch)


def test_a_lock_is_waited_for_and_then_told(sqlite: SqlLedger, path: Path) -> None:
    """Another writer may take its time; reading does not wait at all."""
    sqlite.record([row(1)])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="locked"):
        sqlite.record([row(2)])
    assert time.monotonic() - began >= PATIENCE
    assert sqlite.used("openai", MARCH, APRIL) == 10
    release = threading.Timer(PATIENCE / 3, other.rollback)
    release.start()
    assert sqlite.record([row(2)]) == 1
    release.join()
    other.close()


def test_a_row_lock_is_waited_for_and_then_told(postgres: SqlLedger) -> None:
    """On PostgreSQL too, and the account is whole afterwards."""
    asked: dict[str, Any] = {"cap": 100, "need": 10, "most": 0, "now": NOW, "expires_at": LATER}
    postgres.borrow(A, held(), **asked)
    with postgres._database.write() as connection:
        connection.exec_driver_sql("SELECT * FROM budget_windows FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match="lock"):
            postgres.borrow(A, held(10, 10), **asked)
    assert postgres.borrow(A, held(10, 10), **asked).granted == 20


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_server_that_cannot_be_reached(host: str) -> None:
    """The password is in no message, no representation and no chained error."""
    ledger = SqlLedger(f"postgresql://ann:s3cr3t@{host}/db")
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.open()
    assert "s3cr3t" not in f"{caught.value} {caught.value.__cause__} {ledger!r} {ledger.name} {ledger._database!r}"
    assert caught.value.__suppress_context__
    assert host.split(":")[0] in str(caught.value)


def test_a_connection_that_died_is_replaced(postgres: SqlLedger, postgresql: Any) -> None:
    """As after a restart of the server: no call is lost by it."""
    postgres.record([row(1)])
    with psycopg.connect(postgresql.get_uri(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'awfproxy'")
    assert postgres.record([row(2)]) == 1


def test_a_server_that_stops_and_comes_back(postgres: SqlLedger, postgresql: Any) -> None:
    """Unavailable meanwhile, in plain words; then it goes on by itself."""
    postgres.record([row(1)])
    postgresql.stop()
    try:
        with pytest.raises(LedgerUnavailable, match="local/postgres: "):
            postgres.record([row(2)])
    finally:
        postgresql.ensure_postgres_running()
    assert postgres.record([row(2)]) == 1
    assert postgres.used("openai", MARCH, APRIL) == 20


def test_what_cannot_be_stored_is_a_bug_and_no_outage(sql_ledger: SqlLedger) -> None:
    """Trying again would not help, so it is no `LedgerUnavailable`; and the ledger works on."""
    with pytest.raises(Exception, match=r"(?i)null") as caught:
        sql_ledger.record([row(1, port=None)])
    assert not isinstance(caught.value, LedgerError)
    assert sql_ledger.record([row(1)]) == 1


def test_errors_show_no_values(sql_ledger: SqlLedger) -> None:
    """Rows name users and models; what is logged does not."""
    with pytest.raises(Exception, match=r"(?i)null") as caught:
        sql_ledger.record([row(1, port=None, user="somebody")])
    assert "parameters hidden" in str(caught.value)


def test_settings_that_somebody_broke_are_empty(sql_ledger: SqlLedger) -> None:
    """Each field then has its default, which is the budgets' rule."""
    sql_ledger.set_setting(Scope("openai"), {}, "ann", 1.0, lambda stored, given: {})
    for text in ("{", "[1]", ""):
        with sql_ledger._database.write() as connection:
            connection.exec_driver_sql(f"UPDATE budget_settings SET fields = '{text}'")
        found = sql_ledger.setting(Scope("openai"))
        assert found is not None and found.fields == {}


def test_the_package_is_light() -> None:
    """Importing it, its facts or its fake brings no SQLAlchemy: most commands need none."""
    code = (
        "import awfproxy.ledger, awfproxy.ledger.facts, awfproxy.ledger.memory, awfproxy.ledger.rows, sys\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
