"""The timeline: the same calls and the same money as in the other reports, however finely time is cut."""

import random
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.html import timeline
from awfproxy.report.html.timeline import CLASSES, LENGTHS, MODELS_MAX, Cell, Timeline
from awfproxy.report.rows import Row
from awfproxy.report.token_usage import token_usage
from awfproxy.report.totals import Grouped
from bench.report_records import lines
from tests.report.html.made import costs, gathered, usage, write

FIGURES = [name for name in Cell.__slots__ if name not in ("provider", "rates", "slot")]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four providers, estimates, records that come twice, and calls at special rates."""
    path = tmp_path_factory.mktemp("records") / "token-usage.jsonl"
    odd = [
        usage(1, request_id="tier", usage={"service_tier": "priority"}),
        usage(2, request_id="long", cache_read_tokens=900_000),
        usage(3, request_id="less", output_tokens=None),
        usage(4, request_id="none", unknown=["input_tokens", "output_tokens"]),
        usage(5, request_id="model", model="nobody-knows"),
        usage(6, request_id="wrong", input_tokens=5, input_tokens_include_cache=True),
        usage(7, request_id="hour", usage={"cache_creation": {"ephemeral_1h_input_tokens": 10}}),
        usage(8, request_id="when", timestamp="never"),
        usage(9, request_id="cached", cache_read_tokens=70_000, unknown=["input_tokens"]),
        usage(9, request_id="form", timestamp="2026-06-01 00:09:05.000Z"),
    ]
    write(path.parent, path.name, odd)
    with path.open("ab") as file:
        file.writelines(lines(3_000, seed=9, span=40 * 86_400))
    return path


def test_the_sums_are_those_of_the_report(records: Path) -> None:
    """To the pico-dollar, model by model."""
    found = gathered(records)
    report = token_usage([str(records)], ("model",), costs=costs())
    overall = report.overall
    assert found.usage.overall.cost == overall.cost
    models = found.timeline.models()
    assert len(models) == len(report.grouped.groups())
    for (model,), totals in report.grouped.groups():
        cell = models[model]
        assert (cell.calls, cell.unpriced, cell.cost) == (totals.calls, totals.unpriced, totals.cost.known), model
        assert cell.sum("output") == totals.sums["output_tokens"], model
        if model != "claude-sonnet-4-5":
            assert cell.tokens == totals.total.known, model
        assert cell.sum("read") == totals.sums["cache_read_tokens"], model
        assert cell.sum("written") == totals.sums["cache_write_tokens"], model
        assert cell.hit_rate == pytest.approx(totals.cache_hit_rate), model


def test_all_tokens_are_those_of_the_tables() -> None:
    """Also where the input is not known, or does not say what it counts."""
    rows = [
        Row(provider=provider, input_tokens=fresh, output_tokens=5, cache_read_tokens=90, cache_write_tokens=written,
            unknown=unknown)
        for provider in ("anthropic", "openai", "copilot")
        for fresh, written in ((10, 0), (100, 0), (100, 7), (97, 7))
        for unknown in (None, ("input_tokens",), ("cache_read_tokens",))
    ]  # fmt: skip
    for row in rows:
        line, grouped = Timeline(None), Grouped([])
        line.count(row, special=False)
        grouped.add(row)
        assert line.overall().tokens == grouped.overall().total.known, row
    line, grouped = Timeline(None), Grouped([])
    for row in rows:
        line.count(row, special=False)
        grouped.add(row)
    assert line.overall().hit_rate == pytest.approx(grouped.overall().cache_hit_rate)


def test_every_dollar_is_for_something(records: Path) -> None:
    """The split is not all special, and not less than the whole."""
    whole = gathered(records).timeline.overall()
    parts = {each: getattr(whole, f"{each}_cost") for each in CLASSES}
    assert all(parts.values())
    assert sum(parts.values()) + whole.other_cost == whole.cost
    assert 0 < whole.other_cost < whole.cost


def test_what_the_cache_saved() -> None:
    """A million tokens read at a tenth of $3, and a million written at 1.25 times it (docs.claude.com, "Pricing")."""
    line = Timeline(costs())
    row = Row(
        timestamp="2026-06-01T00:00:00.000Z", provider="anthropic", model="claude-sonnet-4-5", input_tokens=0,
        output_tokens=0, cache_read_tokens=100_000, cache_write_tokens=0, input_tokens_include_cache=False,
    )  # fmt: skip
    line.count(row, special=True)
    line.price(row, 30_000_000_000)
    assert line.overall().kept == 0
    assert line.overall().cost == 30_000_000_000


ROWS = st.builds(
    Row,
    timestamp=st.datetimes().map(lambda when: when.isoformat(timespec="milliseconds")[:23] + "Z") | st.none(),
    model=st.sampled_from(["a", "b", None]),
    provider=st.sampled_from(["anthropic", "openai"]),
    input_tokens=st.integers(0, 99),
    output_tokens=st.integers(0, 99),
    cache_read_tokens=st.integers(0, 99),
    cache_write_tokens=st.integers(0, 99),
    unknown=st.none() | st.lists(st.sampled_from(["input_tokens", "output_tokens", "cache_read_tokens"])).map(tuple),
)


@given(st.lists(ROWS, max_size=40), st.integers(1, 12))
def test_cutting_times_changes_no_sum(rows: list[Row], most: int) -> None:
    """With room for few cells times are told apart less; models and sums are the same."""
    wide, narrow = Timeline(None), Timeline(None)
    with pytest.MonkeyPatch.context() as patch:
        for row in rows:
            wide.count(row, special=False)
        patch.setattr(timeline, "CELLS_MAX", most)
        for row in rows:
            narrow.count(row, special=False)
    assert len(narrow.cells()) <= max(most, 6)  # three models, with a time and without
    for figure in FIGURES:
        assert getattr(wide.overall(), figure) == getattr(narrow.overall(), figure)
    assert wide.models().keys() == narrow.models().keys()
    assert (wide.first, wide.last) == (narrow.first, narrow.last)


@given(st.lists(ROWS, max_size=12), st.randoms())
def test_the_order_does_not_show(rows: list[Row], dice: random.Random) -> None:
    """Nor does it in what is known of each model."""
    one, other = Timeline(None), Timeline(None)
    for row in rows:
        one.count(row, special=False)
    dice.shuffle(rows)
    for row in rows:
        other.count(row, special=False)
    assert (one.first, one.last) == (other.first, other.last)
    assert {key: [getattr(cell, each) for each in FIGURES] for key, cell in one.cells().items()} == {
        key: [getattr(cell, each) for each in FIGURES] for key, cell in other.cells().items()
    }


def test_models_without_end() -> None:
    """After `MODELS_MAX` of them the others are one."""
    line = Timeline(None)
    for number in range(MODELS_MAX + 500):
        row = Row(model=f"m{number}", input_tokens=1, output_tokens=1, cache_read_tokens=0, cache_write_tokens=0)
        line.count(row, special=False)
    assert len(line.models()) == MODELS_MAX + 1
    assert line.overall().calls == MODELS_MAX + 500


def test_lengths_are_beginnings() -> None:
    """Each is a part of the one before, down to nothing."""
    assert list(LENGTHS) == sorted(LENGTHS, reverse=True)
    assert LENGTHS[-1] == 0


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_files_does_not_show(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Files that overlap, in any order: each record counts once, and costs the same."""
    whole = (b"".join(lines(60, seed=seed)) for seed in (1, 2, 1))
    paths = [tmp_path / f"{place}.jsonl" for place in range(3)]
    for path, content in zip(paths, whole, strict=True):
        path.write_bytes(content)
    found, straight = gathered(*(paths[place] for place in order)), gathered(*paths)
    assert found.timeline.overall().calls == 120
    assert found.timeline.overall().cost == straight.timeline.overall().cost
