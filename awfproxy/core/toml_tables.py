"""The tables of a configuration file, typed.

Rules: every fault of the text is told at once, each with file, line, key and remedy.  A key that a later version will
know is refused by name ("not supported in this version"), never ignored; any other unknown key names the nearest valid
one.  Values are typed by `ServiceTable` and `PortTable`, the only list of keys there is: the documentation's table is
tested against it.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from awfproxy.core import settings as defaults
from awfproxy.core.settings import IncludeUsage, OnClientAbort
from awfproxy.core.toml_lines import Path, line_of, lines_of_keys

#: Seconds; a week.  Above it somebody took milliseconds for seconds, and timers of event loops begin to misbehave.
TIMEOUT_MAX = 7 * 24 * 3600
#: Bytes; one TiB.  Above it a number is a slip, not a size.
SIZE_MAX = 1 << 40

Seconds = Annotated[float, Meta(gt=0, le=TIMEOUT_MAX)]
Size = Annotated[int, Meta(gt=0, le=SIZE_MAX)]
Text = Annotated[str, Meta(min_length=1)]

#: Names of ports: they stand in metrics, records and file names.
_PORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

#: Keys that the contract has and this version has not.
LATER_SERVICE = ("ledger",)
LATER_PORT = ("admission_wait", "budget", "clients", "features", "limits")


class CredentialTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a credential is; exactly one of the three."""

    env: Text | None = None
    file: Text | None = None
    systemd: Text | None = None


class ServiceTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[service]` as it is written."""

    log_dir: Text | None = None
    state_dir: Text | None = None
    admin: Text | None = None
    drain_timeout: Seconds = defaults.DRAIN_TIMEOUT
    record_wait: Seconds = defaults.RECORD_WAIT
    request_memory: Size = defaults.REQUEST_MEMORY
    workers: int = 1


class PortTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table `[ports.NAME]` as it is written."""

    listen: Text | None = None
    provider: Text | None = None
    upstream: Text | None = None
    credential: CredentialTable | None = None
    credential_header: Text | None = None
    include_usage: IncludeUsage | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    on_client_abort: OnClientAbort = "cancel"
    max_request_body: Size = defaults.MAX_REQUEST_BODY
    connect_timeout: Seconds = defaults.CONNECT_TIMEOUT
    first_byte_timeout: Seconds = defaults.FIRST_BYTE_TIMEOUT
    idle_timeout: Seconds = defaults.IDLE_TIMEOUT


class Document:
    """A file's tables, each field typed, beside what is wrong with them.

    `faults` grows as the file is read and may be added to by `fault`.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.faults: list[tuple[int, str]] = []
        self.service = ServiceTable()
        self.ports: dict[str, PortTable] = {}
        #: paths of keys that the file gives
        self.given: set[Path] = set()
        self._lines: dict[Path, int] = {}
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self._syntax(str(error))
            return
        except RecursionError:
            self._syntax("too deeply nested")
            return
        self._lines = lines_of_keys(text)
        self._read(tables)

    def fault(self, path: Path, problem: str) -> None:
        """Note what is wrong; `problem` is the rest of a sentence that begins with the key."""
        line = line_of(self._lines, path)
        end = "" if problem.endswith("?") else "."
        self.faults.append((line or 0, f"{self.place(path)}: `{'.'.join(path)}` {problem}{end}"))

    def place(self, path: Path) -> str:
        """`file:line` of a key."""
        line = line_of(self._lines, path)
        return f"{self.name}:{line}" if line else self.name

    def lines(self) -> list[str]:
        """All that is wrong, in the order of the file."""
        return [sentence for _, sentence in sorted(self.faults, key=lambda fault: fault[0])]

    def _syntax(self, message: str) -> None:
        found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        place = f"{self.name}:{found[1]}" if found else self.name
        what = message[: found.start()] if found else message
        self.faults.append((0, f"{place}: this is not valid TOML: {what[:1].lower()}{what[1:]}."))

    def _read(self, tables: dict[str, Any]) -> None:
        for name, value in tables.items():
            if name not in ("service", "ports"):
                self.fault((name,), f"is not a setting{nearest(name, ('service', 'ports'))}")
            elif not isinstance(value, dict):
                self.fault((name,), "must be a table")
        service = tables.get("service")
        if isinstance(service, dict):
            self.service = ServiceTable(**dict(self._fields(("service",), service, ServiceTable, LATER_SERVICE)))
            if self.service.workers != 1:
                self.fault(("service", "workers"), "other than 1 is not supported in this version")
        ports = tables.get("ports")
        for name, table in (ports if isinstance(ports, dict) else {}).items():
            path = ("ports", name)
            if not _PORT_NAME.fullmatch(name):
                self.fault(path, "is no usable name: up to 64 letters, digits, `-` and `_`, no sign first")
            elif not isinstance(table, dict):
                self.fault(path, f"must be a table; write `[ports.{name}]`")
            else:
                self.ports[name] = PortTable(**dict(self._fields(path, table, PortTable, LATER_PORT)))

    def _fields(
        self, at: Path, table: dict[str, Any], kind: type[msgspec.Struct], later: tuple[str, ...]
    ) -> Iterator[tuple[str, Any]]:
        """The fields that are right; the others become faults."""
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in table.items():
            path = (*at, key)
            self.given.add(path)
            if key in later:
                self.fault(path, "is not supported in this version")
            elif key not in types:
                self.fault(path, f"is not a setting{nearest(key, tuple(types), later)}")
            elif isinstance(value, float) and not math.isfinite(value):
                self.fault(path, "must be a finite number")
            else:
                try:
                    yield key, msgspec.convert(value, types[key])
                except msgspec.ValidationError as error:
                    self.fault(path, _plain(str(error), value, _choices(types[key])))


def nearest(name: str, valid: tuple[str, ...], later: tuple[str, ...] = ()) -> str:
    """`; did you mean ...?` where something is near, else the whole list.

    :param later: names that a later version will know: they may have been meant, but are not valid.
    """
    if near := difflib.get_close_matches(name, valid + later, 1):
        return f"; did you mean `{near[0]}`?"
    return f"; valid are {', '.join(f'`{one}`' for one in sorted(valid))}"


def _choices(kind: Any) -> tuple[object, ...]:
    """The values of a Literal type, also of an optional one."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((get_args(part) for part in get_args(kind) if get_origin(part) is Literal), ())


def _plain(message: str, value: object, choices: tuple[object, ...]) -> str:
    """msgspec's message, in the words of someone who writes TOML; `choices` are those of a Literal type."""
    message, _, where = message.partition(" - at `$")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message):
        return f"has the unknown member `{unknown[1]}`; valid are `env`, `file` and `systemd`"
    if message.startswith("Invalid enum value"):
        return f"cannot be `{value}`{nearest(str(value), tuple(str(choice) for choice in choices))}"
    message = message.replace("Expected", "expected").replace("object", "table").replace(" | null", "")
    message = message.replace("`str` of length >= 1", "a text that is not empty").replace("`str`", "a text")
    message = message.replace("`array`", "an array").replace("`float`", "a number").replace("`int`", "a whole number")
    message = message.replace("`table`", "a table").replace("`bool`", "true or false")
    inner = f" (at `{where.rstrip('`')}`)" if where else ""
    return f"is wrong: {message}{inner}"
