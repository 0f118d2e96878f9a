"""What a person who pays wants to know first: how much, what for, where, and what could be saved."""

from __future__ import annotations

from collections.abc import Collection

from awfproxy.report.figures import NOT_SAID, dollars, money, share
from awfproxy.report.html.gathering import LABELS, Gathered
from awfproxy.report.html.markup import Child, Markup, el, joined, name
from awfproxy.report.html.over_time import CLASS_NAMES, DRAWN, OTHER_NAME
from awfproxy.report.html.palette import MODELS
from awfproxy.report.html.plots import bar, legend
from awfproxy.report.html.short_figures import kept, short_count, short_sum
from awfproxy.report.html.timeline import Cell
from awfproxy.report.reading import many

#: pieces of a bar with names; the rest is one piece
NAMED_MAX = 5

Part = tuple[str, Child, int]


def section(gathered: Gathered, saving: Child, there: Collection[str]) -> Markup:
    """The head of the page.

    :param saving: dt and dd of what could be saved; None: nobody looked
    :param there: the other sections' ids
    """
    whole, models = gathered.timeline.overall(), gathered.timeline.models()
    overall = gathered.usage.overall
    priced = gathered.priced and overall.cost.value is not None
    bill = money(overall.cost) if priced else short_sum(overall.total)
    return el(
        "section",
        el(
            "div",
            el(
                "div",
                el("div", "Cost" if priced else "Tokens", class_="label"),
                el("div", bill, class_="bill"),
                _below(gathered, priced),
                el("dl", *_tiles(gathered, whole, priced, saving, there), class_="tiles"),
            ),
            el("div", *_went(gathered, whole, models, priced)),
            class_="hero",
        ),
        id="overview",
        aria_label="Overview",
    )


def _below(gathered: Gathered, priced: bool) -> list[Child]:
    overall = gathered.usage.overall
    found: list[Child] = [el("p", many(overall.calls, "call"), f", {short_sum(overall.total)} tokens", class_="soft")]
    if priced and overall.unpriced:
        found.append(el("p", "Without ", el("a", many(overall.unpriced, "call"), href="#certainty"),
                        " of models that have no price.", class_="note"))  # fmt: skip
    if gathered.priced and not priced:
        found.append(el("p", "None of the models has a price.", class_="note"))
    if overall.calls and overall.inexact:
        text = f"{share(overall.inexact / overall.calls)} of the calls"
        found.append(el("p", el("a", text, href="#certainty"), " have figures that are not the provider's final ones.",
                        class_="soft small"))  # fmt: skip
    return found


def _went(gathered: Gathered, whole: Cell, models: dict[str | None, Cell], priced: bool) -> list[Markup]:
    found = []
    classes: list[Part] = [
        (each, CLASS_NAMES[each], getattr(whole, f"{each}_cost" if priced else each)) for each in DRAWN
    ]
    if priced:
        classes.append(("other", OTHER_NAME, whole.other_cost))
    found.append(_split("What it was for", classes, priced))
    by_model: list[Part] = [
        (f"m{place}", _said(model), cell.cost if priced else cell.tokens)
        for place, (model, cell) in enumerate(list(models.items())[: len(MODELS)])
    ]
    rest = sum(cell.cost if priced else cell.tokens for cell in list(models.values())[len(MODELS) :])
    found.append(_split("Models", [*by_model, ("other", f"{len(models) - len(MODELS):,} more", rest)], priced))
    for label in LABELS:
        totals = gathered.by(label)
        if len(totals) > 1:
            parts: list[Part] = [
                (f"m{place}", _said(each), total.cost.known if priced else total.total.known)
                for place, (each, total) in enumerate(totals[:NAMED_MAX])
            ]
            more = sum(total.cost.known if priced else total.total.known for _, total in totals[NAMED_MAX:])
            parts.append(("other", f"{len(totals) - NAMED_MAX:,} more", more))
            found.append(_split(f"{label.capitalize()}s", parts, priced))
            break
    return found


def _split(title: str, parts: list[Part], priced: bool) -> Markup:
    """A bar of a whole, and the names of its pieces with their shares."""
    whole = sum(value for _, _, value in parts)
    if not whole:
        return joined()
    told = [(colour, joined(named, f" {share(value / whole)}")) for colour, named, value in parts if value]
    return el(
        "div",
        el("div", f"{title}", class_="label"),
        bar([(value / whole, colour) for colour, _, value in parts], high=14),
        legend(told),
        class_="went",
    )


def _tiles(gathered: Gathered, whole: Cell, priced: bool, saving: Child, there: Collection[str]) -> list[Child]:
    overall, requests = gathered.usage.overall, gathered.summary.whole
    told: list[tuple[str, str, str, str]] = []
    hits = overall.cache_hit_rate
    more = "of all tokens read"
    if priced and whole.kept:
        more += f"; saved {dollars(whole.kept)}" if whole.kept > 0 else f"; cost {kept(whole.kept)}"
    told.append(("From the cache", share(hits), more, "cache"))
    output = overall.sums["output_tokens"]
    if priced:
        told.append(("Tokens", short_sum(overall.total), f"{short_sum(output)} generated", "time"))
    else:
        told.append(("Generated", short_sum(output), "tokens", "time"))
    if requests.requests:
        bad = requests.requests - requests.complete
        more = f"{bad:,} of {many(requests.requests, 'request')} did not"
        told.append(("Came to their end", share(requests.complete / requests.requests), more, "requests"))
    elif overall.calls:
        each = short_count(overall.total.known / overall.calls)
        price = dollars(overall.cost.known // overall.calls) if priced else each
        told.append(("A call", price, "on average", "where"))
    tiles: list[Child] = [] if saving is None else [el("div", saving)]
    for title, figure, more, to in told:
        tiles.append(el("div", tile(title, figure, more, to if to in there else None)))
    return tiles


def tile(title: str, figure: str, more: str, to: str | None) -> Markup:
    """What is in a tile.

    :param to: the section that says more; None: there is none
    """
    named: Child = title if to is None else el("a", title, href=f"#{to}")
    return joined(el("dt", named), el("dd", figure), el("dd", more, class_="more"))


def _said(text: str | None) -> Child:
    return NOT_SAID if text is None else name(text)
