"""What the first bytes of coded bodies tell."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest

from awfproxy.core.codedheads import brotli_window_log, is_zlib, sniff, zstd_window
from awfproxy.core.decoders import zstd

from .parsers import raw_deflate


@pytest.mark.parametrize("log", range(10, 25))
def test_the_window_of_br_is_told_by_its_first_byte(log: int) -> None:
    """RFC 7932 section 9.1, against the encoder (which may choose a smaller one)."""
    assert brotli_window_log(brotli.compress(bytes(1 << 20), lgwin=log)[0]) <= max(log, 16)


@pytest.mark.parametrize(("log", "window"), [(10, 1 << 10), (17, 1 << 17), (23, 1 << 23), (27, 1 << 27)])
def test_the_window_of_zstd_is_told_by_its_header(log: int, window: int) -> None:
    """RFC 8878 section 3.1.1.1, against the encoder."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    packed = packer.compress(b"abc", packer.FLUSH_BLOCK)
    assert zstd_window(packed) == window
    assert [zstd_window(packed[:size]) for size in range(6)] == [None] * 6
    single = zstd.compress(b"abc" * 1000)
    assert zstd_window(single) == 3000
    assert zstd_window(b"text") == -1


def test_codings_are_told_by_their_first_bytes() -> None:
    """gzip, zstd and zlib show themselves; text does not look like them."""
    assert sniff(gzip.compress(b"")) == b"gzip"
    assert sniff(zstd.compress(b"")) == b"zstd"
    assert [sniff(zlib.compress(b"", level)) for level in (0, 1, 6, 9)] == [b"deflate"] * 4
    for text in (b"{", b"[", b"data: ", b"x", b"xyz", b"(x)", b""):
        assert sniff(text) is None
    assert is_zlib(zlib.compress(b"a"))
    assert not is_zlib(raw_deflate(b"a"))
