"""Plots: what is drawn is as high and as wide as the figures say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.html.plots import (
    ABOVE,
    COLUMNS_LEAST,
    HEIGHT,
    LEAST,
    TICKS,
    Column,
    Mark,
    Series,
    bar,
    legend,
    stacked,
)
from tests.report.html.made import Parsed

VALUES = st.lists(st.tuples(*[st.floats(0, 1e15, allow_subnormal=False)] * 3), min_size=1, max_size=60)


@given(VALUES)
def test_pieces_stand_on_one_another(values: list[tuple[float, ...]]) -> None:
    """From the base up, in the order of the series, as high as their share of the highest column; nothing that is not 0
    is left out, and nothing is drawn above the plot but what is too small to be seen."""
    series = [Series(str(place), f"m{place}", [row[place] for row in values]) for place in range(3)]
    found = Parsed(stacked([Column("", ["x"]) for _ in values], series, "words", str))
    pieces = [each for each in found.named("rect") if each["class"] != "hit"]
    assert len(pieces) == sum(value > 0 for row in values for value in row)
    highest = max(map(sum, values))
    left = iter(pieces)
    for row in values:
        foot = float(ABOVE + HEIGHT)
        for place, value in enumerate(row):
            if value > 0:
                piece = next(left)
                high = float(piece["height"] or "")
                assert piece["class"] == f"m{place}"
                assert high == pytest.approx(max(value / highest * HEIGHT, LEAST), rel=1e-4, abs=0.001)
                assert float(piece["y"] or "") + high == pytest.approx(foot, abs=0.01)
                foot -= high
        assert foot >= ABOVE - 3 * LEAST - 0.01


@given(st.integers(0, 70))
def test_columns_stand_side_by_side(count: int) -> None:
    """Each in its place, none beyond the plot."""
    found = Parsed(stacked([Column("", ["x"])] * count, [Series("a", "plain", [1.0] * count)], "words", str))
    places = [(float(str(each["x"])[:-1]), float(str(each["width"])[:-1])) for each in found.named("rect")]
    hits = places[1::2]
    for number, (begin, width) in enumerate(hits):
        assert begin == pytest.approx(100 * number / max(count, COLUMNS_LEAST), abs=0.01)
        assert begin + width <= 100.1


def test_words() -> None:
    """A sentence for those who do not see it; what is told of a column, line by line; values at the lines."""
    columns = [Column("1 Jun", ["heading", "<b>: 3"]), Column("2 Jun", ["other"])]
    found = Parsed(stacked(columns, [Series("<b>", "m0", [3, 40])], "All <of> it.", lambda value: f"{value:g} x"))
    assert found.named("svg")[0]["role"] == "img"
    assert found.named("svg")[0]["aria-label"] == "All <of> it."
    assert found.within("title") == ["heading\n<b>: 3", "other"]
    assert found.within("text") == ["10 x", "20 x", "30 x", "40 x", "1 Jun", "2 Jun"]
    assert not found.unbalanced


@pytest.mark.parametrize("count", [1, 7, 8, 9, 60])
def test_labels_do_not_crowd(count: int) -> None:
    """At most `TICKS`, every other one of them only where there is room."""
    columns = [Column(f"{number} Jun", ["x"]) for number in range(count)]
    found = Parsed(stacked(columns, [Series("a", "plain", [1.0] * count)], "words", str))
    ticks = [str(each["class"]) for each in found.named("text") if "tick" in str(each["class"])]
    assert 1 <= len(ticks) <= TICKS
    assert sum("minor" in each for each in ticks) == len(ticks) // 2


def test_nothing_at_all() -> None:
    """Only zeros: a base and no lines."""
    found = Parsed(stacked([Column("", ["x"])], [Series("a", "plain", [0])], "words", str))
    assert [each["class"] for each in found.named("line")] == ["base"]


def test_marks_are_where_they_belong() -> None:
    """Counted in columns from the left."""
    plot = stacked([Column("", ["x"])] * 20, [Series("a", "plain", [1] * 20)], "w", str, marks=[Mark(5, "p50"), Mark(19, "p99")])
    found = Parsed(plot)
    assert [each["x1"] for each in found.named("line") if each["class"] == "mark"] == ["25%", "95%"]
    assert [each["text-anchor"] for each in found.named("text") if each["class"] == "marked"] == ["start", "end"]


def test_bars() -> None:
    """Pieces from left to right; hidden from those who hear the page where the figures stand beside it."""
    found = Parsed(bar([(0.5, "m0"), (0, "m1"), (0.25, "m2")]))
    assert [(each["x"], each["width"]) for each in found.named("rect")] == [("0%", "50%"), ("50%", "25%")]
    assert found.named("svg")[0]["aria-hidden"] == "true"
    assert Parsed(bar([(1, "m0")], "a half")).named("svg")[0]["aria-label"] == "a half"


def test_legends_name_every_colour() -> None:
    """One entry each."""
    assert "<a>" in Parsed(legend([("m0", "<a>")])).text
