"""`Accept-Encoding` for the upstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.codings import READABLE, VALUE_MAX, reduced


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate, br, zstd"),
        (b"gzip,br", b"gzip, br"),
        (b"gzip;q=1.0, zstd;q=0.8, br;q=0.5", b"gzip;q=1.0, zstd;q=0.8, br;q=0.5"),
        (b"gzip, compress, deflate, dcb", b"gzip, deflate"),
        (b"compress", b"identity"),
        (b"", b"identity"),
        (b" , ,", b"identity"),
        (b"identity", b"identity"),
        (b"identity;q=0, gzip", b"identity;q=0, gzip"),
        (b"GZIP;Q=0.5", b"gzip;Q=0.5"),
        (b"x-gzip", b"gzip"),
        (b"gzip, x-gzip, gzip", b"gzip"),
        (b"*", b"gzip"),
        (b"*;q=0.1", b"gzip;q=0.1"),
        (b"br, *;q=0.1", b"br, gzip;q=0.1"),
        (b"gzip;q=0, *", b"gzip;q=0"),
        (b"gzip, *;q=0", b"gzip, *;q=0"),
        (b"gzip;q=0.8, *; q=0.000", b"gzip;q=0.8, *;q=0.000"),
        (b"gzip, " * 1000, b"identity"),
    ],
)
def test_reduced(value: bytes, sent: bytes) -> None:
    """What cannot be decoded on the side goes; order and weights stay."""
    assert reduced(value) == sent


@given(st.one_of(st.binary(max_size=VALUE_MAX + 10), st.text("gzipbr,;*q=0.1 ", max_size=60).map(str.encode)))
def test_only_readable_codings_are_asked_for(value: bytes) -> None:
    """Law: any value becomes a list of codings that we read, or of `*` forbidden, and never an empty one."""
    items = [item.partition(b";") for item in reduced(value).split(b", ")]
    for name, _, weight in items:
        assert name in READABLE or (name == b"*" and b"q=0" in weight.lower().replace(b" ", b"").replace(b"=.", b"=0."))
