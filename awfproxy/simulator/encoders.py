"""Content codings as servers send them: flushed after each event, so that a stream stays a stream."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: window bits that make zlib write gzip, zlib and raw streams (zlib.net/manual.html, deflateInit2)
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Encoder:
    """One coding over one body: give it pieces, then `finish`."""

    __slots__ = ("_finish", "_piece")

    def __init__(self, piece: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> None:
        self._piece = piece
        self._finish = finish

    def piece(self, data: bytes) -> bytes:
        """``data`` encoded, and flushed: a reader can decode all of it from what was returned so far."""
        return self._piece(data)

    def finish(self) -> bytes:
        """The bytes that end the encoded body."""
        return self._finish()


def _deflate(window_bits: int) -> Encoder:
    stream = zlib.compressobj(wbits=window_bits)
    return Encoder(lambda data: stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH), stream.flush)


def _brotli() -> Encoder:
    stream: Any = brotli.Compressor(quality=4)
    return Encoder(lambda data: stream.process(data) + stream.flush(), stream.finish)


def _zstd() -> Encoder:
    stream: Any = zstd.ZstdCompressor()
    return Encoder(lambda data: stream.compress(data, mode=stream.FLUSH_BLOCK), stream.flush)


_CODINGS: dict[str, tuple[str, Callable[[], Encoder]]] = {
    "gzip": ("gzip", lambda: _deflate(_GZIP)),
    "deflate": ("deflate", lambda: _deflate(_ZLIB)),
    "raw-deflate": ("deflate", lambda: _deflate(_RAW)),  # what several servers send under the name of deflate
    "br": ("br", _brotli),
    "zstd": ("zstd", _zstd),
}


def encoder(chain: str) -> tuple[str, Encoder | None]:
    """The Content-Encoding value and the encoder of a chain such as ``"gzip, br"`` (applied in that order).

    ``"identity"`` and ``""`` give no encoder.

    :raises ValueError: a coding that is not known
    """
    names = [name for name in (part.strip() for part in chain.split(",")) if name and name != "identity"]
    unknown = [name for name in names if name not in _CODINGS]
    if unknown:
        raise ValueError(f"unknown coding {unknown[0]!r}")
    stages = [_CODINGS[name][1]() for name in names]
    if not stages:
        return "", None

    def piece(data: bytes) -> bytes:
        for stage in stages:
            data = stage.piece(data)
        return data

    def finish() -> bytes:
        data = b""
        for stage in stages:
            data = (stage.piece(data) if data else b"") + stage.finish()
        return data

    return ", ".join(_CODINGS[name][0] for name in names), Encoder(piece, finish)


def acceptable(accept_encoding: str) -> str:
    """The coding a provider would choose under this Accept-Encoding: the first it names that is ours, else none."""
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip() in ("gzip", "deflate", "br", "zstd") and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name.strip()
    return ""


def decode(data: bytes, chain: str, limit: int) -> bytes:
    """A request body as its Content-Encoding says it was encoded.

    :raises ValueError: unknown coding, broken data, or more than ``limit`` bytes
    """
    for name in reversed([part.strip().lower() for part in chain.split(",")]):
        try:
            if name in ("gzip", "deflate"):
                inflater = zlib.decompressobj(47)  # 32 + 15: gzip or zlib, told by the first bytes
                data = inflater.decompress(data, limit + 1)
            elif name == "br":
                data = brotli.Decompressor().process(data, output_buffer_limit=limit + 1)
            elif name == "zstd":
                data = zstd.ZstdDecompressor().decompress(data, max_length=limit + 1)
            elif name not in ("", "identity"):
                raise ValueError(f"unknown coding {name!r}")
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise ValueError(f"not {name}: {error}") from None
        if len(data) > limit:
            raise ValueError("too large")
    return data
