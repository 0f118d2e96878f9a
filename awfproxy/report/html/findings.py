"""The section of what to do: findings in the order of what they would save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from awfproxy.report.analysis.codes import TOTAL_WORDS, filled
from awfproxy.report.analysis.tables import described, money, tokens
from awfproxy.report.figures import NOT_SAID, dollars, share
from awfproxy.report.html.markup import Child, Markup, el, joined, name, shown
from awfproxy.report.html.overview import tile
from awfproxy.report.html.short_figures import short_count
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.html.tables import Head, behind, table
from awfproxy.report.reading import many

if TYPE_CHECKING:
    from awfproxy.report.analysis.analysis import Analysis, Finding
    from awfproxy.report.analysis.board import Evidence

#: findings that are open at once; the others are behind a click
OPEN_MAX: Final = 5
#: cases of a finding that are shown
CASES_MAX: Final = 8
#: characters of a case's figures, in which names of tools and models may be
CASE_MAX: Final = 200
#: runs and models of a finding that are named
NAMED_MAX: Final = 3


def saving(analysis: Analysis) -> Markup:
    """The tile of what could be saved."""
    total, whole = analysis.total, analysis.whole
    if not analysis.findings:
        return tile("Could be saved", "nothing found", "none of the patterns is there", "findings")
    if total.saved_pico:
        part = share(total.saved_pico / whole.pico) if whole.pico else ""
        return tile(
            "Could be saved",
            dollars(total.saved_pico),
            f"{part}, {many(len(analysis.findings), 'finding')}",
            "findings",
        )
    if total.saved_tokens:
        part = share(total.saved_tokens / whole.tokens) if whole.tokens else ""
        return tile("Could be saved", f"{short_count(total.saved_tokens)} tokens", part, "findings")
    return tile("Findings", f"{len(analysis.findings)}", "none of them saves money", "findings")


def section(analysis: Analysis) -> Markup:
    """The section."""
    first, rest = analysis.findings[:OPEN_MAX], analysis.findings[OPEN_MAX:]
    if not first:
        body: list[Child] = [el("p", "None of the patterns that are looked for is in these records.", class_="empty")]
    else:
        body = [el("p", _lead(analysis), class_="lead"), _list(analysis, first)]
    if rest:
        more = el("summary", f"{many(len(rest), 'more finding')}")
        body.append(el("details", more, _list(analysis, rest), class_="findings"))
    if analysis.total.saved_tokens or analysis.total.saved_pico:
        body.append(behind("How this is added up", el("p", TOTAL_WORDS, class_="small fix")))
    body += [el("p", note, class_="meta") for note in analysis.notes]
    return el("section", el("h2", "What to do"), *body, id="findings")


def _lead(analysis: Analysis) -> str:
    total, whole = analysis.total, analysis.whole
    if total.saved_pico and whole.pico:
        saved = f"{dollars(total.saved_pico)} of {money(whole, whole.pico)}"
    elif total.saved_tokens and whole.tokens:
        saved = f"{total.saved_tokens:,} of {tokens(whole)} tokens"
    else:
        return "None of these saves money or tokens by itself."
    return f"Together {saved} could be saved; nothing is counted twice."


def _list(analysis: Analysis, findings: list[Finding]) -> Markup:
    return el("ol", *(el("li", _saved(analysis, each), _about(analysis, each)) for each in findings), class_="todo")


def _saved(analysis: Analysis, finding: Finding) -> Markup:
    amounts, whole = finding.amounts, analysis.whole
    if amounts.saved_pico:
        part = f"{share(amounts.saved_pico / whole.pico)} of the cost" if whole.pico else "to save"
        return el("div", dollars(amounts.saved_pico), el("small", part), class_="saved")
    if amounts.saved_tokens:
        return el("div", short_count(amounts.saved_tokens), el("small", "tokens to save"), class_="saved")
    return el("div", f"{amounts.calls or finding.cases:,}", el("small", "calls"), class_="saved none")


def _about(analysis: Analysis, finding: Finding) -> Markup:
    kind = finding.kind
    meta: list[Child] = [
        el("code", finding.code),
        f" · {finding.severity} · {finding.sure}% sure · {many(finding.cases, 'case')}",
    ]
    for member, noun in ((0, "run"), (1, "model")):
        meta += _mostly(finding, member, noun)
    return el(
        "div",
        el("h3", kind.title),
        el("p", _with_code(kind.fix), class_="fix"),
        el("p", *meta, class_="meta"),
        behind("Why, and where", joined(
            el("p", el("b", "Rule. "), _with_code(filled(kind.rule, analysis.limits)), class_="small fix"),
            el("p", el("b", "Figures. "), _with_code(filled(kind.figures, analysis.limits)), class_="small fix"),
            el("p", el("b", "How sure. "), _with_code(filled(kind.sure, analysis.limits)), class_="small fix"),
            _cases(finding),
        )),
    )  # fmt: skip


def _mostly(finding: Finding, member: int, noun: str) -> list[Child]:
    places = [(each, amounts) for each, amounts in finding.places.by(member) if each is not None]
    if not places:
        return []
    told: list[Child] = [f" · {noun}{'' if len(places) == 1 else 's'} "]
    for number, (each, _) in enumerate(places[:NAMED_MAX]):
        told += [", " if number else "", name(each)]
    if len(places) > NAMED_MAX:
        told.append(f" and {len(places) - NAMED_MAX:,} more")
    return told


def _cases(finding: Finding) -> Markup | None:
    if not finding.evidence:
        return None
    heads = [
        Head("when", number=False),
        Head("saved"),
        Head("what", number=False),
        Head("model", number=False, wide=True),
    ]
    heads += [Head("run", number=False, wide=True), Head("request", number=False, wide=True)]
    rows = [_case(each) for each in finding.evidence[:CASES_MAX]]
    left = finding.cases - len(rows)
    caption = "The cases" if left <= 0 else f"The {len(rows)} cases worth most; {left:,} more are not shown"
    return table(heads, rows, caption=caption, sorts=False)


def _case(case: Evidence) -> list[C]:
    run, model, _ = case.place
    if case.saved_pico:
        saved = dollars(case.saved_pico)
    else:
        saved = f"{short_count(case.saved_tokens)} tokens" if case.saved_tokens else "-"
    return [
        C((case.when or "?")[:16].replace("T", " ")),
        C(saved),
        C(described(case)[:CASE_MAX]),
        C(NOT_SAID if model is None else name(model)),
        C(NOT_SAID if run is None else name(run)),
        C(el("code", shown(case.request_ids[0])) if case.request_ids else NOT_SAID),
    ]


def _with_code(text: str) -> list[Child]:
    """Words of ours, with what stands in backticks as code."""
    return [el("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]
