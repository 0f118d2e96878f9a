"""Keyed hashes, and what is remembered of contents that come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.keyed import (
    HASH_BYTES,
    KEY_BYTES,
    REMEMBERED,
    REMEMBERED_BYTES,
    REMEMBERED_LONGEST,
    KeyedHash,
    Remembered,
)

KEY = bytes(range(KEY_BYTES))


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(2, 400))
def test_same_content_same_hash(one: bytes, two: bytes, limit: int) -> None:
    """Law: equal contents have equal hashes; what is read whole and differs has another."""
    hashes = KeyedHash(KEY)
    first, second = hashes.of("call", one, limit), hashes.of("call", two, limit)
    assert len(first) == 2 * HASH_BYTES
    assert first == hashes.of("call", memoryview(bytearray(one)), limit)
    if one == two or max(len(one), len(two)) <= limit:
        assert (first == second) is (one == two)


@given(st.binary(max_size=100))
def test_key_and_purpose_are_part_of_it(content: bytes) -> None:
    """Law: with another key, or as another thing, a content has another hash."""
    hashes = KeyedHash(KEY)
    assert hashes.of("call", content, 100) != KeyedHash(KEY[::-1]).of("call", content, 100)
    assert hashes.of("call", content, 100) != hashes.of("result", content, 100)


def test_of_a_long_content_both_ends_and_the_length_are_read() -> None:
    """A change there shows; one in the middle does not."""
    hashes = KeyedHash(KEY)
    content = bytes(range(256)) * 10
    whole = hashes.of("result", content, 100)
    assert hashes.of("result", b"x" + content[1:], 100) != whole
    assert hashes.of("result", content[:-1] + b"x", 100) != whole
    assert hashes.of("result", content[:1000] + content[1001:], 100) != whole
    assert hashes.of("result", content[:1000] + b"x" + content[1001:], 100) == whole


@pytest.mark.parametrize("key", [b"", b"k" * (KEY_BYTES - 1), b"k" * (KEY_BYTES + 1)])
def test_a_key_has_one_length(key: bytes) -> None:
    """A short key would hide less."""
    with pytest.raises(ValueError, match="32 bytes"):
        KeyedHash(key)


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers()), max_size=80))
def test_remembered_is_what_was_put(puts: list[tuple[bytes, int]]) -> None:
    """Law: an answer is that of the very content, or none; the last put is always there."""
    remembered: Remembered[int] = Remembered()
    said: dict[bytes, int] = {}
    for content, value in puts:
        remembered.put(memoryview(content), value)
        said[content] = value
        assert remembered.get(memoryview(content)) == value
    for content, value in said.items():
        assert remembered.get(memoryview(content)) in (None, value)


def test_same_length_and_end_is_not_the_same() -> None:
    """What a content is found by is not all of it."""
    remembered: Remembered[int] = Remembered()
    remembered.put(memoryview(b"a" + b"z" * 100), 1)
    assert remembered.get(memoryview(b"b" + b"z" * 100)) is None


def test_a_content_in_anothers_place_counts_once() -> None:
    """Two of the same length and end take turns, and push out nothing else."""
    remembered: Remembered[int] = Remembered()
    remembered.put(memoryview(b"other"), 1)
    end = bytes(REMEMBERED_LONGEST - 1)
    for n in range(20):
        remembered.put(memoryview(b"ab"[n % 2 : n % 2 + 1] + end), n)
    assert remembered.get(memoryview(b"other")) == 1
    assert remembered.get(memoryview(b"b" + end)) == 19


def test_remembered_is_bounded() -> None:
    """In number, in bytes, and each by itself; the oldest goes first."""
    remembered: Remembered[int] = Remembered()
    contents = [memoryview(b"%d" % n) for n in range(REMEMBERED + 1)]
    for n, content in enumerate(contents):
        remembered.put(content, n)
    assert [remembered.get(content) for content in contents] == [None, *range(1, REMEMBERED + 1)]
    remembered.put(memoryview(bytes(REMEMBERED_LONGEST + 1)), 1)
    assert remembered.get(memoryview(bytes(REMEMBERED_LONGEST + 1))) is None
    long = [memoryview(b"%4d" % n + bytes(REMEMBERED_LONGEST - 4)) for n in range(REMEMBERED)]
    marked = [memoryview(bytes(part[:-4]) + b"%4d" % n) for n, part in enumerate(long)]
    for n, content in enumerate(marked):
        remembered.put(content, n)
    kept = [content for content in marked if remembered.get(content) is not None]
    assert len(kept) == REMEMBERED_BYTES // REMEMBERED_LONGEST
    assert remembered.get(marked[-1]) == REMEMBERED - 1
