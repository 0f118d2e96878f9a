"""What the first bytes of a coded body tell: which coding it is, and how large a window it needs.

A window is known before a decoder is made, so that nothing is allocated for a body that asks for too much.
"""

from __future__ import annotations


def is_zlib(data: bytes) -> bool:
    """Does it begin with a zlib header (RFC 1950 section 2.2)?"""
    return len(data) >= 2 and data[0] & 0x8F == 0x08 and (data[0] << 8 | data[1]) % 31 == 0


def sniff(head: bytes) -> bytes | None:
    """The coding that the first bytes of a body show; None: none, or one that cannot be told so."""
    if head.startswith(b"\x1f\x8b\x08"):
        return b"gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return b"zstd"
    # Only with zlib's own largest window: other headers might begin a text.
    if head.startswith((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")):
        return b"deflate"
    return None


def brotli_window_log(first: int) -> int:
    """The logarithm of a br stream's window from its first byte (RFC 7932 section 9.1); 31 for what is not allowed."""
    if not first & 1:
        return 16
    if first & 0x0E:
        return 17 + (first >> 1 & 7)
    rest = first >> 4 & 7
    if rest == 0:
        return 17
    return 31 if rest == 1 else 8 + rest


def zstd_window(head: bytes) -> int | None:
    """The window of a zstd frame in bytes (RFC 8878 section 3.1.1.1); None: needs more bytes; -1: not a frame."""
    if len(head) < 4:
        return None if b"\x28\xb5\x2f\xfd".startswith(head) or head[1:4] == b"\x2a\x4d\x18"[: len(head) - 1] else -1
    magic = int.from_bytes(head[:4], "little")
    if magic & 0xFFFFFFF0 == 0x184D2A50:
        return 0  # a skippable frame
    if magic != 0xFD2FB528:
        return -1
    if len(head) < 18:
        return None if len(head) < _zstd_header(head) else _zstd_window(head)
    return _zstd_window(head)


def _zstd_header(head: bytes) -> int:
    """How many bytes of the header tell the window."""
    if len(head) < 5:
        return 5
    single = head[4] >> 5 & 1
    if not single:
        return 6
    return 5 + (0, 1, 2, 4)[head[4] & 3] + (1, 2, 4, 8)[head[4] >> 6]


def _zstd_window(head: bytes) -> int:
    descriptor = head[4]
    if not descriptor >> 5 & 1:
        base = 1 << (10 + (head[5] >> 3))
        return base + (base >> 3) * (head[5] & 7)
    # A single segment: its window is its content's size.
    at = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(head[at : at + size], "little")
    return content + 256 if size == 2 else content
