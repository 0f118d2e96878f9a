"""The section of what turns of agents cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awfproxy.report.costs import PICO
from awfproxy.report.figures import UNKNOWN, dollars, some_of
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.markup import Child, Markup, el, joined, name, shown
from awfproxy.report.html.over_time import CLASS_NAMES, DRAWN
from awfproxy.report.html.plots import Column, Series, legend, stacked
from awfproxy.report.html.short_figures import short_count
from awfproxy.report.html.tables import ROWS_MAX, Head, behind, table
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.reading import many
from awfproxy.report.turns.turn_file import Turn

#: sessions that are drawn, the dearest; turns of each, those after it are left out
SESSIONS_MAX: Final = 2
TURNS_MAX: Final = 60
#: tools of a turn that are named
TOOLS_MAX: Final = 3


def section(gathered: Gathered) -> Markup | None:
    """The section; None: no file of turns was read."""
    file = gathered.turns
    if not file.turns:
        return None
    sessions = file.sessions()
    said = f"{many(file.turns, 'turn')}, {many(file.calls, 'call')}"
    if file.unmatched:
        said += f", of which {file.unmatched:,} could not be placed"
    priced = gathered.priced and file.cost > 0
    drawn = [_session(each, turns, priced=priced) for each, turns in sessions[:SESSIONS_MAX] if len(turns) > 1]
    largest = _table(file.dearest()[:ROWS_MAX], priced=priced)
    plots = [
        el("div", *drawn, class_="pair" if len(drawn) > 1 else "plots"),
        legend([(each, CLASS_NAMES[each]) for each in DRAWN]),
        behind("The dearest turns" if priced else "The largest turns", largest),
    ]
    return el(
        "section",
        el("h2", "Turns"),
        el("p", f"{said}. A turn is what one prompt of a person set off.", class_="lead"),
        *(plots if drawn else [largest]),
        id="turns",
    )


def _session(session: str, turns: Sequence[Turn], *, priced: bool) -> Markup:
    left = len(turns) - TURNS_MAX
    turns = turns[:TURNS_MAX]
    series = [
        Series(CLASS_NAMES[each], each, [_classes(turn)[place] for turn in turns])
        for place, each in enumerate(DRAWN)
    ]
    columns = []
    for turn in turns:
        label = "" if turn.turn is None or turn.subagent is not None else str(turn.turn)
        columns.append(Column(label, _told(turn, priced=priced)))
    figures = f"{short_count(sum(turn.all_tokens or 0 for turn in turns))} tokens"
    figures += f", {_usd(sum(turn.cost_usd or 0.0 for turn in turns))}" if priced else ""
    dearest = max(turns, key=lambda turn: turn.worth)
    words = f"Tokens of {many(len(turns), 'turn')} of the session {shown(session)}, {figures}."
    words += f" The dearest is turn {_known(dearest.turn)}."
    more = f"; {left:,} later ones are not shown" if left > 0 else ""
    return el(
        "figure",
        el("figcaption", "Session ", name(session), " ", el("span", figures, more, class_="soft")),
        stacked(columns, series, words, short_count),
    )


def _classes(turn: Turn) -> tuple[int, ...]:
    """Tokens in the order of `DRAWN`."""
    output, read, written = turn.output_tokens or 0, turn.cache_read_tokens or 0, turn.cache_write_tokens or 0
    fresh = max((turn.all_tokens or 0) - output - read - written, 0)
    by = {"output": output, "fresh": fresh, "written": written, "read": read}
    return tuple(by[each] for each in DRAWN)


def _told(turn: Turn, *, priced: bool) -> list[str]:
    subagent = "" if turn.subagent is None else f", sub-agent {shown(turn.subagent)}"
    about = [f"Turn {_known(turn.turn)}{subagent}"]
    about.append(many(turn.calls, "call") + (f", {_usd(turn.cost_usd)}" if priced else ""))
    about += [f"{CLASS_NAMES[each]}: {value:,}" for each, value in zip(DRAWN, _classes(turn), strict=True) if value]
    if turn.context_max:
        about.append(f"largest prompt: {turn.context_max:,}")
    return about


def _table(turns: Sequence[Turn], *, priced: bool) -> Markup:
    heads = [Head("turn", number=False), *([Head("cost")] if priced else []), Head("tokens"), Head("calls", wide=True)]
    heads += [Head("largest prompt", wide=True), Head("generated", wide=True), Head("tools", number=False, wide=True)]
    rows = []
    for turn in turns:
        who: list[Child] = [f"{_known(turn.turn)} of ", name(turn.name)]
        who += [] if turn.subagent is None else [", sub-agent ", name(turn.subagent)]
        row = [C(joined(who), turn.turn)]
        if priced:
            row.append(C(_usd(turn.cost_usd), turn.cost_usd))
        tools = [f"{shown(tool)} {count}" for tool, count in (turn.tools or {}).items()]
        row += [
            C(_known(count), count) for count in (turn.all_tokens, turn.calls, turn.context_max, turn.output_tokens)
        ]
        row.append(C(some_of(tools, TOOLS_MAX)))
        rows.append(row)
    return table(heads, rows)


def _known(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else dollars(round(value * PICO))
