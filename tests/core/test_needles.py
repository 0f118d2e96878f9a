"""Needles across pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.dialects import DONE, USAGE
from awfproxy.core.needles import Hits, Watch, last_error, next_hit, says_usage

from .parsers import pieces

NEEDLES = (USAGE, DONE, b'"response"')
TEXTS = st.lists(
    st.sampled_from([b'"usage":null', b'"usage": null', b'"usage":', b'"usage', b'"usa', b"nul", b"null", b"[DO", b"NE]", b" " * 30]),
    max_size=12,
).map(b"".join)  # fmt: skip


def occurs(data: bytes) -> bool:
    """A needle is in it that means something."""
    return any(next_hit(data, needle, 0, len(data)) < len(data) for needle in NEEDLES)


@given(data=TEXTS, cuts=st.lists(st.integers(0, 300), max_size=10))
def test_a_watch_says_what_one_look_says(data: bytes, cuts: list[int]) -> None:
    """At any split; and without needles everything matters."""
    watch, always = Watch(NEEDLES), Watch(None)
    for piece in pieces(data, cuts):
        watch.look(piece)
        always.look(piece)
    assert watch.matters == occurs(data)
    assert always.matters


@given(data=TEXTS, steps=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=10))
def test_hits_are_the_first_of_all_needles(data: bytes, steps: list[tuple[int, bool]]) -> None:
    """However one goes forward, and when a needle is no longer looked for."""
    hits, at = Hits(data, len(data)), 0
    sought: tuple[bytes, ...] = NEEDLES
    for step, fewer in steps:
        at = min(at + step, len(data))
        if fewer:
            sought = sought[1:]
        hit = min((next_hit(data, needle, at, len(data)) for needle in sought), default=len(data))
        assert hits.first(sought, at) == hit


@given(data=TEXTS)
def test_usage_that_is_null_is_none(data: bytes) -> None:
    """A region that is said to have none has no hit; and a hit is never null."""
    at = next_hit(data, USAGE, 0, len(data))
    if at < len(data):
        assert says_usage(data, 0, len(data))
        assert not data[at:].startswith((b'"usage":null', b'"usage": null'))


def test_the_last_error_counts() -> None:
    """Of several the last before the end, and none where that is null."""
    data = b'"error":{} "error": null "error":{"a":1}'
    assert last_error(data, len(data)) == data.rfind(b'"error"')
    assert last_error(data, len(data) - 15) == -1
    assert last_error(data, 10) == 0
    assert last_error(b"error", 5) == -1
