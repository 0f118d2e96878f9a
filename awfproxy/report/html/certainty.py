"""The sections of how far the figures can be relied on, and of what they are from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awfproxy import __version__
from awfproxy.report.figures import NOT_SAID, share, some_of
from awfproxy.report.html.gathering import LABELS, Gathered
from awfproxy.report.html.markup import Child, Markup, el, joined, name, shown
from awfproxy.report.html.over_time import OTHER_NAME, OTHER_WORDS
from awfproxy.report.html.plots import bar, legend
from awfproxy.report.html.tables import ROWS_MAX, Head, table
from awfproxy.report.html.tables import Cell as C
from awfproxy.report.reading import many
from awfproxy.report.sums import ELSEWHERE, SOURCES

#: files that are named
FILES_MAX: Final = 20
#: what figures of each source are, and their colour
_SAID: Final = {
    "reported": ("well", "reported by the provider"),
    "partial": ("stopped", "reported, and not the final ones"),
    "estimated": ("badly", "estimated"),
    ELSEWHERE: ("other", "of another source"),
}


def section(gathered: Gathered) -> Markup:
    """How far the figures can be relied on."""
    overall, usage = gathered.usage.overall, gathered.usage
    parts = [(*_SAID[source], overall.sources[source]) for source in (*SOURCES, ELSEWHERE) if overall.sources[source]]
    calls = overall.calls or 1
    told: list[tuple[str, Child]] = [
        (colour, f"{words} {count:,} ({share(count / calls)})") for colour, words, count in parts
    ]
    notes: list[Child] = []
    if overall.total.unknown:
        notes.append(
            f"Of {many(overall.total.unknown, 'call')} not all counts are known; ≥ marks sums that lack something."
        )
    if gathered.usage.grouped.overflowed:
        notes.append(f"There are too many groups: {many(usage.grouped.overflowed, 'call')} went to (others).")
    if gathered.timeline.overall().other_cost:
        notes.append(f"What is {OTHER_NAME} ({OTHER_WORDS}, fees for a call) is not split by what it was for.")
    if usage.costs is not None and usage.costs.assumed:
        words = [f"{shown(word)} ({many(count, 'call')})" for word, count in sorted(usage.costs.assumed.items())]
        notes.append(f"Priced by a rule: {some_of(words, 5)}.")
    notes += [shown_sentence(sentence) for sentence in usage.remarks.sentences()]
    bars = bar(
        [(count / calls, colour) for colour, _, count in parts], "Calls by where their figures are from.", high=14
    )
    return el(
        "section",
        el("h2", "How sure the figures are"),
        el("div", bars, legend(told), class_="went") if overall.calls else None,
        _unpriced(gathered),
        *(el("p", note, class_="meta") for note in notes),
        id="certainty",
    )


def _unpriced(gathered: Gathered) -> Markup | None:
    if not gathered.priced:
        return el("p", "Nothing is said of money, as was asked for.", class_="meta")
    unpriced = gathered.usage.grouped.unpriced()
    if not unpriced:
        return None
    rows = [
        [C(_said(model)), C(_said(provider)), C(f"{calls:,}", calls), C(f"{tokens:,}", tokens)]
        for provider, model, calls, tokens in unpriced[:ROWS_MAX]
    ]
    rest = unpriced[ROWS_MAX:]
    calls, tokens = sum(each[2] for each in rest), sum(each[3] for each in rest)
    foot = [[C(f"{len(rest):,} more"), C(""), C(f"{calls:,}", calls), C(f"{tokens:,}", tokens)]] if rest else []
    heads = [Head("model", number=False), Head("provider", number=False, wide=True), Head("calls"), Head("tokens")]
    return table(heads, rows, caption="Models without a price: their calls are not in any cost", foot=foot)


def sources(gathered: Gathered, paths: Sequence[str], made: str) -> Markup:
    """What the page was made of.

    :param paths: as they were given
    :param made: when, in words
    """
    timeline = gathered.timeline
    facts: list[tuple[str, Child]] = []
    if timeline.first is not None and timeline.last is not None:
        facts.append(("Calls", f"{_minute(timeline.first)} to {_minute(timeline.last)}, UTC"))
    for label in LABELS:
        totals = gathered.by(label)
        if len(totals) == 1 and totals[0][0] is not None:
            facts.append((label.capitalize(), name(totals[0][0])))
    files: list[Child] = [el("li", shown_sentence(path)) for path in paths[:FILES_MAX]]
    if len(paths) > FILES_MAX:
        files.append(el("li", f"and {len(paths) - FILES_MAX:,} more"))
    facts.append(("Read", el("ul", *files)))
    asked = gathered.usage.filters.facts()
    if asked:
        told: list[Child] = []
        for word, value in asked.items():
            values = [value] if isinstance(value, str) else list(value)
            told += [
                "; " if told else "",
                f"{word} ",
                joined([(", " if place else "", name(each)) for place, each in enumerate(values[:5])]),
            ]
        facts.append(("Only", told))
    if gathered.usage.costs is not None:
        facts.append(("Prices", shown_sentence(gathered.usage.costs.description)))
    facts.append(("Made", f"{made} by awfproxy {__version__}"))
    rows = [joined(el("dt", title), el("dd", value)) for title, value in facts]
    return el("section", el("h2", "Where this is from"), el("dl", *rows, class_="facts"), id="sources")


def shown_sentence(text: str) -> str:
    """A path or a sentence with one in it, cut where it is without end."""
    return text if len(text) <= 300 else f"{text[:300]}…"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _said(text: str | None) -> Child:
    return NOT_SAID if text is None else name(text)
