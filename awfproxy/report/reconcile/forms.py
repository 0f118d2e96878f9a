"""The report drawn: for a terminal, GitHub's markdown, programs, and spreadsheets.

Rules: names of models and keys may have been chosen by anybody and go through `escaping`, also within sentences.  What
there is no room for is said, and programs get it all.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final

from awfproxy.report.costs import PICO
from awfproxy.report.escaping import markdown_code, markdown_text, short, terminal
from awfproxy.report.figures import UNKNOWN, dollars, some_of
from awfproxy.report.reconcile.comparison import Cause
from awfproxy.report.reconcile.report import Label, Line, Reconciliation
from awfproxy.report.reconcile.report import Table as Lines
from awfproxy.report.reconcile.used import CLASSES, WORDS
from awfproxy.report.table import Column, Table, as_csv, details, markdown, pretty, sentences

SCHEMA: Final = "report-reconcile/v1.0.0"
#: causes that people are shown, the largest; rows in markdown; names in a sentence
CAUSES_SHOWN: Final = 40
MARKDOWN_ROWS: Final = 200
NAMES_SHOWN: Final = 5
#: columns below which nothing is folded
_NARROW: Final = 40
#: digits of JSON's dollars
_DIGITS: Final = 9

Figure = Callable[[int], str]


def _times(report: Reconciliation) -> str | None:
    """The name of the column of times."""
    return "hour" if "hour" in report.by else "day" if "day" in report.by else None


def _label(report: Reconciliation, label: Label) -> tuple[str, ...]:
    parts: tuple[str, ...] = (label.provider,) if report.against == "provider-export" else ()
    parts += () if _times(report) is None else (label.time or "",)
    return (*parts, *(("(all models)" if label.model is None else label.model,) if "model" in report.by else ()))


def _titles(report: Reconciliation) -> tuple[Column, ...]:
    found: tuple[Column, ...] = (Column("provider"),) if report.against == "provider-export" else ()
    time = _times(report)
    found += () if time is None else (Column(time),)
    return (*found, *((Column("model"),) if "model" in report.by else ()))


def _share(line: Line) -> str:
    difference, most = sum(line.difference), max(sum(line.ours), sum(line.theirs))
    if not most:
        return ""
    share = difference / most
    if not difference:
        return "0.0%"
    return f"{share:+.1%}" if abs(share) >= 0.0005 else ("<+0.1%" if share > 0 else ">-0.1%")


def _table(report: Reconciliation, lines: Lines, figure: Figure, what: str, limit: int | None = None) -> Table:
    """
    :param limit: rows beside the totals; None: all
    """
    calls = what == "tokens"
    columns = [
        *_titles(report),
        *((Column("calls here", True, 4), Column("calls there", True, 3)) if calls else ()),
        *(Column(f"{what} {side}", True) for side in ("here", "there")),
        Column("difference", True),
        Column("share", True, 2),
        Column("beyond", drop=1),
    ]

    def cells(line: Line) -> tuple[str, ...]:
        counted = (f"{line.calls:,}", UNKNOWN if line.requests is None else f"{line.requests:,}") if calls else ()
        least = "≥" if line.unpriced else ""
        return (
            *counted,
            least + figure(sum(line.ours)),
            figure(sum(line.theirs)),
            _signed(figure, sum(line.difference)),
            _share(line),
            "yes" if line.exceeds(report.tolerance) else "",
        )

    rows = [(*_label(report, label), *cells(line)) for label, line in list(_sorted(lines))[:limit]]
    width = len(_titles(report))
    for provider, line in sorted(lines.totals.items()):
        names = ([provider] if provider else []) + ["total"] + [""] * width
        if width < len(names) - width:
            names = [" ".join(filter(None, names))]
        rows.append((*names[:width], *cells(line)))
    return Table(tuple(columns), rows)


def _sorted(lines: Lines) -> Iterator[tuple[Label, Line]]:
    return iter(sorted(lines.lines.items(), key=lambda each: tuple(part or "" for part in each[0])))


def _signed(figure: Figure, amount: int) -> str:
    return f"{'+' if amount > 0 else '-'}{figure(abs(amount))}" if amount else figure(0)


def _count(amount: int) -> str:
    return f"{amount:,}"


def _causes(lines: Lines) -> list[tuple[Label, Cause]]:
    """All causes, the largest first."""
    found = [(label, cause) for label, line in _sorted(lines) for cause in line.causes]
    return sorted(found, key=lambda each: -sum(map(abs, each[1].amounts)))


def _indented(text: str, width: int | None) -> str:
    if width is None:
        return f"    {text}\n"
    return textwrap.fill(text, max(width, _NARROW), initial_indent="    ", subsequent_indent="    ") + "\n"


def _amounts(cause: Cause, figure: Figure) -> str:
    if not any(cause.amounts):
        return ""
    if len(cause.amounts) == 1:
        return _signed(figure, cause.amounts[0])
    parts = zip(WORDS, cause.amounts, strict=True)
    return ", ".join(f"{_signed(figure, amount)} {word}" for word, amount in parts if amount)


def _notes(report: Reconciliation, text: Callable[[str], str], name: Callable[[str], str]) -> list[str]:
    said = []
    for provider in sorted({provider for provider, _ in report.spans}):
        spans = {what: span for (whose, what), span in report.spans.items() if whose == provider}
        alike = len(set(spans.values())) == 1
        of = f"the export of {provider}" if provider else "the agents' logs"
        for what, (begin, end) in ({"": next(iter(spans.values()))} if alike else spans).items():
            said.append(f"Compared: what {of} covers{f' of {what}' if what else ''}, {begin} to {end}.")
    if report.prices is not None:
        said.append(f"Prices here: {name(report.prices)}.")
    if report.items:
        items = sorted(report.items.items(), key=lambda each: -abs(each[1]))
        told = [f"{name(short(item))} {_signed(dollars, amount)}" for item, amount in items]
        said.append(f"Billed, and not compared because it is no model's tokens: {some_of(told, NAMES_SHOWN)}.")
    for table in report.tables:
        if table.overflowed:
            said.append(f"There are too many models: {table.overflowed:,} rows went to “(others)”.")
    said += [text(note) for note in report.notes]
    verdict = "Agrees" if report.agrees else "Differs"
    said.append(f"{verdict}, with a tolerance of {100 * report.tolerance:g}% of the larger side.")
    return said


def _sections(report: Reconciliation) -> Iterator[tuple[Lines, Figure, str]]:
    if report.tokens is not None:
        yield report.tokens, _count, "tokens"
    if report.money is not None:
        yield report.money, dollars, "cost"


def _pretty(report: Reconciliation, width: int | None) -> str:
    parts = []
    for lines, figure, what in _sections(report):
        parts += [pretty(_table(report, lines, figure, what), width), "\n"]
        causes = _causes(lines)
        for label, cause in causes[:CAUSES_SHOWN]:
            where = " ".join(terminal(short(part)) for part in _label(report, label) if part) or "all"
            parts.append(f"{where}: {cause.code}, {cause.sure}\n")
            parts += [_indented(text, width) for text in (_amounts(cause, figure), terminal(cause.words)) if text]
        if len(causes) > CAUSES_SHOWN:
            parts.append(f"{len(causes) - CAUSES_SHOWN:,} smaller causes are not shown; --format json has them.\n")
        parts.append("\n")
    return "".join(parts) + sentences(_notes(report, terminal, terminal), width)


def _markdown(report: Reconciliation, width: int | None) -> str:
    del width
    against = "the provider's export" if report.against == "provider-export" else "the agents' logs"
    parts = [f"### Records and {against}\n"]
    for lines, figure, what in _sections(report):
        parts.append(markdown(_table(report, lines, figure, what, 0)))
        table = _table(report, lines, figure, what, MARKDOWN_ROWS)
        parts.append(details(f"{what.capitalize()} by {', '.join(report.by) or 'provider'}", markdown(table)))
        causes = _causes(lines)
        listed = [
            f"- {' '.join(filter(None, map(markdown_code, map(short, _label(report, label)))))}: **{cause.code}**, "
            f"{cause.sure}"
            + (f", {amounts}" if (amounts := _amounts(cause, figure)) else "")
            + f": {markdown_text(cause.words)}"
            for label, cause in causes[:CAUSES_SHOWN]
        ]
        if listed:
            more = len(causes) - len(listed)
            listed += [f"- {more:,} smaller ones"] if more else []
            parts.append(details(f"Why {what} differ: {len(causes):,} causes", "\n".join(listed)))
    parts += [f"{note}\n" for note in _notes(report, markdown_text, markdown_code)]
    return "\n".join(parts)


def _vector(line: Line, sums: list[int]) -> dict[str, int | None]:
    return {name: amount if told else None for name, amount, told in zip(CLASSES, sums, line.told, strict=True)}


def _row(report: Reconciliation, label: Label, line: Line, *, money: bool) -> dict[str, Any]:
    time = _times(report)
    found: dict[str, Any] = {
        "provider": label.provider or None,
        **({} if time is None else {time: label.time}),
        **({"model": label.model} if "model" in report.by else {}),
        "models_here": sorted(map(short, line.names_here)),
        "models_there": sorted(map(short, line.names_there)),
        "calls_here": line.calls,
    }
    if money:
        found |= {
            "unpriced_calls": line.unpriced,
            **{f"{side}_usd": _usd(sums[0]) for side, sums in _sides(line)},
        }
    else:
        found |= {"calls_there": line.requests, **{side: _vector(line, sums) for side, sums in _sides(line)}}
    found["beyond"] = line.exceeds(report.tolerance)
    found["causes"] = [_fact(line, cause, money=money) for cause in line.causes]
    return found


def _sides(line: Line) -> tuple[tuple[str, list[int]], ...]:
    return ("here", line.ours), ("there", line.theirs), ("difference", line.difference)


def _fact(line: Line, cause: Cause, *, money: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"code": cause.code, "sure": cause.sure, "words": cause.words}
    found |= {"usd": _usd(cause.amounts[0])} if money else {"tokens": _vector(line, cause.amounts)}
    return found if cause.calls is None else {**found, "calls": cause.calls}


def _usd(pico: int) -> float:
    return round(pico / PICO, _DIGITS)


def _json(report: Reconciliation, width: int | None) -> str:
    del width
    body: dict[str, Any] = {
        "_schema": SCHEMA,
        "against": report.against,
        "by": list(report.by),
        "tolerance": report.tolerance,
        "agrees": report.agrees,
        "covered": [
            {"provider": provider or None, "what": what, "begin": begin, "end": end}
            for (provider, what), (begin, end) in sorted(report.spans.items())
        ],
    }
    for lines, _, what in _sections(report):
        money = what == "cost"
        body["costs" if money else "tokens"] = {
            "rows": [_row(report, label, line, money=money) for label, line in _sorted(lines)],
            "totals": [
                _row(report, Label(provider, None, None), line, money=money)
                for provider, line in sorted(lines.totals.items())
            ],
        }
    body |= {
        "other_items": [{"item": short(item), "usd": _usd(pico)} for item, pico in sorted(report.items.items())],
        "prices": report.prices,
        "faults": report.faults.count,
        "notes": report.notes,
        "skipped_lines": report.remarks.skipped,
        "duplicates": report.remarks.duplicates,
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _csv(report: Reconciliation, width: int | None) -> str:
    del width
    sides = ("here", "there", "difference")
    titles = ["what", "provider", "time", "model", "calls_here", "calls_there"]
    titles += [f"{name}_{side}" for name in CLASSES for side in sides] + [f"usd_{side}" for side in sides]
    rows: list[list[str | int | float | None]] = []
    for lines, _, what in _sections(report):
        for label, line in _sorted(lines):
            row: list[str | int | float | None] = [what, label.provider, label.time, label.model, line.calls]
            if what == "tokens":
                vectors = [_vector(line, sums) for _, sums in _sides(line)]
                row += [line.requests, *(vector[name] for name in CLASSES for vector in vectors), None, None, None]
            else:
                row += [None] * (1 + len(CLASSES) * len(sides))
                row += [_usd(sums[0]) for _, sums in _sides(line)]
            codes = " ".join(dict.fromkeys(cause.code for cause in line.causes))
            rows.append([*row, "yes" if line.exceeds(report.tolerance) else "no", codes])
    return as_csv([*titles, "beyond", "causes"], rows)


FORMS: Final[dict[str, Callable[[Reconciliation, int | None], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
