"""The page, put together.

Rules: it asks nothing of any network and can run nothing but our own script: its policy (Content Security Policy,
level 3) allows one style sheet and one script, each by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from awfproxy.report.html import cache, certainty, over_time, overview, requests, turns, where
from awfproxy.report.html.gathering import Gathered
from awfproxy.report.html.markup import Markup, el, joined, shown
from awfproxy.report.html.script import SCRIPT
from awfproxy.report.html.style import style

if TYPE_CHECKING:
    from awfproxy.report.analysis.analysis import Analysis

#: what a page is called if nobody says
TITLE: Final = "What the models cost"


def page(
    gathered: Gathered, analysis: Analysis | None, paths: Sequence[str], made: str, title: str | None = None
) -> str:
    """The whole document.

    :param analysis: what was found; None: nobody looked
    :param paths: what was read, as it was named
    :param made: when, in words
    """
    drawn = over_time.Drawn(gathered)
    saving = todo = None
    if analysis is not None:
        from awfproxy.report.html import findings

        saving, todo = findings.saving(analysis), findings.section(analysis)
    sections = {
        "findings": todo,
        "time": over_time.section(gathered, drawn),
        "where": where.section(gathered),
        "turns": turns.section(gathered),
        "cache": cache.section(gathered, drawn),
        "requests": requests.section(gathered),
        "certainty": certainty.section(gathered),
        "sources": certainty.sources(gathered, paths, made),
    }
    there = [name for name, section in sections.items() if section is not None]
    main = el("main", overview.section(gathered, saving, there), sections.values())
    heading = shown(title or TITLE)
    sheet, script = Markup(style()), Markup(SCRIPT)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy(sheet, script)),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", heading),
        el("style", sheet),
    )
    top = el("header", el("h1", heading), el("p", _period(gathered), class_="soft"), class_="top")
    body = el("body", top, main, el("script", script))
    return joined(Markup("<!doctype html>\n"), el("html", head, body, lang="en")) + "\n"


def _policy(sheet: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(sheet)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _period(gathered: Gathered) -> str:
    first, last = gathered.timeline.first, gathered.timeline.last
    if first is None or last is None:
        return "No times are known."
    if first[:10] == last[:10]:
        return f"{first[:10]}, {first[11:16]} to {last[11:16]} UTC"
    return f"{first[:10]} to {last[:10]}, UTC"
