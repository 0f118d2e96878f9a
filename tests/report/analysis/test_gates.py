"""Conditions for CI: what they mean, and what is none."""

from __future__ import annotations

import random

import pytest

from awfproxy.report.analysis.comparison import Comparison
from awfproxy.report.analysis.gates import GateError, failed, gates_of
from awfproxy.report.analysis.tables import changes, whole
from tests.report.analysis.traffic import PATTERNS, Agent, analysed, growing


def fails(condition: str, seed: int = 1) -> list[str]:
    return failed(gates_of([condition]), analysed(growing(random.Random(seed))), None)


@pytest.mark.parametrize("code", sorted(PATTERNS))
def test_a_code_is_a_condition(code: str) -> None:
    """It holds where that is found, and only there."""
    dice = random.Random(1)
    assert failed(gates_of([code]), analysed(PATTERNS[code](dice)), None)
    assert not failed(gates_of([code]), analysed(Agent(dice).work(5).records), None)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("any", True),
        ("severity:high", True),
        ("severity:low", True),
        ("tokens>1", True),
        ("tokens>1_000_000_000", False),
        ("cost>0", True),
        ("cost>$0.01", True),
        ("cost > 1000000", False),
        ("paid-retries", False),
        ("paid-retries, any", True),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    """Of calls in which context grows."""
    assert bool(fails(condition)) == holds


@pytest.mark.parametrize(
    "text",
    ["context-grow", "severity:higher", "tokens>", "tokens>-1", "cost>many", "increase>10", "cost<1", "x" * 500, "any;any", "", " , "],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    """Before anything is read, and in a short sentence."""
    with pytest.raises(GateError) as caught:
        gates_of([text])
    assert len(str(caught.value)) < 600


def test_a_cost_that_is_not_known_is_under_no_limit() -> None:
    """A call without a price fails every limit of cost, with what is known of it."""
    records = growing(random.Random(1))
    (gate,) = gates_of(["cost>1000000"])
    assert gate.of_money and not failed([gate], analysed(records), None)
    nameless = {**records[0], "request_id": "nameless", "model": "made-up-by-nobody"}
    assert "1 call without a price" in failed([gate], analysed([*records, nameless]), None)[0]
    assert "$0.00, and nobody knows" in failed([gate], analysed([nameless]), None)[0]
    assert "≥$" in failed(gates_of(["cost>0"]), analysed([*records, nameless]), None)[0]


@pytest.mark.parametrize("count", ["input_tokens", "output_tokens"])
def test_what_a_call_did_not_report_is_under_no_limit(count: str) -> None:
    """Neither as tokens nor as money nor as no increase: it may have been any number."""
    records = Agent(random.Random(1)).work(6).records
    silent = {**records[0], "request_id": "silent", "unknown": [count]}
    before, now = analysed(records), analysed([*records, silent])
    for text in ("tokens>1_000_000_000", "cost>1000000", "increase>1000%"):
        gates = gates_of([text])
        assert not failed(gates, before, Comparison(before, before))
        said = failed(gates, now, Comparison(before, now))[0]
        assert "1 call that did not report all tokens" in said or "1 call of which not all was reported" in said
        # What is less than known before makes the increase look larger, never smaller.
        assert bool(failed(gates, before, Comparison(now, before))) is False


def test_an_increase_to_what_has_no_price_is_not_known() -> None:
    """Nor one from what is not known at all."""
    records = Agent(random.Random(1)).work(6).records
    nameless = {**records[0], "request_id": "nameless", "model": "made-up-by-nobody"}
    silent = {**records[0], "request_id": "silent", "model": "made-up-by-nobody", "unknown": ["input_tokens"]}
    gates, before = gates_of(["increase>1000%"]), analysed(records)
    now = analysed([*records, nameless])
    assert "1 call without a price" in failed(gates, now, Comparison(before, now))[0]
    said = failed(gates, before, Comparison(analysed([silent]), before))[0]
    assert "Nobody knows" in said and "before, 1 call without a price" in said


def test_an_increase_from_what_is_known_only_in_part_is_not_known() -> None:
    """Neither as a share nor as an amount; but what is no more than was known before is no increase."""
    records = Agent(random.Random(1)).work(6).records
    large = {**records[0], "request_id": "large", "model": "made-up-by-nobody", "input_tokens": 10**6}
    gates, now = gates_of(["increase>20%"]), analysed(records)
    comparison = Comparison(analysed([records[0], large]), now)
    (said,) = failed(gates, now, comparison)
    assert "Nobody knows" in said and "before, 1 call without a price" in said and not comparison.known
    assert (changes(now, comparison).total or ())[-1] == "?"
    assert not failed(gates, now, Comparison(analysed([*records, large]), now))


def test_an_increase_from_nothing_is_one() -> None:
    """What was free before and is paid for now, although it has fewer tokens."""
    records = Agent(random.Random(1)).work(6).records
    free = [{**record, "provider": "copilot", "model": "gpt-4.1"} for record in records]
    before, now = analysed(free), analysed(records[:-1])
    assert before.whole.pico == 0 and not before.whole.unpriced
    assert failed(gates_of(["increase>20%"]), now, Comparison(before, now)) == [
        "It was $0.00 before, and is more now, which is above 20%."
    ]
    assert not failed(gates_of(["increase>20%"]), before, Comparison(before, before))


def test_a_price_that_is_not_the_tiers_is_a_least_one() -> None:
    """Calls of a tier without rates of its own fail a limit of cost; the sums say that they are least ones."""
    usage = {"service_tier": "priority"}
    call = {**Agent(random.Random(1), speaks=("openai", "gpt-3.5-turbo")).work(1).records[0], "usage": usage}
    found = analysed([call])
    assert "≥$" in failed(gates_of(["cost>100"]), found, None)[0] and whole(found).rows[0][-2].startswith("≥")


def test_embeddings_have_no_output() -> None:
    """Where the total is all input nothing is missing."""
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    call = {
        **Agent(random.Random(1), speaks=("openai", "text-embedding-3-small")).work(1).records[0],
        **{"input_tokens": 9, "output_tokens": 0, "unknown": ["output_tokens", "cache_write_tokens"], "usage": usage},
    }
    gates = gates_of(["cost>100,tokens>1_000_000"])
    assert not failed(gates, analysed([call]), None)
    assert len(failed(gates, analysed([{**call, "usage": usage | {"total_tokens": 12}}]), None)) == 2


def test_a_slip_is_told_what_was_meant() -> None:
    """The nearest code."""
    with pytest.raises(GateError, match="did you mean `context-growth`"):
        gates_of(["context-grow"])


def test_an_increase_needs_something_before() -> None:
    """It goes by cost, by tokens where nothing has a price, and holds above the share, not at it."""
    dice = random.Random(1)
    before = Agent(dice).work(6).records
    more = [*before, *(dict(record, request_id=record["request_id"] + "x") for record in before)]
    (gate,) = gates_of(["increase>99.9%"])
    assert gate.compares
    for costs in ({}, {"costs": None}):
        comparison = Comparison(analysed(before, **costs), analysed(more, **costs))
        assert comparison.increase == pytest.approx(1.0)
        assert failed([gate], analysed(more), comparison)
        assert not failed(gates_of(["increase>100%"]), analysed(more), comparison)
    assert Comparison(analysed([]), analysed(more)).increase is None
    assert not failed([gate], analysed(more), Comparison(analysed([]), analysed(more)))
