"""Hostile clients, in memory: every case whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adversaries.cases import up
from tests.adversaries.corpus import REQUESTS
from tests.adversaries.playing import AFTER, Play, pieces


def play(name: str, cuts: list[int]) -> None:
    """All that a case promises."""
    case = REQUESTS[name]
    one = Play()
    for piece in pieces(case.sent, cuts):
        one.send(piece)
    seen = one.seen()
    assert seen.upstream == list(case.upstream) and not seen.part
    assert seen.answers == list(case.answers)
    assert seen.closed is not (case.open or case.waits)
    if case.open:
        one.send(AFTER)
        assert one.seen().upstream == [*case.upstream, up(b"GET /after")]
    one.leave()
    seen = one.seen()
    assert len(seen.records) == case.records + case.open
    assert not one.stage.port.calls and not one.stage.journal.places_taken and not one.stage.shared.body_memory.lent


@pytest.mark.parametrize("name", REQUESTS)
def test_whole(name: str) -> None:
    """In one read."""
    play(name, [])


@pytest.mark.parametrize("name", REQUESTS)
def test_in_small_pieces(name: str) -> None:
    """Byte by byte, or for the long ones in pieces of a size that is no multiple of anything in them."""
    length = len(REQUESTS[name].sent)
    play(name, list(range(0, length, 1 if length < 1000 else 97)))


@given(st.sampled_from(sorted(REQUESTS)), st.lists(st.integers(0, 2000), max_size=6))
def test_cut_anywhere(name: str, cuts: list[int]) -> None:
    """However the reads fall."""
    play(name, cuts)


def test_there_are_enough() -> None:
    """A corpus that lost its cases would pass."""
    assert len(REQUESTS) >= 220
