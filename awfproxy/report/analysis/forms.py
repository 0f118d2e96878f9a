"""An analysis, drawn: for a terminal, GitHub's markdown, programs, and spreadsheets.

Rules: all have the same figures; names go through `escaping`, whatever is drawn.  Markdown is made to be posted as an
issue or a comment, and to be found again: its second line is `MARK`; it says nothing of when it was made, so the same
records give the same text; and it is never longer than GitHub takes (`MARKDOWN_MAX`).
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable
from typing import Any, Final

import msgspec

from awfproxy.report.analysis import tables
from awfproxy.report.analysis.amounts import Amounts
from awfproxy.report.analysis.analysis import Analysis, Finding
from awfproxy.report.analysis.board import EVIDENCE_MAX, Evidence
from awfproxy.report.analysis.codes import TOTAL_WORDS, filled
from awfproxy.report.analysis.comparison import NOTHING_BEFORE, Comparison
from awfproxy.report.analysis.thresholds import changed
from awfproxy.report.costs import PICO
from awfproxy.report.escaping import markdown_code, markdown_text, terminal
from awfproxy.report.figures import dollars
from awfproxy.report.reading import many
from awfproxy.report.table import as_csv, details, markdown, pretty

SCHEMA: Final = "findings/v1.0.0"
#: by which a comment is found again
MARK: Final = "<!-- awfproxy: findings -->"
#: characters: GitHub takes 65,536 of a comment, and counts some twice
MARKDOWN_MAX: Final = 60_000
#: cases of a finding that are shown where nobody says how many
EVIDENCE: Final = 5
#: columns of a terminal for sentences and cases, where nobody knows how wide it is
WIDTH: Final = 100
#: before what belongs to a finding
_INDENT: Final = "   "
#: rows by run, model and turn for programs
JSON_PLACES: Final = 1_000
#: digits after the point of JSON's dollars: nano-dollars
_DIGITS: Final = 9


class View(msgspec.Struct, frozen=True):
    """How it is drawn."""

    #: cases of each finding
    evidence: int = EVIDENCE
    #: columns of the terminal; None: as many as it takes
    width: int | None = None


def title(analysis: Analysis) -> str:
    """One line that says what came of it."""
    found = many(len(analysis.findings), "finding")
    saved, whole = analysis.total, analysis.whole
    if not analysis.findings:
        return "no findings"
    if analysis.costs is not None and whole.pico:
        return f"{found}, {dollars(saved.saved_pico)} of {tables.money(whole, whole.pico)} could be saved"
    return f"{found}, {saved.saved_tokens:,} of {tables.tokens(whole)} tokens could be saved"


def _notes(analysis: Analysis, name: Callable[[str], str]) -> list[str]:
    """Sentences on what the figures rest on.

    :param name: makes a name harmless
    """
    said = []
    if analysis.first:
        first, last = (end[:16].replace("T", " ") for end in (analysis.first, analysis.last))
        said.append(f"Calls that ended from {first} to {last}, UTC.")
    if analysis.findings:
        said.append(TOTAL_WORDS)
    if analysis.whole.unknown:
        calls = many(analysis.whole.unknown, "call")
        said.append(f"Not all tokens of {calls} are known: what is known of them is in the figures.")
    if analysis.costs is not None:
        if analysis.whole.unpriced < analysis.whole.calls:
            said.append(f"Prices: {name(analysis.costs.description)}.")
        if analysis.whole.unpriced:
            said.append(f"Without a price, and not in costs: {many(analysis.whole.unpriced, 'call')}.")
    other = changed(analysis.limits)
    if other:
        said.append(f"Thresholds that were set: {', '.join(f'{each} {value:g}' for each, value in other.items())}.")
    return said + analysis.notes


def _nothing_before(comparison: Comparison | None) -> bool:
    return comparison is not None and not comparison.whole.before.calls


def _pretty(analysis: Analysis, comparison: Comparison | None, view: View) -> str:
    width = view.width or WIDTH
    parts = [textwrap.fill(f"Token usage analysis: {title(analysis)}", width) + "\n"]
    parts.append(pretty(tables.whole(analysis), view.width))
    if analysis.findings:
        parts.append(pretty(tables.findings(analysis), view.width))
    for number, finding in enumerate(analysis.findings, 1):
        kind = finding.kind
        lines = [textwrap.fill(f"{number}. {finding.code}: {kind.title}", width, subsequent_indent="   ")]
        rule = f"{filled(kind.rule, analysis.limits)} {filled(kind.figures, analysis.limits)}"
        for text in (rule, f"Sure: {kind.sure}", f"To do: {kind.fix}"):
            lines.append(textwrap.fill(text, width, initial_indent="   ", subsequent_indent="   "))
        parts.append("\n".join(lines) + "\n")
        if view.evidence and finding.evidence:
            cases = pretty(_evidence(analysis, finding, view.evidence), max(width - len(_INDENT), 1))
            parts.append(textwrap.indent(cases, _INDENT))
    for heading, member in tables.BY:
        table = tables.by(analysis, heading, member)
        if table is not None and (analysis.findings or member != tables.BY[-1][1]):
            parts.append(pretty(table, view.width))
    if _nothing_before(comparison):
        parts.append(textwrap.fill(NOTHING_BEFORE, width) + "\n")
    elif comparison is not None:
        parts += ["Compared with before:\n" + pretty(tables.changes(analysis, comparison), view.width)]
        if comparison.findings:
            parts.append(pretty(tables.changed_findings(analysis, comparison), view.width))
    parts.append("".join(textwrap.fill(line, width) + "\n" for line in _notes(analysis, terminal)))
    return "\n".join(parts)


_evidence = tables.evidence


def _markdown(analysis: Analysis, comparison: Comparison | None, view: View) -> str:
    """The longest that GitHub takes."""
    text = ""
    for most in sorted({view.evidence, *(each for each in (10, 5, 3, 1, 0) if each < view.evidence)}, reverse=True):
        text = _markdown_with(analysis, comparison, most)
        if len(text) <= MARKDOWN_MAX:
            return text
    return text[: text.rfind("\n", 0, MARKDOWN_MAX) + 1]


def _markdown_with(analysis: Analysis, comparison: Comparison | None, most: int) -> str:
    parts = [f"## Token usage analysis: {title(analysis)}\n{MARK}\n", markdown(tables.whole(analysis))]
    if analysis.findings:
        parts.append(markdown(tables.findings(analysis)))
    for number, finding in enumerate(analysis.findings, 1):
        kind = finding.kind
        parts.append(
            f"### {number}. `{finding.code}`: {kind.title}\n\n"
            f"**To do:** {kind.fix}\n\n"
            f"{filled(kind.rule, analysis.limits)} {filled(kind.figures, analysis.limits)} Sure: {kind.sure}\n"
        )
        if most and finding.evidence:
            shown = min(most, len(finding.evidence))
            summary = f"{many(finding.cases, 'case')}" + (f", {shown} shown" if shown < finding.cases else "")
            parts.append(details(markdown_text(summary), markdown(_evidence(analysis, finding, most))))
    for heading, member in tables.BY:
        table = tables.by(analysis, heading, member)
        if table is not None:
            parts.append(details(f"By {heading}", markdown(table)))
    if _nothing_before(comparison):
        parts.append(f"### Compared with before\n\n{NOTHING_BEFORE}\n")
    elif comparison is not None:
        parts.append(f"### Compared with before\n\n{markdown(tables.changes(analysis, comparison))}")
        if comparison.findings:
            parts.append(markdown(tables.changed_findings(analysis, comparison)))
    parts.append("".join(f"- {line}\n" for line in _notes(analysis, markdown_code)))
    return "\n".join(parts)


def _usd(pico: int) -> float:
    return round(pico / PICO, _DIGITS)


def _amounts(amounts: Amounts, *, priced: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"calls": amounts.calls, "tokens": amounts.tokens, "saved_tokens": amounts.saved_tokens}
    if priced:
        facts |= {"usd": _usd(amounts.pico), "saved_usd": _usd(amounts.saved_pico), "unpriced_calls": amounts.unpriced}
    return facts


def _used(amounts: Amounts, *, priced: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"calls": amounts.calls, "all_tokens": amounts.tokens}
    if not priced:
        return facts
    missing = amounts.unpriced + amounts.least
    return facts | {"cost_usd": _usd(amounts.pico), "unpriced_calls": amounts.unpriced, "cost_unknown_calls": missing}


def _case(case: Evidence, *, priced: bool) -> dict[str, Any]:
    run, model, turn = case.place
    facts: dict[str, Any] = {
        "when": case.when,
        "run": run,
        "model": model,
        "turn": turn,
        "conversation": case.conversation,
        "request_ids": list(case.request_ids),
        "confidence": case.sure / 100,
        "tokens": case.tokens,
        "saved_tokens": case.saved_tokens,
        "figures": dict(case.figures),
    }
    return facts | ({"saved_usd": None if case.saved_pico is None else _usd(case.saved_pico)} if priced else {})


def _fact(analysis: Analysis, finding: Finding, most: int) -> dict[str, Any]:
    priced = analysis.costs is not None
    kind = finding.kind
    return {
        "code": finding.code,
        "title": kind.title,
        "severity": finding.severity,
        "confidence": finding.sure / 100,
        "share": round(finding.share, 6),
        "cases": finding.cases,
        **_amounts(finding.amounts, priced=priced),
        "rule": filled(kind.rule, analysis.limits),
        "figures": filled(kind.figures, analysis.limits),
        "confidence_by": kind.sure,
        "fix": kind.fix,
        "evidence": [_case(case, priced=priced) for case in finding.evidence[:most]],
        **{
            f"by_{heading}": [
                {heading: name, **_amounts(amounts, priced=priced)}
                for name, amounts in finding.places.by(member)[:JSON_PLACES]
            ]
            for heading, member in tables.BY
            if heading != "turn" or analysis.with_turns
        },
    }


def _json(analysis: Analysis, comparison: Comparison | None, view: View) -> str:
    priced = analysis.costs is not None
    body: dict[str, Any] = {"_schema": SCHEMA, "filters": analysis.filters.facts()}
    if analysis.first:
        body |= {"first": analysis.first, "last": analysis.last}
    body["used"] = _used(analysis.whole, priced=priced) | {"unknown_calls": analysis.whole.unknown}
    total = {"saved_tokens": analysis.total.saved_tokens}
    body["could_be_saved"] = total | ({"saved_usd": _usd(analysis.total.saved_pico)} if priced else {})
    body["findings"] = [_fact(analysis, finding, view.evidence) for finding in analysis.findings]
    for heading, member in tables.BY:
        if heading != "turn" or analysis.with_turns:
            body[f"by_{heading}"] = [
                {heading: name, **_used(amounts, priced=priced)}
                for name, amounts in analysis.places.by(member)[:JSON_PLACES]
            ]
    if comparison is not None:
        body["comparison"] = {
            "before": _used(comparison.whole.before, priced=priced),
            "increase": comparison.increase if comparison.known and comparison.increase != math.inf else None,
            "models": [
                {"model": each.name, "before": _used(each.before, priced=priced), "now": _used(each.now, priced=priced)}
                for each in comparison.models
            ],
            "findings": [
                {
                    "code": each.code,
                    "state": each.state,
                    "before": None if each.before is None else _amounts(each.before.amounts, priced=priced),
                    "now": None if each.now is None else _amounts(each.now.amounts, priced=priced),
                }
                for each in comparison.findings
            ],
        }
    if analysis.costs is not None:
        body["prices"] = analysis.costs.description
    body["thresholds"] = {name: getattr(analysis.limits, name) for name in analysis.limits.__struct_fields__}
    body |= {
        "skipped": analysis.remarks.reasons(),
        "duplicates": analysis.remarks.duplicates,
        "troubles": analysis.remarks.troubles,
        "notes": analysis.notes,
    }
    # ASCII only: what does not show in a terminal is escaped by JSON itself.
    return json.dumps(body, indent=2, ensure_ascii=True) + "\n"


def _csv(analysis: Analysis, comparison: Comparison | None, view: View) -> str:
    del view
    priced = analysis.costs is not None
    titles = ["code", "title", "severity", "confidence", "share", "cases", "calls", "tokens", "saved_tokens"]
    titles += ["usd", "saved_usd", "unpriced_calls"] if priced else []
    states = {} if comparison is None else {each.code: each.state for each in comparison.findings}
    titles += ["state"] if comparison is not None else []
    rows: list[tuple[str | int | float | None, ...]] = []
    for finding in analysis.findings:
        amounts = finding.amounts
        row: list[str | int | float | None] = [finding.code, finding.kind.title, finding.severity, finding.sure / 100]
        row += [round(finding.share, 6), finding.cases, amounts.calls, amounts.tokens, amounts.saved_tokens]
        row += [_usd(amounts.pico), _usd(amounts.saved_pico), amounts.unpriced] if priced else []
        rows.append((*row, *([states.get(finding.code)] if comparison is not None else [])))
    return as_csv(titles, rows)


FORMS: Final[dict[str, Callable[[Analysis, Comparison | None, View], str]]] = {
    "pretty": _pretty,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}


def render(analysis: Analysis, form: str, view: View | None = None, comparison: Comparison | None = None) -> str:
    """The analysis in one of `FORMS`; at most `EVIDENCE_MAX` cases of each finding are there to be shown."""
    view = view or View()
    return FORMS[form](analysis, comparison, View(min(view.evidence, EVIDENCE_MAX), view.width))
