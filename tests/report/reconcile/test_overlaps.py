"""Files that tell the same in different ways are never added up; files of different things are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from awfproxy.report.reconcile.exports import Exports, read_exports
from awfproxy.report.reconcile.used import Used
from tests.report.reconcile.conftest import Reconcile
from tests.report.reconcile.exported import (
    DAY,
    START,
    Call,
    anthropic_page,
    console,
    dashboard,
    openai_costs,
    openai_page,
    record,
)

Traffic = Callable[..., list[Call]]
MEMBERS = ("model", "api_key_id", "service_tier")


def read(folder: Path, *files: Any, wants: Callable[[Used], bool] | None = None) -> Exports:
    """Files 0, 1 and so on: texts, or values for JSON."""
    paths = [folder / str(number) for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_text(file if isinstance(file, str) else json.dumps(file))
    return read_exports([str(path) for path in paths], wants=wants)


def grouped(calls: list[Call], by: tuple[str, ...]) -> dict[str, Any]:
    """The page as it is answered if asked to group by these members."""
    page = anthropic_page(calls)
    for bucket in page["data"]:
        sums: dict[tuple[Any, ...], dict[str, Any]] = {}
        for result in bucket["results"]:
            result |= {name: None for name in MEMBERS if name not in by}
            same = sums.setdefault(tuple(result[name] for name in MEMBERS), result)
            if same is not result:
                for name in ("uncached_input_tokens", "cache_read_input_tokens", "output_tokens"):
                    same[name] += result[name]
                for name in same["cache_creation"]:
                    same["cache_creation"][name] += result["cache_creation"][name]
        bucket["results"] = list(sums.values())
    return page


def tokens(found: Exports) -> int:
    return sum(count or 0 for row in found.rows for count in row.counts)


def mixed(traffic: Traffic, provider: str = "anthropic") -> list[Call]:
    """Calls of two keys, some of them of batches."""
    calls = traffic(provider)
    return [
        msgspec.structs.replace(call, key=("ours", "theirs")[place % 2], batch=place % 3 == 0)
        for place, call in enumerate(calls)
    ]


def test_groupings_of_the_same_are_not_added_up(tmp_path: Path, traffic: Traffic) -> None:
    """Whichever two of them: the first one counts, the other one is a fault that names both and says what to do."""
    calls = mixed(traffic)
    whole = sum(sum(call.counts) for call in calls)
    every = [by for size in range(len(MEMBERS) + 1) for by in itertools.combinations(MEMBERS, size)]
    for first, second in itertools.permutations(every, 2):
        found = read(tmp_path, grouped(calls, first), grouped(calls, second))
        names = [", ".join(sorted(by)) or "nothing" for by in (second, first)]
        assert found.faults.lines() == [
            f"{tmp_path}/1: tells the same tokens of anthropic as {tmp_path}/0, this one by {names[0]}, the other by "
            f"{names[1]}; left out: give one of them."
        ]
        assert tokens(found) == whole and len(found.spans) == 1


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_both_forms_of_the_same_are_not_added_up(provider: str, tmp_path: Path, traffic: Traffic) -> None:
    """What the dashboard saves and what the interface answers, in either order."""
    calls = mixed(traffic, provider)
    files = [console(calls), anthropic_page(calls)] if provider == "anthropic" else [dashboard(calls), openai_page(calls)]
    for pair in (files, files[::-1]):
        found = read(tmp_path, *pair)
        (fault,) = found.faults.lines()
        assert fault.endswith(f"/1: tells the same tokens of {provider} as {tmp_path}/0, one as CSV and one as JSON; "
                              "left out: give one of them.")  # fmt: skip
        assert tokens(found) == sum(sum(call.counts) for call in calls)


def test_days_and_hours_of_the_same_are_not_added_up(tmp_path: Path, traffic: Traffic) -> None:
    """Alike but for the length of their buckets."""
    calls = [call for call in traffic() if call.at < START + DAY]
    hours = anthropic_page(calls, 1)
    hours["data"][0] |= {"starting_at": "2026-03-01T05:00:00Z", "ending_at": "2026-03-01T06:00:00Z"}
    found = read(tmp_path, anthropic_page(calls, 1), hours)
    (fault,) = found.faults.lines()
    assert "in buckets of different lengths" in fault and tokens(found) == sum(sum(call.counts) for call in calls)


def test_costs_are_not_added_up_either(tmp_path: Path) -> None:
    """By line item, and all together."""
    found = read(tmp_path, openai_costs([("gpt-5, input", "1"), ("gpt-5, output", "2")]), openai_costs([(None, 3)]))
    (fault,) = found.faults.lines()
    assert "the same costs of openai" in fault and "this one by nothing, the other by line_item" in fault
    assert sum(row.cost or 0 for row in found.rows) == 3 * 10**12


def test_what_is_left_out_is_of_one_provider(tmp_path: Path, traffic: Traffic) -> None:
    """A file of several pages keeps those that nothing overlaps, tokens beside costs among them."""
    ours, others = mixed(traffic), mixed(traffic, "openai")
    costs = openai_costs([("gpt-5.2, input", "1")])
    found = read(tmp_path, grouped(ours, ("model",)), [grouped(ours, ("api_key_id",)), openai_page(others)], costs)
    assert len(found.faults.lines()) == 1
    assert tokens(found) == sum(sum(call.counts) for call in ours + others)
    assert sorted((span.provider, span.costs) for span in found.spans) == [
        ("anthropic", False), ("openai", False), ("openai", True),
    ]  # fmt: skip


def test_files_of_different_things_are_added_up(tmp_path: Path, traffic: Traffic) -> None:
    """Other days, other models or other keys that both tell, and the same grouping of other keys; rows that are wanted
    only by their key are in one of two groupings only."""
    calls = mixed(traffic)
    early = [call for call in calls if call.at < START + 2 * DAY]
    late = [call for call in calls if call.at >= START + 2 * DAY]
    haiku = [call for call in calls if "haiku" in call.model]
    sonnet = [call for call in calls if "haiku" not in call.model]
    ours = [call for call in calls if call.key == "ours"]
    theirs = [call for call in calls if call.key != "ours"]
    by_key, by_model = ("api_key_id",), ("model",)
    for first, second in (
        (grouped(early, by_key), grouped(late, by_model)),
        (console(early), anthropic_page(late)),
        (console(haiku), anthropic_page(sonnet)),
        (grouped(haiku, by_model), grouped(sonnet, MEMBERS)),
        (grouped(ours, by_key), grouped(theirs, MEMBERS)),
        (grouped(ours, MEMBERS), grouped(theirs, MEMBERS)),
        (console(ours), console(theirs)),
    ):
        found = read(tmp_path, first, second)
        assert found.faults.lines() == [] and tokens(found) == sum(sum(call.counts) for call in calls)
    found = read(tmp_path, grouped(calls, by_key), grouped(calls, by_model), wants=lambda used: used.key == "ours")
    assert found.faults.lines() == [] and tokens(found) == sum(sum(call.counts) for call in ours)


def test_a_kind_of_results_is_no_grouping(tmp_path: Path, traffic: Traffic) -> None:
    """Embeddings and completions have pages of their own, and stand beside each other."""
    calls = mixed(traffic, "openai")
    text = json.dumps(openai_page(calls)).replace("usage.completions", "usage.embeddings")
    embeddings = json.loads(text.replace('"batch": false', '"batch": null').replace('"batch": true', '"batch": null'))
    found = read(tmp_path, openai_page(calls), embeddings)
    assert found.faults.lines() == [] and {row.provider for row in found.rows} == {"openai"}
    assert tokens(found) > sum(sum(call.counts) for call in calls)


def test_the_sides_still_agree_where_one_is_left_out(reconcile: Reconcile, traffic: Traffic) -> None:
    """No key is blamed for figures that stood there twice; the fault alone makes it fail."""
    calls = traffic()
    own = [record(number, call) for number, call in enumerate(calls)]
    report = reconcile(own, grouped(calls, ("model",)), grouped(calls, ("api_key_id",)))
    assert report.tokens is not None and report.faults.count == 1 and not report.agrees
    assert not any(line.causes for line in report.tokens.lines.values())
