"""Messages of AWS event streams: lengths that can be followed, and what an event is worth by its headers."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.awsmessage import (
    CONTENT,
    DOCUMENT,
    FAILURE,
    HEADERS_MAX,
    LAST,
    ODD,
    PAYLOAD_MAX,
    PRELUDE,
    UNKNOWN,
    WRAPPED,
    begins,
    lengths,
    unwrap,
    worth,
)

from .aws import aws_event, header, message


def prelude(total: int, headers: int) -> bytes:
    """The first bytes of a message of these lengths, with the right checksum."""
    from zlib import crc32

    told = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
    return told + crc32(told).to_bytes(4, "big")


def test_lengths_are_those_of_the_prelude() -> None:
    """Anywhere in what was read."""
    whole = aws_event("chunk", {"bytes": ""})
    told = lengths(b"abc" + whole, 3)
    assert told is not None
    assert told[0] == len(whole)
    assert worth(whole[PRELUDE : PRELUDE + told[1]]) == WRAPPED


@pytest.mark.parametrize(
    ("total", "headers", "sane"),
    [
        (16, 0, True),
        (15, 0, False),
        (16, 1, False),
        (0, 0, False),
        (16 + HEADERS_MAX, HEADERS_MAX, True),
        (17 + HEADERS_MAX, HEADERS_MAX + 1, False),
        (16 + PAYLOAD_MAX, 0, True),
        (17 + PAYLOAD_MAX, 0, False),
        (2**32 - 1, 0, False),
        (2**32 - 1, 2**32 - 1, False),
    ],
)
def test_absurd_lengths_are_refused(total: int, headers: int, sane: bool) -> None:
    """At and past each bound."""
    assert (lengths(prelude(total, headers), 0) is not None) == sane
    assert begins(prelude(total, headers)) == sane


@given(at=st.integers(0, 11), flip=st.integers(1, 255))
def test_a_damaged_prelude_is_refused(at: int, flip: int) -> None:
    """Any one byte of it."""
    damaged = bytearray(aws_event("metadata", {}))
    damaged[at] ^= flip
    assert lengths(damaged, 0) is None
    assert not begins(bytes(damaged))


def test_too_short_to_tell() -> None:
    """Twelve bytes are needed, unless the first one tells."""
    whole = aws_event("metadata", {})
    assert [begins(whole[:size]) for size in (0, 1, 11, 12)] == [None, None, None, True]
    assert begins(b"{") is False
    assert begins(b"\x02") is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messageStart", CONTENT),
        ("contentBlockStart", CONTENT),
        ("contentBlockDelta", CONTENT),
        ("contentBlockStop", CONTENT),
        ("messageStop", DOCUMENT),
        ("metadata", LAST),
        ("chunk", WRAPPED),
        ("somethingNew", UNKNOWN),
    ],
)
def test_an_event_is_worth_what_its_name_says(name: str, value: int) -> None:
    """In any order of the headers, short or long."""
    told = [header(":event-type", name), header(":message-type", "event"), header("x", "y" * 600)]
    assert worth(b"".join(told)) == worth(b"".join(reversed(told))) == worth(b"".join(told[:2])) == value


def test_failures_are_told_by_the_type_of_the_message() -> None:
    """Whatever the event's name is."""
    for kind in ("exception", "error"):
        assert worth(header(":message-type", kind) + header(":event-type", "metadata")) == FAILURE


def test_headers_of_every_type_are_passed_over() -> None:
    """Values of ten types; their sizes are those of the encoding's page."""
    values = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
    others = [b"\x01a" + bytes([kind]) + bytes(size) for kind, size in values.items()]
    others.append(b"\x01a\x06\x00\x03\x00\x01\x02")
    told = header(":event-type", "metadata")
    assert worth(b"".join(others) + told) == LAST
    assert worth(told + b"".join(others)) == LAST
    for other in others:
        assert worth(told + other[:-1]) == ODD
    assert worth(told + b"\x01a\x0a") == ODD
    assert worth(b"\xffabc") == ODD


@given(st.binary(max_size=100))
def test_any_headers_are_worth_something(headers: bytes) -> None:
    """No bytes raise."""
    assert CONTENT <= worth(headers) <= ODD


@given(st.binary(max_size=100))
def test_what_is_wrapped_comes_out(document: bytes) -> None:
    """Base64 of anything, beside padding; and nothing raises on what is no such payload."""
    payload = json.dumps({"p": "abc", "bytes": b64encode(document).decode()}).encode()
    assert unwrap(payload) == document
    unwrap(document)
    assert unwrap(payload[:-1]) is None


def test_the_builder_of_these_tests_is_right() -> None:
    """A message as it was recorded (the padding shortened), byte by byte."""
    assert message(b"", b"") == bytes.fromhex("000000100000000005c248eb7d98c8ff")
