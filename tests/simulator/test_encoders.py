"""Content codings: whole, flushed at every piece, and bounded when read."""

from __future__ import annotations

import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.simulator import encoders

CODINGS = ["gzip", "deflate", "br", "zstd", "gzip, br", "identity"]
PIECES = st.lists(st.binary(max_size=200), max_size=6)


@given(coding=st.sampled_from(CODINGS), pieces=PIECES)
def test_what_was_encoded_is_decoded(coding: str, pieces: list[bytes]) -> None:
    """In each coding and chain, in any pieces."""
    name, encoder = encoders.encoder(coding)
    body = b"".join(pieces)
    sent = body if encoder is None else b"".join(map(encoder.piece, pieces)) + encoder.finish()
    assert encoders.decode(sent, name, 10_000) == body


@given(pieces=PIECES)
def test_each_piece_can_be_read_at_once(pieces: list[bytes]) -> None:
    """A stream that is compressed stays a stream: zlib and brotli readers get every piece when it was sent."""
    for coding, reader in (("raw-deflate", zlib.decompressobj(-15).decompress), ("br", brotli.Decompressor().process)):
        _, encoder = encoders.encoder(coding)
        assert encoder is not None
        for piece in pieces:
            assert reader(encoder.piece(piece)) == piece


def test_what_cannot_be_read_is_refused() -> None:
    """Unknown codings, broken data and bombs."""
    with pytest.raises(ValueError, match="unknown"):
        encoders.encoder("rot13")
    with pytest.raises(ValueError, match="not gzip"):
        encoders.decode(b"plain", "gzip", 100)
    with pytest.raises(ValueError, match="too large"):
        encoders.decode(zlib.compress(b"\0" * 1000), "deflate", 100)


def test_the_first_acceptable_coding_is_chosen() -> None:
    """A weight of nothing is a refusal."""
    choices = {
        "gzip, br": "gzip",
        "zstd;q=0, br": "br",
        "identity": "",
        "": "",
        "*": "",
        "gzip;q=0.0,deflate": "deflate",
    }
    assert {accept: encoders.acceptable(accept) for accept in choices} == choices
