"""Reading providers' exports: which files, which shape each has, and what was left out.

Rules: the shape is told by what stands in a file (`export_json`, `export_csv`); plain, gzip and zstd; UTF-8 or, as
spreadsheets save it, UTF-16. A row that stands in two files, or twice in one, counts once; two files that tell
different figures for the same thing are a fault, because nobody can say which holds.  So are two that tell the same in
different ways (`overlaps`): the later one is left out, with the time that it is about.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Final, cast

import msgspec
from msgspec import field

from awfproxy.report.lines import BUFFER, STDIN, Unread, broken_file_errors, called, decompressed, files_in, reason_of
from awfproxy.report.reading import many
from awfproxy.report.reconcile.export_csv import read_csv
from awfproxy.report.reconcile.export_json import DOCUMENT_MAX, Told, read_json
from awfproxy.report.reconcile.names import Families
from awfproxy.report.reconcile.overlaps import Side
from awfproxy.report.reconcile.used import DAY, Faults, Used

#: rows of all exports that are held: a month of hours for ten models and twenty keys has 150,000
ROWS_MAX: Final = 200_000
#: how the names of files in folders end that are looked into
_ENDS: Final = (".json", ".jsonl", ".csv", ".tsv", ".txt")
_PACKED: Final = (".gz", ".zst")

_UTF8: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BLANK: Final = b" \t\r\n"


class Span(msgspec.Struct, frozen=True):
    """The time that a file is about, from its first bucket to its last: tables have no rows for days without calls."""

    provider: str
    begin: int
    end: int
    #: what it tells of it: tokens, or costs
    costs: bool = False
    #: the file is a page of several: what comes after may be missing
    cut: bool = False
    #: its buckets: how long, and how long after midnight UTC they begin
    widths: frozenset[tuple[int, int]] = frozenset()


class Exports(msgspec.Struct):
    """All that was read."""

    rows: list[Used] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    #: whole sentences
    remarks: list[str] = field(default_factory=list)


def read_exports(
    paths: Sequence[str], stdin: IO[bytes] | None = None, wants: Callable[[Used], bool] | None = None
) -> Exports:
    """Reads files, folders (and those within) and "-".

    :param wants: which rows; None: all
    """
    found = Exports()
    book = _Book(found, wants)
    passed: dict[str, int] = {}
    for path in _files(paths):
        if isinstance(path, Unread):
            found.faults.add(path, f"not read: {path.why}")
            continue
        name = called(path)
        book.begin(name)
        try:
            told = _read(path, stdin, found.faults, book.take)
        except broken_file_errors() as error:
            found.faults.add(name, f"not read to its end: {reason_of(error)}")
            continue
        except _TooMany:
            found.faults.add(name, f"has more than {ROWS_MAX:,} rows with the files before; export days, not hours")
            break
        book.end(told)
        for kind, count in told.passed.items():
            passed[kind] = passed.get(kind, 0) + count
    found.rows, found.spans = book.counted(found.faults)
    if book.again:
        found.remarks.append(f"{many(book.again, 'row')} met again, counted once.")
    if book.unwanted:
        found.remarks.append(f"{many(book.unwanted, 'row')} of other keys or projects left out.")
    for kind, count in sorted(passed.items()):
        found.remarks.append(f"{many(count, 'row')} of {kind} left out: they have no tokens.")
    return found


class _TooMany(Exception):
    pass


class _File:
    """What counts of one file; tokens and costs of each provider for themselves."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[Used] = []
        self.spans: list[Span] = []
        self.sides: dict[tuple[str, bool], Side] = {}

    def side(self, used: Used) -> Side:
        """What the row is of."""
        key = (used.provider, used.cost is not None)
        side = self.sides.get(key)
        if side is None:
            side = self.sides[key] = Side(self.path, *key, used.columns)
        return side


