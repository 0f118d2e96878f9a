"""The running quantile: right to a bin, fading, in fixed memory."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.quantile import BINS, MEMORY, SHARE, STEPS, TOP, Quantile, bin_of, edge

numbers = st.integers(-5, 2 ** (TOP + 2)) | st.integers(0, 3000)


@given(numbers)
def test_bins(number: int) -> None:
    """A number is at most the edge of its bin, and more than a sixteenth of a doubling below it nowhere."""
    at = bin_of(number)
    assert 0 <= at < BINS
    if number <= 0:
        assert edge(at) == 0
    elif number < 1 << TOP:
        assert number <= edge(at) <= number * 2 ** (1 / STEPS) + 1e-9
    else:
        assert at == BINS - 1


@given(numbers, numbers)
def test_bins_are_in_order(one: int, other: int) -> None:
    """A larger number is never in an earlier bin."""
    small, large = sorted((one, other))
    assert bin_of(small) <= bin_of(large)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=MEMORY - 1))
def test_right_to_a_bin(seen: list[int]) -> None:
    """Before anything fades it is the bin's edge of the number at `SHARE` of the sorted ones, at every step."""
    quantile = Quantile()
    assert quantile.value == 0
    for count, number in enumerate(seen, 1):
        quantile.add(number)
        assert quantile.weight == count
        right = sorted(seen[:count])[-(-count * 95 // 100) - 1]
        assert edge(bin_of(right)) == quantile.value


@given(st.lists(numbers, max_size=700))
def test_memory_is_fixed_and_the_weight_bounded(seen: list[int]) -> None:
    """However much comes."""
    quantile = Quantile()
    for number in seen:
        quantile.add(number)
    assert len(quantile._bins) == BINS
    assert quantile.weight <= MEMORY
    assert 0 <= quantile.value <= edge(BINS - 1)


def test_it_follows_a_change() -> None:
    """A few hundred numbers after the world has changed, the old ones have no say."""
    quantile = Quantile()
    chance = random.Random(1)
    for _ in range(5000):
        quantile.add(chance.randrange(9_000, 10_000))
    assert 9_000 <= quantile.value <= 10_500
    for _ in range(8 * MEMORY):
        quantile.add(chance.randrange(90, 100))
    assert 90 <= quantile.value <= 105
    for _ in range(MEMORY):
        quantile.add(chance.randrange(9_000, 10_000))
    assert 9_000 <= quantile.value <= 10_500


def test_it_keeps_its_share() -> None:
    """Of heavy-tailed numbers, about `SHARE` lie below what it said before each came."""
    quantile = Quantile()
    chance = random.Random(2)
    below = 0
    for count in range(6_000):
        number = int(chance.lognormvariate(6, 1.5))
        below += count >= 1000 and number <= quantile.value
        quantile.add(number)
    assert SHARE - 0.02 < below / 5_000 < SHARE + 0.02
