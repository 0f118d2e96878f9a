"""A TOML file's text, read into typed tables: a configuration file's are those of `toml_tables`.

Rules: every fault of the text is told at once, each with file, line, key and remedy; an unknown key names the nearest
valid one.  What is right beside a fault is read all the same, so that its own faults are found in the same pass.
"""

import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Generic, TypeGuard, TypeVar, get_args, get_origin

import msgspec

from awfproxy.core.toml_lines import Path, line_of, lines_of_keys
from awfproxy.core.toml_tables import FileTable, PortTable, ServiceTable, Table
from awfproxy.core.toml_words import no_setting, syntax, wrong_value

_T = TypeVar("_T", bound=Table)
_Whole = TypeVar("_Whole", bound=Table)


class TomlDocument(Generic[_Whole]):
    """A file's tables, each field typed, beside what is wrong with them.

    `faults` grows as the file is read and may be added to by `fault`.
    """

    def __init__(self, text: str, name: str, whole: type[_Whole], *, one_line: bool = False) -> None:
        """
        :param whole: the table that the whole file is; all its fields have defaults
        :param one_line: the text is no file's, but one line from elsewhere: places are told without its number
        """
        self.name = name
        self.faults: list[tuple[int, str]] = []
        self.tables = whole()
        #: it is TOML, whatever it says
        self.readable = True
        #: paths of keys that the file gives
        self.given: set[Path] = set()
        self._one_line = one_line
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
        self.tables = self._table((), tables, whole)

    def fault(self, path: Path, problem: str) -> None:
        """Note what is wrong; `problem` is the rest of a sentence that begins with the key."""
        line = line_of(self._lines, path)
        end = "" if problem.endswith("?") else "."
        self.faults.append((line or 0, f"{self.place(path)}: `{'.'.join(path)}` {problem}{end}"))

    def place(self, path: Path) -> str:
        """`file:line` of a key."""
        return self._at(line_of(self._lines, path))

    def lines(self) -> list[str]:
        """All that is wrong, in the order of the file."""
        return [sentence for _, sentence in sorted(self.faults, key=lambda fault: fault[0])]

    def _syntax(self, message: str) -> None:
        found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        place = self._at(int(found[1]) if found else None)
        what = message[: found.start()] if found else message
        self.readable = False
        self.faults.append((0, f"{place}: this is not valid TOML: {syntax(what)}."))

    def _at(self, line: int | None) -> str:
        return f"{self.name}:{line}" if line and not self._one_line else self.name

    def _table(self, at: Path, given: dict[str, Any], kind: type[_T]) -> _T:
        return kind(**dict(self._fields(at, given, kind)))

    def _fields(self, at: Path, given: dict[str, Any], kind: type[Table]) -> Iterator[tuple[str, Any]]:
        """The fields that are right; the others become faults."""
        types = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in given.items():
            path, wanted = (*at, key), types.get(key)
            self.given.add(path)
            if wanted is None:
                self.fault(path, no_setting(key, tuple(types)))
            elif _is_table(wanted):
                if self._is_dict(value, path):
                    yield key, self._table(path, value, wanted)
            elif get_origin(wanted) is dict:
                if self._is_dict(value, path):
                    yield key, dict(self._named(path, value, get_args(wanted)[1]))
            elif isinstance(value, float) and not math.isfinite(value):
                self.fault(path, "must be a finite number")
            else:
                try:
                    yield key, msgspec.convert(value, wanted)
                except msgspec.ValidationError as error:
                    self.fault(path, wrong_value(key, value, wanted, str(error)))

    def _named(self, at: Path, given: dict[str, Any], kind: type[_T]) -> Iterator[tuple[str, _T]]:
        """Tables whose names are the file's own."""
        for name, value in given.items():
            path = (*at, name)
            self.given.add(path)
            if not kind.NAMES.fits(name):
                self.fault(path, kind.NAMES.problem)
            elif self._is_dict(value, path):
                yield name, self._table(path, value, kind)

    def _is_dict(self, value: object, path: Path) -> TypeGuard[dict[str, Any]]:
        if isinstance(value, dict):
            return True
        self.fault(path, f"must be a table; write `[{'.'.join(path)}]`")
        return False


class Document(TomlDocument[FileTable]):
    """The configuration file."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text, name, FileTable)

    @property
    def service(self) -> ServiceTable:
        return self.tables.service

    @property
    def ports(self) -> dict[str, PortTable]:
        return self.tables.ports


def _is_table(kind: Any) -> TypeGuard[type[Table]]:
    return isinstance(kind, type) and issubclass(kind, Table)
