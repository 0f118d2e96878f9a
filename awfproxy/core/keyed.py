"""Keyed hashes of content: the same content gives the same hash, and nobody without the key learns anything of it.

Keyed BLAKE2b (RFC 7693 section 2.9), because most of what is hashed is short, where it costs half of HMAC-SHA256
(1.3 µs against 3).  What a hash is of (`Purpose`) is part of it: a text as a tool's result and the same text as a
prompt have different hashes.  16 hexadecimal digits: among a million contents two share one with a chance of 1 to 40
million.

At most `limit` bytes of a content are read: of a longer one both ends, and its length.  Two that differ only in their
middle, and are of the same length, then look alike.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Generic, Literal, TypeVar

#: bytes of a key
KEY_BYTES: Final = 32
#: bytes of a hash; its text has twice as many characters
HASH_BYTES: Final = 8
#: contents that are remembered at most, their bytes together, and the longest: an agent asks with one set of tools and
#: one or two system prompts, a host runs a few agents
REMEMBERED: Final = 64
REMEMBERED_BYTES: Final = 2 * 1024 * 1024
REMEMBERED_LONGEST: Final = 256 * 1024
#: bytes of its end that a content is found by, with its length
FOUND_BY: Final = 48

Purpose = Literal["conversation", "system", "tools", "call", "result", "response"]
_PURPOSES: Final[tuple[Purpose, ...]] = ("conversation", "system", "tools", "call", "result", "response")

Value = TypeVar("Value")


class KeyedHash:
    """Hashes with one key of `KEY_BYTES` bytes."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        # copying a hash that has taken in the key costs less than beginning one
        self._begun = {
            purpose: blake2b(key=key, digest_size=HASH_BYTES, person=purpose.encode()) for purpose in _PURPOSES
        }

    def of(self, purpose: Purpose, content: bytes | memoryview, limit: int) -> str:
        """The hash of ``content``, of which at most ``limit`` bytes are read."""
        hashed = self._begun[purpose].copy()
        if len(content) <= limit:
            hashed.update(content)
        else:
            half = limit // 2
            hashed.update(content[:half])
            hashed.update(b"\0%d\0" % len(content))
            hashed.update(content[-half:])
        return hashed.hexdigest()


class Remembered(Generic[Value]):
    """What was worked out for contents that come again in request after request, byte for byte.

    Comparing costs a fiftieth of hashing.  The oldest goes first.
    """

    __slots__ = ("_kept", "_size")

    def __init__(self) -> None:
        self._kept: dict[tuple[int, bytes], tuple[bytes, Value]] = {}
        self._size = 0

    def get(self, content: memoryview) -> Value | None:
        """What `put` was given for it; None: not known."""
        kept = self._kept.get((len(content), bytes(content[-FOUND_BY:])))
        # of the same length, so this is equality, at the speed of memcmp
        return kept[1] if kept is not None and kept[0].startswith(content) else None

    def put(self, content: memoryview, value: Value) -> None:
        """Remember ``value`` for ``content``, unless that is too long."""
        if len(content) > REMEMBERED_LONGEST:
            return
        place = (len(content), bytes(content[-FOUND_BY:]))
        if self._kept.pop(place, None) is None:
            self._size += len(content)
        self._kept[place] = (bytes(content), value)
        while len(self._kept) > REMEMBERED or self._size > REMEMBERED_BYTES:
            oldest = next(iter(self._kept))
            self._size -= len(self._kept.pop(oldest)[0])
