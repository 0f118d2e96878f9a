"""The set of ids that were met: no id is lost, and none is invented."""

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.seen import FIRST, LARGEST_FIRST, Seen


@given(st.lists(st.text(max_size=3), max_size=200), st.integers(0, 10**9))
def test_is_a_set(texts: list[str], expected: int) -> None:
    """Like Python's own, however many were expected."""
    seen, known = Seen(min(expected, FIRST * 2)), set()
    for text in texts:
        assert seen.add(text) == (text not in known)
        known.add(text)


def test_grows_without_losing_any() -> None:
    """Over two of its sizes."""
    seen = Seen()
    ids = [f"0198c0de-{number:08x}" for number in range(FIRST * 2)]
    assert all(seen.add(each) for each in ids)
    assert not any(seen.add(each) for each in ids)


def test_a_guess_takes_no_more_than_its_bound() -> None:
    """A huge file of which nothing is a record."""
    assert len(Seen(10**12)._table) == LARGEST_FIRST


def test_what_comes_with_an_id_is_compared() -> None:
    """With what it came with first, also when the table has grown since."""
    seen = Seen()
    ids = [f"0198c0de-{number:08x}" for number in range(FIRST)]
    assert seen.repeated(ids, [number % 7 for number in range(FIRST)]) == []
    assert not any(seen.add(each, number % 7) for number, each in enumerate(ids)) and seen.differing == 0
    assert not seen.add(ids[3], 4) and seen.differing == 1


def test_many_at_once() -> None:
    """More than the table has room for, and some without an id among them."""
    seen = Seen()
    ids = [None if number % 3 == 0 else f"0198c0de-{number:08x}" for number in range(FIRST * 2)]
    assert seen.repeated(ids) == []
    assert seen.repeated(ids) == [number for number in range(FIRST * 2) if number % 3]
    assert seen.repeated(["new", None, "new"]) == [2]
