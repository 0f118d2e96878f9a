"""Needles across pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.dialects import DONE, USAGE
from awfproxy.core.needles import Watch, next_hit, says_usage

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


@given(data=TEXTS)
def test_usage_that_is_null_is_none(data: bytes) -> None:
    """A region that is said to have none has no hit; and a hit is never null."""
    at = next_hit(data, USAGE, 0, len(data))
    if at < len(data):
        assert says_usage(data, 0, len(data))
        assert not data[at:].startswith((b'"usage":null', b'"usage": null'))
