"""The two ways to an outline: whole documents and the finder agree on any JSON, and only exact positions count."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.document import elements, read
from awfproxy.core.fields import NAME_LIMIT, READ, USAGE_LIMIT
from awfproxy.core.finder import Finder
from awfproxy.core.outline import NONE, SOME, Outline, tree

from .parsers import pieces

_NAMES = sorted({part.removesuffix("[]") for path in READ for part in path.split(".")})
_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"usage":{"prompt_tokens":9}', "\\", '\\"', '"}]', "{[", '{"usage":{"a":1}}', "\u2028é\0"]),
)
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**15), st.floats(allow_nan=False, allow_infinity=False), _TEXT
)
JSON = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(_NAMES), _TEXT), inner, max_size=6),
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.one_of(st.sampled_from(_NAMES), _TEXT), JSON, max_size=5)


def found(data: bytes, cuts: list[int]) -> list[tuple[Outline, bool]]:
    """What the finder hands on."""
    outlines: list[tuple[Outline, bool]] = []
    finder = Finder(lambda outline, whole: outlines.append((outline, whole)))
    for part in pieces(data, cuts):
        finder.feed(part)
    finder.finish()
    return outlines


def expected(document: Any, path: str) -> list[Any]:
    """The values at a path, the plain way."""
    values = [document]
    for part in path.split("."):
        name = part.removesuffix("[]")
        values = [value[name] for value in values if isinstance(value, dict) and name in value]
        if part != name:
            values = [item for value in values if isinstance(value, list) for item in value]
    return values


@settings(max_examples=400, deadline=None)
@given(
    document=DOCUMENTS,
    cuts=st.lists(st.integers(0, 5000), max_size=10),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_both_ways_agree_and_are_right(
    document: dict[str, Any], cuts: list[int], indent: int | None, ascii_only: bool
) -> None:
    """Any JSON, any split, either style of writing: the same outline, with the very values that stand there."""
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    outline = read(data)
    assert outline is not None
    assert found(data, cuts) == [(outline, True)]
    for path, limit in READ.items():
        values = expected(document, path)
        text = outline.get(path)
        if not limit:
            assert text in (None, NONE, SOME)
        elif text is not None:
            assert json.loads(b"[" + text + b"]") == values
        else:
            assert not values or len(json.dumps(values, indent=indent, ensure_ascii=False)) > min(limit, 200)


@settings(max_examples=100, deadline=None)
@given(documents=st.lists(DOCUMENTS, max_size=4), cuts=st.lists(st.integers(0, 5000), max_size=8), array=st.booleans())
def test_sequences_and_arrays_give_each_document(documents: list[Any], cuts: list[int], array: bool) -> None:
    """NDJSON and JSON arrays: the same outlines as one by one."""
    texts = [json.dumps(document).encode() for document in documents]
    data = b"[" + b",\n".join(texts) + b"]" if array else b"\n".join(texts)
    assert found(data, cuts) == [(read(text), True) for text in texts]
    if array:
        assert elements(data) == texts


@settings(max_examples=100, deadline=None)
@given(document=DOCUMENTS, keep=st.integers(0, 5000))
def test_a_cut_document_is_never_called_whole(document: dict[str, Any], keep: int) -> None:
    """What a cut document said before its end is given, as not whole, and is a part of what it would have said."""
    data = json.dumps(document).encode()
    outlines = found(data[: min(keep, len(data) - 1)], [])
    whole = read(data) or {}
    for outline, complete in outlines:
        assert not complete
        for path, text in outline.items():
            assert text in (NONE, SOME) or whole[path].startswith(text)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"message": {"content": '{"usage":{"prompt_tokens":9}}', "usage": {"prompt_tokens": 9}}}]},
        {"a": {"usage": {"prompt_tokens": 9}}},
        {"response": [{"usage": {"prompt_tokens": 9}}]},
        {"response": {"response": {"usage": {"prompt_tokens": 9}}}},
        {"choices": [{"usage": {"prompt_tokens": 9}}]},
        {"message.usage": {"prompt_tokens": 9}},
        {"Usage": {"prompt_tokens": 9}, "usage ": {"prompt_tokens": 9}},
        [{"usage": {"prompt_tokens": 9}}],
    ],
)
def test_only_exact_positions_count(document: Any) -> None:
    """The same names elsewhere are decoys."""
    outline = read(json.dumps({"x": document} if isinstance(document, list) else document).encode())
    assert outline is not None
    assert not any("usage" in path for path in outline)


def test_an_escaped_key_is_the_same_key() -> None:
    """JSON may write any character of a key as an escape."""
    data = b'{"\\u0075sage":{"prompt_tokens":1},"mod\\u0065l":"m"}'
    assert read(data) == {"usage": b'{"prompt_tokens":1}', "model": b'"m"'}
    assert found(data, [3, 4, 9]) == [(read(data), True)]


def test_of_a_repeated_key_the_last_counts() -> None:
    """With everything under it: as for every JSON parser that keeps one."""
    data = b'{"usage":{"a":1},"response":{"model":"x","usage":{"a":1}},"usage":{"a":2},"response":{"usage":{"a":3}}}'
    assert read(data) == {"usage": b'{"a":2}', "response.usage": b'{"a":3}'}
    assert found(data, [20, 60]) == [(read(data), True)]


@pytest.mark.parametrize("value", [b"[" * 50_000 + b"]" * 50_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000])
def test_depth_is_no_limit(value: bytes) -> None:
    """Nesting far beyond any stack is passed over."""
    data = b'{"output":' + value + b',"usage":{"input_tokens":1}}'
    assert read(data) == {"usage": b'{"input_tokens":1}'}
    assert found(data, [1000, 70_000]) == [({"usage": b'{"input_tokens":1}'}, True)]


def test_values_over_their_limit_are_left_out() -> None:
    """Each position has a limit, in both ways the same."""
    for size in (NAME_LIMIT, NAME_LIMIT + 1):
        data = b'{"model":"' + b"x" * (size - 2) + b'"}'
        outline = read(data)
        assert outline is not None
        assert ("model" in outline) == (size <= NAME_LIMIT)
        assert found(data, [50, 300]) == [(outline, True)]
    data = b'{"usage":{"a":"' + b"x" * USAGE_LIMIT + b'"},"model":"m"}'
    assert read(data) == {"model": b'"m"'}
    assert found(data, [5000]) == [({"model": b'"m"'}, True)]


@pytest.mark.parametrize(
    "data",
    [
        b'{"x":NaN,"usage":{"a":1}}',
        b'{"x":-Infinity,"usage":{"a":1}}',
        b'{"x":"\x01\n","usage":{"a":1}}',
        b'{"x":"\xff","usage":{"a":1}}',
    ],
)
def test_what_servers_write_beyond_the_standard_is_read(data: bytes) -> None:
    """NaN, control characters and broken UTF-8 beside the usage do not lose it."""
    assert read(data) == {"usage": b'{"a":1}'}


@pytest.mark.parametrize("data", [b"", b"null", b"[1]", b'{"usage":{"a":1}', b'{"x":""y","usage":{"a":1}}', b"{} {}"])
def test_what_is_no_document_has_no_outline(data: bytes) -> None:
    """Broken or several documents are none."""
    assert read(data) is None


def test_broken_grammar_ends_the_finders_belief() -> None:
    """A string that ended too early turns text into structure: nothing after it counts."""
    assert found(b'{"model":"a"b","usage":{"a":1}}', []) == []


def test_a_position_is_taken_or_read_into() -> None:
    """A table that wants both is a bug."""
    with pytest.raises(ValueError, match=r"a\.b"):
        tree({"a.b.c": 5, "a.b": 5})
