"""The user's own prices: a TOML file that goes before the published ones.

Rules: every fault of the file is told at once, each with file, line, key and remedy; a rate that could be a slip is a
fault, because a wrong price lets a budget run over in silence.  A name counts before a prefix, a longer prefix before a
shorter one; capital letters are as small ones.
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
from awfproxy.prices.names import LIBRARY_PROVIDERS
from awfproxy.prices.offers import Offer
from awfproxy.prices.rates import Sheet

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


class PriceFileError(ValueError):
    """The file of the user's prices cannot be used; `faults` are sentences that name file, line, key and remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


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


class _Entry:
    """One table of the file."""

    def __init__(self, name: str, table: ModelTable, dated: list[tuple[date, SinceTable]]) -> None:
        self.provider = table.provider
        self.prefix = name.endswith("*")
        self.text = name.lower().removesuffix("*")
        sheets = [(Span(first=midnight(day)), _sheet(rates)) for day, rates in sorted(dated, key=_day)]
        if _sheet(table):
            sheets.insert(0, (Span(), _sheet(table)))
        self._sheets = sheets
        self._name = name
        self._offers: dict[str, Offer] = {}

    def fits(self, provider: str, model: str) -> bool:
        if self.provider not in (None, provider):
            return False
        return model.startswith(self.text) if self.prefix else model == self.text

    def offer(self, provider: str) -> Offer:
        # The provider of the port has the rules for other ways of serving (`tiers`).
        seller = LIBRARY_PROVIDERS.get(provider, "")
        if seller not in self._offers:
            self._offers[seller] = Offer(seller, self._name, self._sheets, source="override")
        return self._offers[seller]


class Overrides:
    """The prices of one file."""

    def __init__(self, name: str = "", entries: tuple[_Entry, ...] = ()) -> None:
        #: the file's name; empty: there is none
        self.name = name
        # Names before prefixes, the longest first.
        self._entries = sorted(entries, key=lambda entry: (entry.prefix, -len(entry.text)))

    def offers(self, provider: str, model: str) -> tuple[Offer, ...]:
        """What the file has for a model; the first counts that has a price at the time of the call."""
        name = model.strip().lower()
        return tuple(entry.offer(provider) for entry in self._entries if entry.fits(provider, name))


NO_OVERRIDES: Final = Overrides()


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
            entries.append(_Entry(model, table, dated))
    if document.faults:
        raise PriceFileError(document.lines())
    return Overrides(name, tuple(entries))


def _check(document: TomlDocument[PricesTable], at: Path, table: SinceTable) -> None:
    for key in _NEEDED:
        if getattr(table, key) is None and (*at, key) not in document.given:
            document.fault(at, f"has no `{key}`; write 0 where it is free")


def _sheet(table: SinceTable) -> Sheet:
    return {
        _KEYS[key]: Decimal(str(value)) for key, value in asdict(table).items() if key in _KEYS and value is not None
    }


def _day(dated: tuple[date, SinceTable]) -> date:
    return dated[0]
