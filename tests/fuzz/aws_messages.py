"""Messages of AWS event streams, made and mended (AWS, "Event stream encoding")."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

#: lengths and checksum before the headers, checksum at the end
_PRELUDE = 12
_FRAME = _PRELUDE + 4
_TEXT = 7


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message with text headers and right checksums."""
    block = b"".join(
        bytes([len(name)]) + name.encode() + bytes([_TEXT]) + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    lengths = (len(block) + len(payload) + _FRAME).to_bytes(4, "big") + len(block).to_bytes(4, "big")
    begun = lengths + crc32(lengths).to_bytes(4, "big") + block + payload
    return begun + crc32(begun).to_bytes(4, "big")


def event(kind: str, payload: bytes) -> bytes:
    """One event as Bedrock sends it."""
    return message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def endless() -> bytes:
    """The beginning of a message of 4 GB, with the prelude's checksum right."""
    lengths = b"\xff\xff\xff\xff\0\0\0\0"
    return lengths + crc32(lengths).to_bytes(4, "big")


def mended(data: bytes) -> bytes:
    """``data`` as messages whose lengths and checksums are right, as far as it can be divided into them.

    The lengths that stand in it are kept where they make sense, and both checksums are made anew: so a fuzzer gets past
    them, and has everything else to play with.
    """
    out = bytearray()
    at = 0
    while len(data) - at >= _FRAME:
        total = int.from_bytes(data[at : at + 4], "big")
        if not _FRAME <= total <= len(data) - at:
            total = min(_FRAME + total % 512, len(data) - at)
        headers = min(int.from_bytes(data[at + 4 : at + 8], "big"), total - _FRAME)
        lengths = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
        begun = lengths + crc32(lengths).to_bytes(4, "big") + data[at + _PRELUDE : at + total - 4]
        out += begun + crc32(begun).to_bytes(4, "big")
        at += total
    return bytes(out) + data[at:]
