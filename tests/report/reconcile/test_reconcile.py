"""Both sides from the same calls agree to the last token; each thing done to one side is found, and named for what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.costs import Costs
from awfproxy.report.reconcile.comparison import Cause
from awfproxy.report.reconcile.report import Line, Reconciliation
from tests.report.reconcile.conftest import Reconcile
from tests.report.reconcile.exported import (
    DAY,
    START,
    Call,
    anthropic_page,
    console,
    dashboard,
    iso,
    openai_page,
    record,
)

Traffic = Callable[..., list[Call]]
SONNET = "claude-sonnet-4-5-20250929"


def records(calls: list[Call]) -> list[dict[str, Any]]:
    return [record(number, call) for number, call in enumerate(calls)]


def causes(report: Reconciliation) -> list[Cause]:
    assert report.tokens is not None
    return [cause for line in report.tokens.lines.values() for cause in line.causes]


def codes(report: Reconciliation) -> set[str]:
    return {cause.code for cause in causes(report)}


def only(report: Reconciliation) -> Line:
    """The only row that differs."""
    assert report.tokens is not None
    (line,) = (line for line in report.tokens.lines.values() if line.causes)
    return line


EXPORTS: dict[str, tuple[str, Callable[[list[Call]], Any]]] = {
    "Anthropic's interface": ("anthropic", anthropic_page),
    "Anthropic's console": ("anthropic", console),
    "OpenAI's interface": ("openai", openai_page),
    "OpenAI's dashboard": ("openai", dashboard),
}


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("by", [("day", "model"), ("day",), ("model",), ()])
def test_the_same_calls_agree(name: str, by: tuple[str, ...], reconcile: Reconcile, traffic: Traffic) -> None:
    """To the last token, in every shape of export and every grouping."""
    provider, export = EXPORTS[name]
    calls = traffic(provider)
    report = reconcile(records(calls), export(calls), by=by)
    assert report.faults.lines() == [] and report.agrees and causes(report) == []
    assert report.tokens is not None
    total = report.tokens.totals[provider]
    assert total.calls == len(calls) and total.ours == total.theirs
    assert sum(total.ours) == sum(sum(call.counts) for call in calls)
    assert total.requests == (len(calls) if provider == "openai" else None)


def test_two_providers_at_once(reconcile: Reconcile, traffic: Traffic) -> None:
    """Each against its own export; calls of a third are named and left out."""
    calls = traffic() + traffic("openai")
    own = [*records(calls), record(9999, Call(START + 7_200, "gemini-3-pro", (1, 0, 0, 0, 1)), provider="gemini")]
    report = reconcile(own, anthropic_page(calls), dashboard([call for call in calls if call.provider == "openai"]))
    assert report.agrees and codes(report) == set()
    assert "1 call of ours not compared: of gemini, of which there is no export." in report.notes


def test_days_that_begin_elsewhere(reconcile: Reconcile, traffic: Traffic) -> None:
    """Buckets that begin at 07:00 UTC are compared as they are."""
    calls = traffic("openai", start=START + 7 * 3_600)
    report = reconcile(records(calls), openai_page(calls, offset=7 * 3_600))
    assert report.agrees and causes(report) == []
    assert report.tokens is not None
    assert {label.time for label in report.tokens.lines} <= {f"2026-03-0{number}T07:00Z" for number in range(1, 6)}


def test_calls_past_the_proxy(reconcile: Reconcile, traffic: Traffic) -> None:
    """Calls that only the export has: how many, if it tells, and their tokens."""
    calls = traffic("openai")
    report = reconcile(records(calls[1:]), openai_page(calls), tolerance=0.0001)
    (cause,) = only(report).causes
    assert (cause.code, cause.sure, cause.calls) == ("missing-here", "likely", -1)
    assert sum(cause.amounts) == -sum(calls[0].counts)
    assert not report.agrees


def test_a_model_that_never_came_through(reconcile: Reconcile, traffic: Traffic) -> None:
    """There is no doubt about it."""
    calls = traffic()
    other = Call(START + 50_000, "claude-opus-4-5", (5, 0, 0, 0, 7))
    report = reconcile(records(calls), anthropic_page([*calls, other]))
    (cause,) = only(report).causes
    assert (cause.code, cause.sure, sum(cause.amounts)) == ("missing-here", "sure", -12)


def test_another_key(reconcile: Reconcile, traffic: Traffic) -> None:
    """The difference is just what one key of the export used; with --key it is gone."""
    calls = traffic()
    other = [Call(START + 50_000 + number, SONNET, (9, 8, 7, 6, 5), key="theirs") for number in range(3)]
    export = anthropic_page(calls + other)
    (cause,) = only(reconcile(records(calls), export)).causes
    assert (cause.code, cause.sure) == ("missing-here", "sure") and "theirs" in cause.words
    report = reconcile(records(calls), export, keys=("ours",))
    assert report.agrees and codes(report) == set()


def test_batches(reconcile: Reconcile, traffic: Traffic) -> None:
    """Their usage is in no answer."""
    calls = traffic("openai")
    batch = Call(START + 50_000, "gpt-5.2-2025-12-11", (900, 50, 0, 0, 100), "openai", batch=True)
    (cause,) = only(reconcile(records(calls), openai_page([*calls, batch]))).causes
    assert (cause.code, cause.sure) == ("missing-here", "sure") and cause.words.startswith("batches")


def test_an_export_made_too_early(reconcile: Reconcile, traffic: Traffic) -> None:
    """On its last day calls are missing; a page of several is told for sure."""
    calls = traffic("openai", 80)
    late = [call for call in calls if call.at >= START + 3 * DAY]
    kept = [call for call in calls if call not in late[:3]]
    (cause,) = only(reconcile(records(calls), openai_page(kept, 4))).causes
    assert (cause.code, cause.sure, cause.calls) == ("missing-there", "likely", 3) and "last period" in cause.words
    page = openai_page(kept, 4) | {"has_more": True}
    (cause,) = only(reconcile(records(calls), page)).causes
    assert (cause.code, cause.sure) == ("missing-there", "sure") and "page of several" in cause.words


def test_the_edge_of_a_day(reconcile: Reconcile, traffic: Traffic) -> None:
    """A call that runs over midnight is a day later there; nothing is beyond any tolerance for it."""
    calls = [*traffic(), Call(START + DAY - 3, SONNET, (100, 200, 300, 400, 500), seconds=30)]
    report = reconcile(records(calls), anthropic_page(calls))
    found = causes(report)
    assert [(cause.code, cause.sure) for cause in found] == [("day-edge", "likely")] * 2
    assert sorted(cause.amounts for cause in found) == [
        [-100, -200, -300, -400, -500],
        [100, 200, 300, 400, 500],
    ]
    assert report.agrees


def test_the_edge_of_the_export(reconcile: Reconcile, traffic: Traffic) -> None:
    """A call that ended after the last day is not in the export: possible, and no more."""
    calls = [*traffic(), Call(START + 4 * DAY - 3, SONNET, (100, 200, 300, 400, 500), seconds=30)]
    (cause,) = only(reconcile(records(calls), anthropic_page(calls, 4))).causes
    assert (cause.code, cause.sure) == ("day-edge", "possible")


def test_the_same_input_in_another_class(reconcile: Reconcile, traffic: Traffic) -> None:
    """Cache reads that we have as uncached input."""
    calls = traffic()
    other = list(calls)
    first = calls[0].counts
    moved = (first[0] + first[1], 0, *first[2:])
    own = records([msgspec.structs.replace(calls[0], counts=moved), *calls[1:]])
    (cause,) = only(reconcile(own, anthropic_page(other))).causes
    assert (cause.code, cause.sure) == ("count-differs", "likely")
    assert cause.words == "the same input, counted as uncached input here and as cache reads there"


def test_reasoning_on_one_side(reconcile: Reconcile, traffic: Traffic) -> None:
    """The output differs by just the reasoning."""
    calls = traffic("openai", 1)
    own = [record(1, calls[0], reasoning_tokens=77)]
    first = calls[0]
    theirs = msgspec.structs.replace(first, counts=(*first.counts[:4], first.counts[4] + 77))
    (cause,) = only(reconcile(own, openai_page([theirs]))).causes
    assert (cause.code, cause.amounts[4]) == ("count-differs", -77) and "reasoning" in cause.words


def test_our_figures_are_estimates(reconcile: Reconcile, traffic: Traffic) -> None:
    """What differs is within the calls that say so."""
    calls = traffic("openai", 10)
    first = calls[0]
    guessed = msgspec.structs.replace(first, counts=(first.counts[0] + 30, *first.counts[1:4], first.counts[4] + 5))
    own = [record(0, guessed, usage_source="estimated"), *records(calls)[1:]]
    (cause,) = only(reconcile(own, openai_page(calls))).causes
    assert (cause.code, cause.sure, sum(cause.amounts)) == ("estimated-here", "likely", 35)


def test_our_figures_are_unknown(reconcile: Reconcile, traffic: Traffic) -> None:
    """A class that our answers did not tell is no missing call."""
    calls = traffic("anthropic", 1)
    own = [record(0, calls[0], cache_read_tokens=0, unknown=["cache_read_tokens"])]
    (cause,) = only(reconcile(own, anthropic_page(calls))).causes
    assert (cause.code, cause.sure) == ("unknown-here", "likely")
    assert cause.amounts == [0, -calls[0].counts[1], 0, 0, 0]


def test_two_names_of_one_model(reconcile: Reconcile, traffic: Traffic) -> None:
    """Those that differ by their date are of one model; of others nobody knows that, whatever their figures."""
    calls = traffic("openai")
    for name, code, sure in (("gpt-5.2", "model-alias", "sure"), ("gpt-5-mini", "model-differs", "likely")):
        report = reconcile(records(calls), openai_page([msgspec.structs.replace(call, model=name) for call in calls]))
        assert {(cause.code, cause.sure) for cause in causes(report)} == {(code, sure)}
        assert report.agrees == (code == "model-alias")


def test_a_shifted_export_proves_nothing(reconcile: Reconcile, traffic: Traffic) -> None:
    """A day on which only the other side has a model that went through on others."""
    calls = traffic("openai")
    shifted = [msgspec.structs.replace(call, at=call.at - DAY) for call in calls]
    found = [cause for cause in causes(reconcile(records(calls), openai_page(shifted))) if cause.code == "missing-here"]
    assert found and all(cause.sure != "sure" and "nothing of this model went through the proxy:" not in cause.words
                         for cause in found)


@pytest.mark.parametrize("name", EXPORTS)
def test_rows_that_stand_twice_in_one_file(name: str, reconcile: Reconcile, traffic: Traffic) -> None:
    """Count once, as in two files."""
    provider, export = EXPORTS[name]
    calls = traffic(provider)
    made = export(calls)
    if isinstance(made, str):
        head, *rows = made.splitlines()
        made = "\n".join([head, *rows, *rows]) + "\n"
    else:
        made["data"] += made["data"]
    report = reconcile(records(calls), made)
    assert report.agrees and any("met again, counted once." in note for note in report.notes)


def test_an_export_that_does_not_tell_models(reconcile: Reconcile, traffic: Traffic) -> None:
    """All models together are compared then."""
    calls = traffic()
    page = anthropic_page(calls)
    for bucket in page["data"]:
        for result in bucket["results"]:
            result["model"] = None
    report = reconcile(records(calls), page)
    assert report.agrees and report.tokens is not None and {label.model for label in report.tokens.lines} == {None}


def test_only_what_is_covered(reconcile: Reconcile, traffic: Traffic) -> None:
    """Calls of other days do not count, and --since and --until take whole days only."""
    calls = traffic()
    report = reconcile(records(calls), anthropic_page(calls, 2))
    assert report.agrees and report.spans == {("anthropic", "tokens"): ("2026-03-01T00:00Z", "2026-03-03T00:00Z")}
    half = START + DAY // 2
    report = reconcile(records(calls), anthropic_page(calls), since=half, until=half + 3 * DAY)
    assert report.agrees and report.spans == {("anthropic", "tokens"): ("2026-03-02T00:00Z", "2026-03-04T00:00Z")}


def test_by_hour_needs_hours(reconcile: Reconcile, traffic: Traffic) -> None:
    """An export of days cannot tell; that is said, and nothing is compared."""
    report = reconcile(records(traffic()), anthropic_page(traffic()), by=("hour", "model"))
    assert not report.found and "those of an hour" in report.faults.lines()[0]


def test_two_files_of_the_same(reconcile: Reconcile, traffic: Traffic) -> None:
    """What stands in both counts once; what differs between them is a fault."""
    calls = traffic()
    report = reconcile(records(calls), console(calls), console(calls))
    assert report.agrees and any("counted once" in note for note in report.notes)
    report = reconcile(records(calls), console(calls), console(calls[1:]))
    assert not report.agrees and "other figures" in report.faults.lines()[0]


def test_costs(reconcile: Reconcile) -> None:
    """Amounts in cents by our price, rounded; what is no tokens is told and not compared; a discount is a price."""
    # $3 and $15 for a million tokens
    call = Call(START + 40_000, SONNET, (100_000, 0, 0, 0, 10_000))

    def cost(cents: str) -> dict[str, Any]:
        common = {"currency": "USD", "workspace_id": None}
        tokens = {"amount": cents, "cost_type": "tokens", "model": SONNET, "token_type": "output_tokens"}
        search = {"amount": "12", "cost_type": "web_search", "model": None, "description": "Web Search Usage"}
        return {
            "data": [
                {
                    "starting_at": iso(START),
                    "ending_at": iso(START + DAY),
                    "results": [tokens | common, search | common],
                }
            ],
            "has_more": False,
        }

    def costs() -> Costs:
        return Costs(open_price_list(), START)

    report = reconcile([record(1, call)], cost("45.2"), anthropic_page([call], 1), costs=costs)
    assert report.money is not None
    (line,) = report.money.lines.values()
    assert line.ours == [450_000_000_000] and line.theirs == [452_000_000_000]
    assert [(cause.code, cause.sure) for cause in line.causes] == [("price-differs", "sure")]
    assert report.items == {"Web Search Usage": 120_000_000_000}
    report = reconcile([record(1, call)], cost("45.4"), costs=costs)
    assert report.money is not None
    report = reconcile([record(1, call)], cost("45"), anthropic_page([call], 1), costs=costs)
    assert report.agrees


def test_the_order_of_files_does_not_matter(reconcile: Reconcile, traffic: Traffic) -> None:
    """Records and exports in any order give the same rows and causes."""
    calls = traffic() + traffic("openai")
    missing = records(calls[3:])
    exports = [anthropic_page(calls), dashboard([call for call in calls if call.provider == "openai"])]

    def told(report: Reconciliation) -> Any:
        assert report.tokens is not None
        return sorted(
            (label, line.ours, line.theirs, [(cause.code, cause.amounts) for cause in line.causes])
            for label, line in report.tokens.lines.items()
        )

    assert told(reconcile(missing, *exports)) == told(reconcile(missing[::-1], *exports[::-1]))


@pytest.mark.parametrize("seed", range(4))
def test_every_difference_is_explained_in_whole(seed: int, reconcile: Reconcile, traffic: Traffic) -> None:
    """Whatever is missing on either side: the causes of a row add up to its difference."""
    calls = traffic(seed=seed) + traffic("openai", seed=seed)
    report = reconcile(records(calls[seed:]), anthropic_page(calls[:-seed or None]), openai_page(calls[: -2 * seed or None]))
    assert report.tokens is not None
    for line in report.tokens.lines.values():
        assert [sum(parts) for parts in zip([0] * 5, *(cause.amounts for cause in line.causes), strict=True)] == line.difference
