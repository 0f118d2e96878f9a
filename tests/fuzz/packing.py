"""The content codings as quick as they come: a fuzzer's time is for the decoders."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Final

import brotli

from awfproxy.core.decoders import zstd


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return packer.compress(data) + packer.flush()


PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "deflate": lambda data: zlib.compress(data, 1),
    "raw deflate": _raw_deflate,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": lambda data: zstd.compress(data, 1),
}
