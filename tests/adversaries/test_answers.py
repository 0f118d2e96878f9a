"""Hostile upstreams, in memory: every case whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adversaries.cases import BAD_GATEWAY, Answer
from tests.adversaries.corpus import ANSWERS
from tests.adversaries.playing import pieces, read_answer, stage
from tests.server.stage import Stage, Wire
from tests.server.test_call import requests


def answered(case: Answer, cuts: list[int]) -> tuple[Stage, Wire, bytes]:
    """A port whose upstream has answered a call like this, its client, and what that got."""
    staged = stage()
    client = staged.client()
    client.receive(case.method + b" /a HTTP/1.1\r\nHost: h\r\n\r\n")
    staged.turn()
    upstream = staged.upstream
    for piece in pieces(case.sent, cuts):
        if not upstream.closed:
            upstream.receive(piece)
            staged.turn()
    if case.ends and not upstream.closed:
        upstream.end()
        staged.turn()
    return staged, client, client.take()


def play(name: str, cuts: list[int]) -> None:
    """All that a case promises."""
    case = ANSWERS[name]
    staged, client, data = answered(case, cuts)
    upstream = staged.upstream
    if case.got == BAD_GATEWAY:
        assert data.startswith(b"HTTP/1.1 502 ") and data.count(b"HTTP/1.1 ") == 1
        assert b"X-A" not in data and b"evil" not in data
        assert not client.closed and not client.half_closed
    else:
        told = read_answer(data, case.method, client.closed)
        assert told.got == case.got
        assert told.whole is not case.cut
        assert client.closed is case.cut
    assert [record["outcome"] for record in requests(staged)] == [case.outcome]
    assert staged.port.pool.counts == {"idle": int(case.kept), "busy": 0} or (upstream.closed and not case.kept)
    assert not staged.port.calls and not staged.journal.places_taken
    if not client.closed:  # nothing that came behind it is the answer to the next call
        client.receive(b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n")
        staged.turn()
        assert (staged.upstream is upstream) is case.kept
        assert staged.upstream.take().endswith(b"\r\n\r\n") and client.take() == b""


@pytest.mark.parametrize("name", ANSWERS)
def test_whole(name: str) -> None:
    """In one read."""
    play(name, [])


@pytest.mark.parametrize("name", ANSWERS)
def test_in_small_pieces(name: str) -> None:
    """Byte by byte, or for the long ones in larger pieces."""
    length = len(ANSWERS[name].sent)
    play(name, list(range(0, length, 1 if length < 1000 else max(97, length // 300))))


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 2000), max_size=6))
def test_cut_anywhere(name: str, cuts: list[int]) -> None:
    """However the reads fall."""
    play(name, cuts)


def test_there_are_enough() -> None:
    """A corpus that lost its cases would pass."""
    assert len(ANSWERS) >= 150
