"""The best pairing of two sequences that keeps their order.

Given places in two sequences that could belong together, each with what the pair would gain, `align` chooses pairs so
that no place is used twice, both sequences run forward, and the sum of the gains is as large as it can be: a heaviest
increasing chain, found by one pass over the pairs in the order of the first sequence, with the best sum up to each
place of the second kept in a Fenwick tree.  n pairs over m places take O(n log m) time and O(n + m) memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

_first = itemgetter(0)
_second = itemgetter(1)


def align(pairs: Iterable[tuple[int, int, float]]) -> list[tuple[int, int]]:
    """
    :param pairs: (place in the first sequence, place in the second, gain > 0); places are >= 0.
    :return: the chosen pairs, both places strictly growing.  Of equal sums the one found first, and so always the same.
    """
    told = sorted(pairs, key=_first)
    if not told:
        return []
    size = max(map(_second, told)) + 1
    #: for each part of the second sequence the best sum of a chain that ends in it, and the link at that chain's end
    best = [0.0] * (size + 1)
    links = [-1] * (size + 1)
    chain: list[tuple[int, int, int]] = []
    top, top_link = 0.0, -1
    for _, group in groupby(told, key=_first):
        # From the back, so that no two pairs of one place stand in one chain.
        for first, second, gain in sorted(group, key=_second, reverse=True):
            total, link, place = 0.0, -1, second
            while place > 0:
                if best[place] > total:
                    total, link = best[place], links[place]
                place -= place & -place
            total += gain
            chain.append((first, second, link))
            if total > top:
                top, top_link = total, len(chain) - 1
            place = second + 1
            while place <= size:
                if total > best[place]:
                    best[place], links[place] = total, len(chain) - 1
                place += place & -place
    chosen = []
    while top_link >= 0:
        first, second, top_link = chain[top_link]
        chosen.append((first, second))
    chosen.reverse()
    return chosen