class _Book:
    """The rows of all files, each once."""

    def __init__(self, found: Exports, wants: Callable[[Used], bool] | None) -> None:
        self._found = found
        self._files: list[_File] = []
        self._wants = wants
        self._path = ""
        self._number = 0
        #: the file in which a thing was met first
        self._first: dict[int, int] = {}
        self._figures: set[int] = set()
        #: rows of the file as they are written there
        self._written: set[int] = set()
        self._kinds: set[bool] = set()
        self.again = 0
        self.unwanted = 0
        self._read = 0

    def begin(self, path: str) -> None:
        self._path = path
        self._number += 1
        self._files.append(_File(path))
        self._kinds = set()
        self._written = set()

    def take(self, used: Used) -> None:
        self._read += 1
        if self._read > ROWS_MAX:
            raise _TooMany
        self._kinds.add(used.cost is not None)
        file = self._files[-1]
        side = file.side(used)
        side.tells(used)
        if used.written in self._written:
            # A page that was fetched twice.  Rows that differ in anything may be of one thing, told apart by what is
            # not looked at here.
            self.again += 1
            return
        self._written.add(used.written)
        figures = hash((used.identity, used.counts, used.requests, used.cost))
        if self._first.setdefault(used.identity, self._number) != self._number:
            if figures in self._figures:
                self.again += 1
            else:
                self._found.faults.add(self._path, "has other figures for what another file has too; give one of them")
            return
        self._figures.add(figures)
        if self._wants is not None and not self._wants(used):
            self.unwanted += 1
            return
        side.counts(used)
        file.rows.append(used)

    def end(self, told: Told) -> None:
        """The file was read: the times that it is about, for what it tells."""
        found = self._files[-1].spans
        for provider in sorted({span[0] for span in told.spans}):
            own = [(begin, end) for name, begin, end in told.spans if name == provider]
            begin, end = min(begin for begin, _ in own), max(end for _, end in own)
            widths = frozenset((stop - start, start % DAY) for start, stop in own)
            found += [Span(provider, begin, end, costs, told.cut, widths) for costs in sorted(self._kinds or {False})]

    def counted(self, faults: Faults) -> tuple[list[Used], list[Span]]:
        """All rows and spans, but for those of files that tell again what another one tells."""
        families = Families()
        before: list[Side] = []
        rows: list[Used] = []
        spans: list[Span] = []
        for file in self._files:
            left = set()
            for key, side in file.sides.items():
                again = next(((other, how) for other in before if (how := side.overlap(other, families))), None)
                if again is None:
                    before.append(side)
                    continue
                left.add(key)
                other, how = again
                what = f"{'costs' if side.costs else 'tokens'} of {side.provider}"
                faults.add(file.path, f"tells the same {what} as {other.path}, {how}; left out: give one of them")
            rows += [row for row in file.rows if (row.provider, row.cost is not None) not in left]
            spans += [span for span in file.spans if (span.provider, span.costs) not in left]
        return rows, spans


def _files(paths: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for path in paths:
        if path == STDIN or not os.path.isdir(path):
            found[path] = None
            continue
        for each in files_in(path, _wanted):
            found.setdefault(each)
    return list(found)


def _wanted(name: str) -> bool:
    return name.removesuffix(_PACKED[0]).removesuffix(_PACKED[1]).lower().endswith(_ENDS)


def _read(path: str, stdin: IO[bytes] | None, faults: Faults, take: Callable[[Used], None]) -> Told:
    if path == STDIN:
        return _read_file(stdin or sys.stdin.buffer, called(path), faults, take)
    with open(path, "rb", buffering=BUFFER) as file:
        return _read_file(file, path, faults, take)


def _read_file(file: IO[bytes], path: str, faults: Faults, take: Callable[[Used], None]) -> Told:
    content = cast("io.BufferedReader", decompressed(file))
    start = content.peek(BUFFER)[:BUFFER]
    encoding = "utf-16" if start.startswith(_UTF16) else "utf-8-sig"
    if start.removeprefix(_UTF8).lstrip(_BLANK)[:1] in (b"{", b"["):
        document = content.read(DOCUMENT_MAX + 1)
        if len(document) > DOCUMENT_MAX:
            faults.add(path, f"is longer than {DOCUMENT_MAX // 2**20} MiB; fetch fewer buckets a page")
            return Told()
        return read_json(document.removeprefix(_UTF8), path, faults, take)
    # "utf-16" swaps bytes by the mark; bytes that are no text become what no name and no figure has.
    text = io.TextIOWrapper(content, encoding, "replace", newline="")
    try:
        return read_csv(text, path, faults, take)
    finally:
        text.detach()  # it would close standard input
