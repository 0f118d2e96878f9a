"""JSON as many writers send it and many servers take it, though a strict reader does not.

Half an emoji (text cut between the two escapes of a surrogate pair, as JavaScript does), raw control characters in
texts, a byte order mark.  Such a body is mended for reading, never for sending, and only once a strict reader has
refused it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

Found = TypeVar("Found")

_surrogate = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").sub
_CONTROLS: Final = bytes(0x20 if octet < 0x20 else octet for octet in range(256))


def decoded(body: bytes, decode: Callable[[bytes], Found]) -> Found:
    """What ``decode``, of msgspec's, makes of a body.

    :raises msgspec.ValidationError: it is JSON of another form
    :raises msgspec.DecodeError: nor is it JSON when it is mended
    """
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decode(_mended(body))


def _mended(body: bytes) -> bytes:
    """What is replaced keeps its length, and an escaped backslash before `ud8..` its meaning."""
    if body.startswith(b"\xef\xbb\xbf"):
        body = b"   " + body[3:]
    return _surrogate(rb"\\ufffd", body).translate(_CONTROLS)
