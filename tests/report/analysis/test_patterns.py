"""The laws: nothing is found where nothing is wrong, and what is wrong is found, and nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.report.analysis.analysis import Analysis, analyse
from awfproxy.report.analysis.codes import KINDS
from awfproxy.report.analysis.forms import FORMS, View, render
from awfproxy.report.costs import Costs
from awfproxy.report.token_usage import token_usage
from tests.report.analysis.traffic import (
    PATTERNS,
    PRICES,
    START,
    Record,
    analysed,
    breaking,
    clean,
    in_time,
    lines,
    write,
)

SEEDS = st.integers(0, 10**9)
CODES = st.sampled_from(sorted(PATTERNS))


def codes(analysis: Analysis) -> list[str]:
    return sorted(finding.code for finding in analysis.findings)


def world(code: str, seed: int) -> list[Record]:
    """Records in which one thing is wrong, beside others in which nothing is."""
    dice = random.Random(seed)
    return in_time([*PATTERNS[code](dice), *clean(dice)])


def test_there_is_a_pattern_for_every_code() -> None:
    """Or the laws would not hold it."""
    assert set(PATTERNS) == set(KINDS)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_nothing_is_found_where_nothing_is_wrong(seed: int) -> None:
    """Agents that cache well, call each tool once and come to their end."""
    assert codes(analysed(clean(random.Random(seed), 8))) == []


@pytest.mark.parametrize("code", sorted(PATTERNS))
def test_what_is_wrong_is_found(code: str) -> None:
    """And nothing else."""
    for seed in range(8):
        assert codes(analysed(world(code, seed))) == [code], seed


@settings(deadline=None, max_examples=60)
@given(SEEDS, CODES)
def test_what_is_wrong_is_found_and_nothing_else(seed: int, code: str) -> None:
    """Each pattern gives its own finding, in the midst of others' calls."""
    assert codes(analysed(world(code, seed))) == [code]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.lists(CODES, min_size=1, max_size=6, unique=True))
def test_nothing_is_counted_twice(seed: int, several: list[str]) -> None:
    """However much is wrong at once: a finding is never more than what was used, nor is the total, and the total lies
    between the largest finding and the sum of all."""
    dice = random.Random(seed)
    analysis = analysed(in_time([record for code in several for record in PATTERNS[code](dice)]))
    whole, total = analysis.whole, analysis.total
    for name in ("tokens", "pico"):
        used, saved = getattr(whole, name), f"saved_{name}"
        claims = [getattr(finding.amounts, saved) for finding in analysis.findings]
        for finding in analysis.findings:
            assert 0 <= getattr(finding.amounts, saved) <= getattr(finding.amounts, name) <= used
            assert finding.places.sum() == finding.amounts
        assert max(claims, default=0) <= getattr(total, saved) <= min(used, sum(claims))
        assert getattr(total, saved) <= getattr(total, name) <= used


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, code=CODES)
def test_the_figures_are_those_of_the_other_reports(tmp_path_factory: pytest.TempPathFactory, seed: int, code: str) -> None:
    """Calls, tokens and cost, to the last token and pico-dollar."""
    path = write(tmp_path_factory.mktemp("records") / "token-usage.jsonl", world(code, seed))
    analysis = analyse([path], costs=Costs(PRICES, START))
    other = token_usage([path], costs=Costs(PRICES, START)).overall
    assert (analysis.whole.calls, analysis.whole.tokens) == (other.calls, other.total.known)
    assert analysis.whole.pico == other.cost.known


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, several=st.lists(CODES, min_size=2, max_size=5), parts=st.integers(1, 6))
def test_the_order_of_the_files_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, several: list[str], parts: int
) -> None:
    """Records of several hosts side by side, rotated, some of them in two files, in any order."""
    dice = random.Random(seed)
    records = in_time([record for code in several for record in PATTERNS[code](dice)])
    folder = tmp_path_factory.mktemp("records")
    whole = write(folder / "whole.jsonl", records)
    files = [[record for place, record in enumerate(records) if place % parts == part] for part in range(parts)]
    middle = len(files[0]) // 2
    files = [files[0][:middle], files[0][middle:], *files[1:], dice.sample(records, min(3, len(records)))]
    files[-1] = in_time(files[-1])
    paths = [write(folder / f"token-usage.{number}.jsonl", part) for number, part in enumerate(files)]
    dice.shuffle(paths)

    def shown(sources: list[str]) -> str:
        return render(analyse(sources, costs=Costs(PRICES, START)), "markdown", View(20))

    assert shown(paths) == shown([whole])


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS, code=CODES, data=st.data())
def test_no_bytes_break_it(seed: int, code: str, data: st.DataObject) -> None:
    """Lines cut, bytes changed: every form is drawn all the same."""
    content = bytearray(b"".join(lines(world(code, seed)[:40])))
    for _ in range(data.draw(st.integers(1, 20))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    import io

    analysis = analyse(["-"], stdin=io.BytesIO(bytes(content)), costs=Costs(PRICES, START))
    for form in FORMS:
        assert render(analysis, form)


@pytest.mark.parametrize("cause", ["model", "tools", "system", "idle", "unknown"])
def test_the_cause_of_a_broken_cache_is_told(cause: str) -> None:
    """Of each of them, several times."""
    for seed in range(5):
        finding = analysed(breaking(random.Random(seed), cause)).finding("cache-prefix-break")
        assert finding is not None
        assert [case.figures["cause"] for case in finding.evidence] == [cause]
