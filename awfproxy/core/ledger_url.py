"""The `ledger` setting: which database the ledger is in.

Rules: SQLite by the absolute path of its file, PostgreSQL by its URL (PostgreSQL manual, 34.1.1.2 Connection URIs),
whose password is taken out.  What two programs could read in two ways is refused, and a refusal, which is the end of a
sentence that begins with the key, never repeats the value.
"""

import ipaddress
import posixpath
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from awfproxy.core.secret import Secret, SecretError
from awfproxy.core.settings import Database
from awfproxy.core.urls import parse_allowed_host

#: The ledger's file, where the settings name no database.
FILE = "ledger.db"

_SQLITE = "sqlite:////var/lib/awfproxy/ledger.db"
_POSTGRESQL = "postgresql://user@host/database"
#: What RFC 3986 lets stand in these parts as it is; anything else is percent-encoded.
_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+")
#: A query without `@`: with one, a password with `?` in it was meant to stand before the `@`.
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:/%-]*")


def parse_ledger(text: str, absolute: Callable[[str], str]) -> Database | str:
    """`sqlite:///PATH` or `postgresql://...`, or what is wrong with it.

    :param absolute: makes a path of the settings absolute.
    """
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if scheme == "sqlite":
        return _sqlite(rest, absolute)
    if scheme == "postgresql":
        return _postgresql(text)
    if scheme.partition("+")[0] in ("postgres", "postgresql") and colon:
        return f"has a scheme that is not known; write `{_POSTGRESQL}`"
    return f"is no database that is supported; write `{_SQLITE}` or `{_POSTGRESQL}`"


def ledger_in(state_dir: str) -> Database | str:
    """The ledger where nothing is said about it: a file in the state folder; or what is wrong with that."""
    return parse_ledger(f"sqlite:///{posixpath.join(state_dir, FILE)}", lambda path: path)


def _sqlite(rest: str, absolute: Callable[[str], str]) -> Database | str:
    path = rest.removeprefix("///")
    if path == rest:
        return f"has no path after three slashes; write `{_SQLITE}`"
    if path in ("", ":memory:"):
        return f"is a database that ends with the process, and with it all that was used; write `{_SQLITE}`"
    if "?" in path or "#" in path or not path.isprintable():
        return "has a path with `?`, `#` or something unprintable in it; give the file another name"
    if path.endswith("/"):
        return f"names a folder; write `{_SQLITE}`"
    return Database(f"sqlite:///{absolute(path)}")


def _postgresql(text: str) -> Database | str:
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text or "#" in text:
        return "has characters that must be percent-encoded"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return (
            "has a port that is no number up to 65535, or an address in broken brackets"
            " (in a password, `/`, `?`, `#` and `@` must be percent-encoded)"
        )
    users, at, place = parts.netloc.rpartition("@")
    user, _, password = users.partition(":")
    if (at and not _NAME.fullmatch(user)) or (password and not _NAME.fullmatch(password)):
        return "has a user name or password with characters that must be percent-encoded"
    if not text.startswith("postgresql://") or port == 0 or not _is_host(host):
        return f"has no usable host or port; write `{_POSTGRESQL}`"
    if not _NAME.fullmatch(parts.path.removeprefix("/")):
        return f"names no database, or one with characters that must be percent-encoded; write `{_POSTGRESQL}`"
    if not _QUERY.fullmatch(parts.query):
        return "has parameters with characters that must be percent-encoded"
    if "password" in parts.query.lower():
        return f"has a password among its parameters; write it before the `@`: `{_POSTGRESQL.replace('@', ':...@')}`"
    query = f"?{parts.query}" if parts.query else ""
    bare = f"postgresql://{user}{at}{place}{parts.path}{query}"
    if not password:
        return Database(bare)
    try:
        return Database(bare, Secret(password))
    except SecretError:
        return "has a password that is too long"


def _is_host(host: str) -> bool:
    """Empty: a Unix socket, or what the parameter `host` says."""
    if not host or parse_allowed_host(host):
        return True
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False
