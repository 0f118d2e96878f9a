"""Which database the ledger is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.ledger_url import ledger_in, parse_ledger
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Database


def parse(text: str) -> Database | str:
    return parse_ledger(text, lambda path: path if path.startswith("/") else f"/etc/awf/{path}")


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("sqlite:////var/lib/a b.db", Database("sqlite:////var/lib/a b.db")),
        ("sqlite:///ledger.db", Database("sqlite:////etc/awf/ledger.db")),
        ("sqlite:////var/lib/büro.db", Database("sqlite:////var/lib/büro.db")),
        ("postgresql://h/d", Database("postgresql://h/d")),
        ("postgresql:///d?host=/run/postgresql", Database("postgresql:///d?host=/run/postgresql")),
        ("postgresql://u@[::1]:5433/d", Database("postgresql://u@[::1]:5433/d")),
        ("postgresql://u:@h/d", Database("postgresql://u@h/d")),
        ("postgresql://u:p%40ss@h:5432/d?sslmode=require", Database("postgresql://u@h:5432/d?sslmode=require", Secret("p%40ss"))),
    ],
)
def test_what_is_understood(text: str, database: Database) -> None:
    """SQLite by its file, PostgreSQL by its URL, the password apart."""
    assert parse(text) == database


@pytest.mark.parametrize("text", ["postgresql://u:p%40ss@h:5432/d?sslmode=require", "postgresql://u@h/d", "sqlite:////a"])
def test_the_whole_url_comes_out_again(text: str) -> None:
    """For the one that connects."""
    database = parse(text)
    assert isinstance(database, Database)
    assert database.reveal() == text


def test_only_sqlite_has_a_path() -> None:
    """Whoever looks after the file asks for it."""
    assert Database("sqlite:////a/b.db").path == "/a/b.db"
    assert Database("postgresql://h/d").path is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no database"),
        ("mysql://h/d", "is no database"),
        ("/var/lib/ledger.db", "is no database"),
        ("postgres://u:sesame@h/d", "scheme that is not known"),
        ("postgresql+psycopg://u:sesame@h/d", "scheme that is not known"),
        ("sqlite:ledger.db", "no path after three slashes"),
        ("sqlite://", "no path after three slashes"),
        ("sqlite:///", "ends with the process"),
        ("sqlite:///:memory:", "ends with the process"),
        ("sqlite:////a?mode=ro", "path with `?`"),
        ("sqlite:////a/", "names a folder"),
        ("postgresql:h/d", "no usable host"),
        ("postgresql://h:0/d", "no usable host"),
        ("postgresql://h%20x/d", "no usable host"),
        ("postgresql://:sesame@h/d", "user name or password"),
        ("postgresql://u:sesame", "port that is no number"),
        ("postgresql://u:ses@me@h/d", "user name or password"),
        ("postgresql://u:ses/me@h/d", "port that is no number"),
        ("postgresql://u:12/sesame@h/d", "names no database"),
        ("postgresql://u:12?sesame@h/d", "names no database"),
        ("postgresql://u:12/d?sesame@h/d", "parameters with characters"),
        ("postgresql://u:ses#me@h/d", "percent-encoded"),
        ("postgresql://u:sésame@h/d", "percent-encoded"),
        ("postgresql://u:sesame@h", "names no database"),
        ("postgresql://u@h/d?password=sesame", "a password among its parameters"),
        ("postgresql://u@h/d?sslPassword=sesame", "a password among its parameters"),
        (f"postgresql://u:{'sesame' * 2000}@h/d", "too long"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    """With a remedy, and with nothing of the value: a password may be in any place of a URL that was written wrong."""
    problem = parse(text)
    assert isinstance(problem, str)
    assert words in problem
    assert "sesame" not in problem


def test_the_default_is_in_the_state_folder() -> None:
    """A folder that no URL can name is refused like one that was written."""
    assert ledger_in("/s") == Database("sqlite:////s/ledger.db")
    assert isinstance(ledger_in("/s#1"), str)


@given(st.text(alphabet="apostgresql:/@?#%[]é \\=&1"))
def test_any_text_has_an_answer(rest: str) -> None:
    """And what is understood can be read again, without its password where it had one."""
    for text in (rest, f"sqlite:{rest}", f"postgresql://{rest}"):
        found = parse(text)
        if isinstance(found, Database):
            assert parse(found.url) == Database(found.url)
            assert parse(found.reveal()) == found
