"""`Accept-Encoding`, reduced to the codings that the scanner can read on the side.

RFC 9110 section 12.5.3.  Weights are kept as they came.  A wildcard would allow codings we cannot read, so it becomes
gzip with its weight, unless it forbids (`*;q=0`), which may stay.  When nothing is left, `identity` is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: what `core.decoders` reads; `x-gzip` is gzip by another name (RFC 9110 section 8.4.1.3)
READABLE: Final = frozenset((b"gzip", b"deflate", b"br", b"zstd", b"identity"))

#: bytes of a value that is read at all; SDKs send about 30
VALUE_MAX: Final = 256


def reduced(value: bytes) -> bytes:
    """The value to send upstream for a client's ``value``."""
    if len(value) > VALUE_MAX:
        return b"identity"
    return _reduced(value)


@lru_cache(maxsize=256)
def _reduced(value: bytes) -> bytes:
    kept: list[bytes] = []
    named: set[bytes] = set()
    wildcard: bytes | None = None
    for item in value.split(b","):
        name, semicolon, weight = (part.strip() for part in item.strip().partition(b";"))
        name = name.lower()
        if name == b"*":
            if _forbids(weight):
                kept.append(b"*;" + weight)
            else:
                wildcard = semicolon + weight
            continue
        if name == b"x-gzip":
            name = b"gzip"
        if name in READABLE and name not in named:
            named.add(name)
            kept.append(name + semicolon + weight)
    if wildcard is not None and b"gzip" not in named:
        kept.append(b"gzip" + wildcard)
    return b", ".join(kept) or b"identity"


def _forbids(weight: bytes) -> bool:
    return weight.replace(b" ", b"").lower().rstrip(b"0") in (b"q=", b"q=0.", b"q=.")
