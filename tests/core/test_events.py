"""Where events end and what their data is: the WHATWG's rules, against a plain reading of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awfproxy.core.events import event_data, last_blank, next_blank

LINES = st.lists(
    st.sampled_from(
        [b"data: {}", b"data:[DONE]", b"data:  x", b"data", b"event: a", b": c", b"id: 1", b"database: 1", b"x"]
    ),
    max_size=6,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def plain_data(event: bytes) -> bytes:
    """The standard's algorithm, line by line."""
    values = []
    for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(values)


@settings(max_examples=500, deadline=None)
@given(lines=LINES, ends=st.lists(ENDS, min_size=7, max_size=7))
def test_data_is_what_the_standard_says(lines: list[bytes], ends: list[bytes]) -> None:
    """Any lines with any line ends, mixed."""
    event = b"".join(line + end for line, end in zip(lines, ends, strict=False)) + ends[-1]
    assert event_data(event).strip() == plain_data(event).strip()


@settings(max_examples=500, deadline=None)
@given(parts=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n"]), max_size=20))
def test_blank_lines_are_found_where_the_standard_has_them(parts: list[bytes]) -> None:
    """Forward and backward searches agree with a plain walk over the line ends."""
    data = b"".join(parts)
    ends, at, empty = [], 0, False
    while at < len(data):
        if data[at : at + 1] in (b"\r", b"\n"):
            at += 2 if data.startswith(b"\r\n", at) else 1
            if empty:
                ends.append(at)
            empty = True
        else:
            at += 1
            empty = False
    has_cr = b"\r" in data
    assert next_blank(data, 0, len(data), has_cr) == (ends[0] if ends else -1)
    assert last_blank(data, 0, len(data)) == (ends[-1] if ends else -1)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"event: x\r\ndata: a\r\n\r\n", b"a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\rdata: b\r\r", b"a\nb"),
        (b"data\n\n", b""),
        (b"metadata: a\n\n", b""),
        (b": data: a\n\n", b""),
    ],
)
def test_forms_of_data(event: bytes, data: bytes) -> None:
    """One by one: spaces, several lines, no value, look-alikes."""
    assert event_data(event).strip() == data
