"""Ledgers to test: in memory, in an SQLite file, in a real PostgreSQL server that runs for the session."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.memory import MemoryLedger
from awfproxy.ledger.sql import SqlLedger
from tests.postgresql import running_server

NewUrl = Callable[[], str]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """The server of this session."""
    with running_server() as server:
        yield server


@pytest.fixture
def new_schema(postgresql: Any) -> NewUrl:
    """Makes an empty schema, which for a ledger is like a database of its own; call it for the url."""

    def make() -> str:
        name = f"t{next(_NUMBERS)}"
        with psycopg.connect(postgresql.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        address = make_url(postgresql.get_uri()).update_query_dict({"options": f"-csearch_path={name}"})
        return address.render_as_string(hide_password=False)

    return make


_NUMBERS = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new and empty SQL ledger may be."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    made: str = request.getfixturevalue("new_schema")()
    return made


@pytest.fixture
def sql_ledger(url: str) -> Iterator[SqlLedger]:
    """A ledger in SQL, once for each database."""
    made = SqlLedger(url)
    yield made
    made.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Every ledger there is: what holds for one must hold for all."""
    if request.param == "memory":
        yield MemoryLedger()
        return
    where = f"sqlite:///{tmp_path / 'ledger.db'}" if request.param == "sqlite" else None
    made = SqlLedger(where or request.getfixturevalue("new_schema")())
    yield made
    made.close()
