"""Reading the user's own prices: a TOML file that goes before the published ones.

Rules: every fault of the file is told at once, each with file, line, key and remedy; a rate that could be a slip is a
fault, because a wrong price lets a budget run over in silence.
"""

from __future__ import annotations

import os
import re
import stat
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, field
from msgspec.structs import asdict

from awfproxy.core.labels import LABEL_MAX
from awfproxy.core.toml_document import TomlDocument
from awfproxy.core.toml_lines import Path
from awfproxy.core.toml_tables import Names, Table
from awfproxy.prices.moments import Span, midnight
from awfproxy.prices.overrides import Override, Overrides, PriceFileError
from awfproxy.prices.rates import Sheet

__all__ = ("PriceFileError", "parse_overrides", "read_overrides")

#: Dollars a million tokens.  The dearest published rate is 600; above a hundred thousand somebody wrote the price of
#: something else.
RATE_MAX: Final = 100_000
#: Bytes of the file; a thousand models in full have a quarter of it.
FILE_MAX: Final = 1 << 20

Rate = Annotated[float, Meta(ge=0, le=RATE_MAX)]

#: A key of the file, and the library's word for it.
_KEYS: Final = {
    "input_per_million": "input_mtok",
    "output_per_million": "output_mtok",
    "cache_read_per_million": "cache_read_mtok",
    "cache_write_per_million": "cache_write_mtok",
    "cache_write_1h_per_million": "cache_write_1h_mtok",
}
#: Those that every price has: without them a class would be free by oversight.
_NEEDED: Final = ("input_per_million", "output_per_million")


class SinceTable(Table, frozen=True, kw_only=True):
    """A table `[models.NAME.since.DATE]`: rates from that day on."""

    NAMES: ClassVar[Names] = Names(re.compile(r"\d{4}-\d\d-\d\d"), "is no date; write it like `2026-07-01`")

    input_per_million: Rate | None = None
    output_per_million: Rate | None = None
    cache_read_per_million: Rate | None = None
    cache_write_per_million: Rate | None = None
    cache_write_1h_per_million: Rate | None = None


class ModelTable(SinceTable, frozen=True, kw_only=True):
    """A table `[models.NAME]`; the name may end with `*`."""

    NAMES: ClassVar[Names] = Names(
        re.compile(r"[^*]*\*?"),
        f"is no usable name: up to {LABEL_MAX} bytes of text, nothing unprintable in it, `*` only at the end",
    )

    provider: Literal["openai", "anthropic", "copilot", "gemini", "vertex", "generic"] | None = None
    since: dict[str, SinceTable] = field(default_factory=dict)


class PricesTable(Table, frozen=True, kw_only=True):
    """The whole file."""

    models: dict[str, ModelTable] = field(default_factory=dict)


def read_overrides(path: str) -> Overrides:
    """The prices of a file.

    :raises PriceFileError: it cannot be read, or something in it is wrong
    """
    try:
        # Not blocking: opening a pipe without a writer would hang.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            raw = file.read(FILE_MAX + 1) if regular else b""
    except OSError as error:
        raise PriceFileError([f"{path}: cannot be read: {error.strerror or error}."]) from None
    if not regular or len(raw) > FILE_MAX:
        raise PriceFileError([f"{path}: is no file of prices: a text of at most {FILE_MAX} bytes."])
    try:
        return parse_overrides(raw.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise PriceFileError([f"{path}: is not UTF-8 (at byte {error.start}), which TOML must be."]) from None


def parse_overrides(text: str, name: str) -> Overrides:
    """The prices in a file's text; `name` is the file's, for messages.

    :raises PriceFileError: with every fault found
    """
    document = TomlDocument(text, name, PricesTable)
    entries = []
    first: dict[str, str] = {}
    for model, table in document.tables.models.items():
        at = ("models", model)
        if (other := first.setdefault(model.lower(), model)) != model:
            document.fault(at, f"is `{other}` again; capital letters are as small ones, leave one out")
        dated = []
        for day, rates in table.since.items():
            _check(document, (*at, "since", day), rates)
            try:
                dated.append((date.fromisoformat(day), rates))
            except ValueError:
                document.fault((*at, "since", day), "is no day of the calendar")
        if _sheet(table) or not table.since:
            _check(document, at, table)
        if not document.faults:
            entries.append(Override(model, table.provider, _sheets(table, dated)))
    if document.faults:
        raise PriceFileError(document.lines())
    return Overrides(name, tuple(entries))


def _check(document: TomlDocument[PricesTable], at: Path, table: SinceTable) -> None:
    for key in _NEEDED:
        if getattr(table, key) is None and (*at, key) not in document.given:
            document.fault(at, f"has no `{key}`; write 0 where it is free")


def _sheets(table: ModelTable, dated: list[tuple[date, SinceTable]]) -> list[tuple[Span, Sheet]]:
    sheets = [(Span(first=midnight(day)), _sheet(rates)) for day, rates in sorted(dated, key=_day)]
    return [(Span(), _sheet(table)), *sheets] if _sheet(table) else sheets


def _sheet(table: SinceTable) -> Sheet:
    return {
        _KEYS[key]: Decimal(str(value)) for key, value in asdict(table).items() if key in _KEYS and value is not None
    }


def _day(dated: tuple[date, SinceTable]) -> date:
    return dated[0]
