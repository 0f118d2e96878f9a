"""Versions of the tables."""

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Inspector, create_engine, inspect, make_url, text

from awfproxy.ledger.errors import LedgerNewer
from awfproxy.ledger.rows import Row
from awfproxy.ledger.schema import STEPS, upgrade
from awfproxy.ledger.sql import SqlLedger
from awfproxy.ledger.tables import metadata, usage
from tests.ledger.samples import APRIL, MARCH, row


def engine(url: str) -> Any:
    return create_engine(make_url(url.replace("postgresql:", "postgresql+psycopg:")))


def kind(found: Any) -> str:
    """BIGINT, or whatever the type's family is called: each database has its own words for a float."""
    return "BIGINT" if isinstance(found, BigInteger) else found._type_affinity.__name__


def shape(found: Inspector, table: str) -> list[object]:
    """Columns, keys and indexes; not the type of a key that counts by itself, which each way makes in its own words."""
    keys = found.get_pk_constraint(table)["constrained_columns"]
    columns = [
        (column["name"], "key" if keys == [column["name"]] else (kind(column["type"]), column["nullable"]))
        for column in found.get_columns(table)
    ]
    indexes = sorted((str(index["name"]), index["column_names"]) for index in found.get_indexes(table))
    foreign = [(key["constrained_columns"], key["referred_table"], key["options"]) for key in found.get_foreign_keys(table)]
    unique = [sorted(constraint["column_names"]) for constraint in found.get_unique_constraints(table)]
    return [columns, keys, indexes, foreign, unique]


def test_the_steps_make_the_tables_that_queries_see(sql_ledger: SqlLedger, url: str) -> None:
    """Columns, keys and indexes are as SQLAlchemy makes them of `tables`."""
    sql_ledger.open()
    sql_ledger.close()
    connected = engine(url)
    found = inspect(connected)
    assert set(found.get_table_names()) == {*metadata.tables, "schema_version"}
    stepped = {name: shape(found, name) for name in metadata.tables}
    metadata.drop_all(connected)
    metadata.create_all(connected)
    made = {name: shape(inspect(connected), name) for name in metadata.tables}
    connected.dispose()
    assert stepped == made


def test_the_columns_are_those_of_a_row() -> None:
    """In the same order, which is how rows are read back."""
    assert tuple(usage.columns.keys()) == Row.__struct_fields__


def test_a_step_is_applied_once_and_rows_stay(sql_ledger: SqlLedger, url: str) -> None:
    """A ledger of an older version goes on with its rows; one of this version is left alone."""
    sql_ledger.record([row(1)])
    sql_ledger.close()
    steps = (*STEPS, ("ALTER TABLE ai_usage_ledger ADD COLUMN region TEXT", "CREATE TABLE more (id {serial})"))
    connected = engine(url)
    for before in (len(STEPS), len(steps)):
        with connected.begin() as connection:
            assert upgrade(connection, steps) == before
    with connected.connect() as connection:
        found = connection.exec_driver_sql("SELECT request_id, region FROM ai_usage_ledger").all()
    assert [tuple(line) for line in found] == [("r000001", None)]
    connected.dispose()


def test_rows_of_the_first_version_can_be_priced(sql_ledger: SqlLedger, url: str) -> None:
    """They had a cost at most, and nothing that dollar budgets count."""
    _upgrade_all(url, STEPS[:1])
    connected = engine(url)
    before = row(1)
    names = [name for name in Row.__struct_fields__ if name != "counted_usd"]
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
    with connected.begin() as connection:
        insert = text(f"INSERT INTO ai_usage_ledger ({columns}) VALUES ({values})")
        connection.execute(insert, {name: getattr(before, name) for name in names})
    connected.dispose()
    assert sql_ledger.not_priced(MARCH) == [before]
    sql_ledger.price([row(1, cost_usd=0.5)])
    assert sql_ledger.used("openai", MARCH, APRIL, measure="usd") == 500_000
    assert sql_ledger.not_priced(MARCH) == []


def test_accounts_of_the_third_version_know_what_their_rows_are(sql_ledger: SqlLedger, url: str) -> None:
    """What leases have spent is covered when they end; all else that rows show is."""
    _upgrade_all(url, STEPS[:3])
    connected = engine(url)
    with connected.begin() as connection:
        for number, (kind, name, measure) in enumerate(
            [("port", "", "reported"), ("port", "", "all"), ("user", "ci", "reported"), ("port", "", "usd")], 1
        ):
            connection.exec_driver_sql(
                "INSERT INTO budget_windows VALUES"
                f" ({number}, 'openai', '{kind}', '{name}', 'month', '{measure}', {MARCH}, {APRIL}, 1000, 0, 0)"
            )
            connection.exec_driver_sql(
                f"INSERT INTO leases VALUES ({number}, 'host-a', 1, 500, 40, 0, 0, false, {APRIL}, 0)"
            )
        names = list(Row.__struct_fields__)
        columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
        for each in (
            row(1, 100, counted_usd=7, cache_read_tokens=5, include_cache=False),
            row(2, 30, user="ci", cache_read_tokens=2, include_cache=True),
            row(3, 8, instance="host-b"),
            row(4, 1, port="other"),
            row(5, 1, created_at=APRIL * 1000),
        ):
            insert = text(f"INSERT INTO ai_usage_ledger ({columns}) VALUES ({values})")
            connection.execute(insert, {name: getattr(each, name) for name in names})
        upgrade(connection)
        found = connection.exec_driver_sql("SELECT window_id, instance, tokens FROM covered_tokens ORDER BY window_id, instance").all()
    connected.dispose()
    assert [tuple(line) for line in found] == [
        (1, "host-a", 130 - 40), (1, "host-b", 8),
        (2, "host-a", 135 - 40), (2, "host-b", 8),
        (3, "host-a", 30 - 40),
        (4, "host-a", 7 - 40), (4, "host-b", 0),
    ]  # fmt: skip


def test_tables_of_a_newer_version_are_refused(sql_ledger: SqlLedger, url: str) -> None:
    """In words that say what to do, at every start, and nothing is written."""
    sql_ledger.open()
    sql_ledger.close()
    connected = engine(url)
    with connected.begin() as connection:
        upgrade(connection, (*STEPS, ()))
    connected.dispose()
    for _ in range(2):
        with pytest.raises(LedgerNewer, match=f"version {len(STEPS) + 1}.*up to version {len(STEPS)}"):
            sql_ledger.record([row(1)])


def test_a_step_that_fails_leaves_the_version_before(sql_ledger: SqlLedger, url: str) -> None:
    """Half a step would be a version nobody knows."""
    sql_ledger.open()
    sql_ledger.close()
    with pytest.raises(Exception, match=r"nothing|syntax"):
        _upgrade_all(url, (*STEPS, ("CREATE TABLE half (id BIGINT)", "NONSENSE")))
    sql_ledger.record([row(1)])
    assert sql_ledger.used("openai", MARCH, APRIL) == 10


def _upgrade_all(url: str, steps: Any) -> None:
    connected = engine(url)
    try:
        with connected.begin() as connection:
            upgrade(connection, steps)
    finally:
        connected.dispose()


def test_processes_that_start_together_make_the_tables_once(url: str, tmp_path: Path) -> None:
    """None fails, and none finds half a schema."""
    faults: list[BaseException] = []
    together = threading.Barrier(8)

    def start() -> None:
        ledger = SqlLedger(url)
        together.wait()
        try:
            ledger.record([row(1)])
            assert ledger.used("openai", MARCH, APRIL) == 10
        except BaseException as fault:
            faults.append(fault)
        finally:
            ledger.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
