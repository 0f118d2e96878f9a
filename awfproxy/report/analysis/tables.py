"""The tables of an analysis, for people: on a terminal and in markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awfproxy.report.analysis.amounts import Amounts
from awfproxy.report.analysis.analysis import Analysis, Finding
from awfproxy.report.analysis.board import Evidence
from awfproxy.report.analysis.comparison import Compared, Comparison
from awfproxy.report.figures import LEAST, NOT_SAID, UNKNOWN, dollars, share
from awfproxy.report.table import Column, Table

#: rows of a table by run, model or turn
ROWS_MAX: Final = 20
#: what findings are summed by: heading, and which part of a place it is
BY: Final = (("run", 0), ("model", 1), ("turn", 2))


def money(amounts: Amounts, pico: int) -> str:
    """Dollars of a sum of which a part may have no price."""
    if amounts.nothing_priced:
        return UNKNOWN
    return f"{'' if amounts.priced_whole else LEAST}{dollars(pico)}"


def tokens(amounts: Amounts) -> str:
    """Those of a sum of which a part may not be known."""
    return f"{LEAST if amounts.unknown else ''}{amounts.tokens:,}"


def whole(analysis: Analysis) -> Table:
    """What was used, and what could be saved of it."""
    used, saved = analysis.whole, analysis.total
    columns = [Column("calls", True), Column("all tokens", True)]
    row = [f"{used.calls:,}", tokens(used)]
    columns.append(Column("could be saved", True))
    row.append(f"{saved.saved_tokens:,} ({share(saved.saved_tokens / used.tokens if used.tokens else None)})")
    if analysis.costs is not None:
        columns += [Column("cost", True), Column("could be saved", True)]
        row.append(money(used, used.pico))
        part = share(saved.saved_pico / used.pico if used.pico else None)
        row.append(f"{dollars(saved.saved_pico)} ({part})" if used.pico else UNKNOWN)
    return Table(tuple(columns), [tuple(row)])


def findings(analysis: Analysis) -> Table:
    """One row for each finding."""
    columns = [Column("finding"), Column("severity", True, 3), Column("cases", True)]
    columns += [Column("tokens at stake", True, 4), Column("tokens saved", True, 1)]
    if analysis.costs is not None:
        columns += [Column("at stake", True, 5), Column("saved", True)]
    columns.append(Column("sure", True, 2))
    rows = []
    for finding in analysis.findings:
        amounts = finding.amounts
        row = [finding.code, finding.severity, f"{finding.cases:,}", f"{amounts.tokens:,}", f"{amounts.saved_tokens:,}"]
        if analysis.costs is not None:
            row += [money(amounts, amounts.pico), money(amounts, amounts.saved_pico)] if amounts.tokens else ["", ""]
        rows.append((*row, f"{finding.sure}%"))
    return Table(tuple(columns), rows)


def by(analysis: Analysis, heading: str, member: int) -> Table | None:
    """What each run, model or turn used, and the finding that is largest in it; None: there is only one."""
    used = analysis.places.by(member)
    used.sort(key=lambda each: (-each[1].pico, -each[1].tokens, each[0] or ""))
    if len(used) < 2:
        return None
    largest: dict[str | None, tuple[int, int, str]] = {}
    for finding in analysis.findings:
        for name, amounts in finding.places.by(member):
            rank = (amounts.saved_pico, amounts.saved_tokens, finding.code)
            if rank[:2] > largest.get(name, (0, 0, ""))[:2]:
                largest[name] = rank
    priced = analysis.costs is not None
    columns = [Column(heading), Column("calls", True, 2), Column("all tokens", True)]
    columns += [Column("cost", True)] if priced else []
    columns += [Column("largest finding", drop=1), Column("it saves", True)]
    rows = []
    for name, amounts in used[:ROWS_MAX]:
        saved_pico, saved_tokens, code = largest.get(name, (0, 0, ""))
        row = [NOT_SAID if name is None else name, f"{amounts.calls:,}", tokens(amounts)]
        row += [money(amounts, amounts.pico)] if priced else []
        saved = dollars(saved_pico) if saved_pico else f"{saved_tokens:,} tokens"
        rows.append((*row, code, saved if code else ""))
    if len(used) > ROWS_MAX:
        rest = Amounts()
        for _, amounts in used[ROWS_MAX:]:
            rest.merge(amounts)
        row = [f"({len(used) - ROWS_MAX:,} more)", f"{rest.calls:,}", tokens(rest)]
        rows.append((*row, *([money(rest, rest.pico)] if priced else []), "", ""))
    return Table(tuple(columns), rows)


def evidence(analysis: Analysis, finding: Finding, most: int) -> Table:
    """The cases that are worth most."""
    cases = finding.evidence[:most]
    columns = [Column("when", drop=1)]
    places = [
        (heading, member) for heading, member in BY if any(case.place[member] is not None for case in cases)
    ]
    columns += [Column(heading, drop=4 - member) for heading, member in places]
    columns += [Column("conversation", drop=5), Column("what")]
    tokens = any(case.tokens for case in cases)
    priced = analysis.costs is not None and tokens
    columns += [Column("tokens", True)] if tokens else []
    columns += [Column("saved", True)] if priced else []
    columns += [Column("request", drop=6)]
    rows = []
    for case in cases:
        row = [(case.when or "")[:19].replace("T", " ")]
        row += [case.place[member] or "" for _, member in places]
        row += [case.conversation or "", described(case)]
        row += [f"{case.tokens:,}"] if tokens else []
        row += [UNKNOWN if case.saved_pico is None else dollars(case.saved_pico)] if priced else []
        rows.append((*row, case.request_ids[0] if case.request_ids else ""))
    return Table(tuple(columns), rows)


def described(case: Evidence) -> str:
    """The figures of a case in words."""
    parts = []
    for name, value in case.figures.items():
        words = name.replace("_", " ")
        parts.append(f"{words} {value:,}" if isinstance(value, int) else f"{words}: {value}")
    return ", ".join(parts)


def changes(analysis: Analysis, comparison: Comparison) -> Table:
    """Before and now: all, then by model; what changed is not known where a side is not known in whole."""
    priced = analysis.costs is not None
    columns = [Column("model"), Column("calls", True, 1), Column("change", True, 2)]
    columns += [Column("all tokens", True, 4 if priced else 0), Column("change", True, 3 if priced else 0)]
    columns += [Column("cost", True), Column("change", True)] if priced else []
    rows = [_change(each, priced=priced) for each in comparison.models]
    return Table(tuple(columns), rows, ("total", *_change(comparison.whole, priced=priced)[1:]))


def _change(each: Compared, *, priced: bool) -> tuple[str, ...]:
    before, now = each.before, each.now
    row = [NOT_SAID if each.name is None else each.name]
    row += [f"{now.calls:,}", _difference(before.calls, now.calls)]
    row += [tokens(now), UNKNOWN if before.unknown or now.unknown else _difference(before.tokens, now.tokens)]
    if priced:
        sign = "-" if now.pico < before.pico else "+"
        change = f"{sign}{dollars(abs(now.pico - before.pico))}{_part(before.pico, now.pico)}"
        row += [money(now, now.pico), change if before.priced_whole and now.priced_whole else UNKNOWN]
    return tuple(row)


def _difference(before: int, now: int) -> str:
    return f"{now - before:+,}{_part(before, now)}"


def _part(before: int, now: int) -> str:
    return f" ({now / before - 1:+.1%})" if before else ""


def changed_findings(analysis: Analysis, comparison: Comparison) -> Table:
    """Which findings are new, gone, more or less."""
    priced = analysis.costs is not None
    columns = [Column("finding"), Column("", True), Column("cases before", True, 1), Column("now", True, 1)]
    what = "saved" if priced else "tokens saved"
    columns += [Column(f"{what} before", True), Column("now", True)]
    rows = []
    for each in comparison.findings:
        sides: Sequence[Finding | None] = (each.before, each.now)
        cases = ["" if side is None else f"{side.cases:,}" for side in sides]
        saved = ["" if side is None else _saved(side, priced=priced) for side in sides]
        rows.append((each.code, each.state, *cases, *saved))
    return Table(tuple(columns), rows)


def _saved(finding: Finding, *, priced: bool) -> str:
    amounts = finding.amounts
    if not priced:
        return f"{amounts.saved_tokens:,}"
    return money(amounts, amounts.saved_pico) if amounts.tokens else ""
