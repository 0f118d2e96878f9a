"""The best pairing of two sequences that keeps their order."""

import random
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.turns.alignment import align

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(1, 100).map(lambda gain: gain / 10), max_size=9
)


def forward(chosen: list[tuple[int, int]]) -> bool:
    return all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(chosen))


@given(PAIRS)
def test_is_the_best_of_all_pairings_that_keep_the_order(gains: dict[tuple[int, int], float]) -> None:
    """As good as the best of all subsets that run forward."""
    chosen = align((first, second, gain) for (first, second), gain in gains.items())
    assert forward(chosen)
    best = max(
        sum(gains[pair] for pair in some)
        for size in range(len(gains) + 1)
        for some in combinations(sorted(gains), size)
        if forward(list(some))
    )
    assert abs(sum(gains[pair] for pair in chosen) - best) < 1e-9


@given(PAIRS, st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_the_pairs(gains: dict[tuple[int, int], float], dice: random.Random) -> None:
    """The same pairs in any order gain the same."""
    pairs = [(first, second, gain) for (first, second), gain in gains.items()]
    shuffled = list(pairs)
    dice.shuffle(shuffled)
    assert sum(gains[pair] for pair in align(pairs)) == sum(gains[pair] for pair in align(shuffled))


def test_many_pairs_take_little_time() -> None:
    """A hundred thousand places with four candidates each: the diagonal is found."""
    pairs = [(row, row + shift, 1.0 if shift == 0 else 0.5) for row in range(100_000) for shift in range(4)]
    assert align(pairs) == [(row, row) for row in range(100_000)]
