"""Every byte goes once, in order, none before it is safe, and none that is cut out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.holdback import Holdback


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 120)), max_size=12),
    st.integers(0, 1000),
    st.one_of(st.none(), st.tuples(st.integers(0, 100), st.integers(0, 100))),
)
def test_conservation(steps: list[tuple[bytes, int]], start: int, cut: tuple[int, int] | None) -> None:
    """What was passed plus what is held is what came, without the cut; nothing beyond ``safe`` ever went."""
    absolute = None if cut is None else (start + min(cut), start + max(cut))
    back = Holdback(start)
    passed, given_ = b"", b""
    furthest = start
    for data, safe in steps:
        given_ += data
        passed += back.take(data, start + safe, absolute)
        furthest = max(furthest, min(start + safe, start + len(given_)))
        assert len(given_) - len(back) == furthest - start
    whole = given_ if absolute is None else given_[: absolute[0] - start] + given_[absolute[1] - start :]
    assert passed + back.rest(absolute) == whole
    assert len(back) == 0
