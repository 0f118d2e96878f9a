"""One message of an AWS event stream: its frame, its headers, and what the JSON in it is worth.

Layout (AWS, "Event stream encoding"), integers big-endian: total length (4 bytes), length of the headers (4), CRC32 of
these 8, headers, payload, CRC32 of all before it.  A header is the name's length (1), the name, the value's type (1),
and the value.

* The prelude's checksum makes a length safe to follow; a message's own is looked at only if the message is to be read.
* What an event is worth is told by its name alone.  Adding one is adding a row to `EVENTS`.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

#: Bytes before the headers.
PRELUDE: Final = 12
#: Bytes of a message's own checksum, after the payload.
CHECKSUM: Final = 4
#: AWS's own bounds, as its SDKs check them (botocore.eventstream).
HEADERS_MAX: Final = 128 * 1024
PAYLOAD_MAX: Final = 24 * 1024 * 1024
#: Headers longer than this are not read: recorded ones have up to 110 bytes.
HEADERS_READ_MAX: Final = 4 * 1024
#: Blocks of headers that are remembered, with what they say: there is one for each kind of event.
_REMEMBERED: Final = 64
_REMEMBERED_MAX: Final = 512

# What an event is worth.
#: text and tool arguments, never usage
CONTENT: Final = 0
#: a document of Converse
DOCUMENT: Final = 1
#: the last document of Converse, with the usage
LAST: Final = 2
#: InvokeModel: the model's own document, in base64
WRAPPED: Final = 3
#: an event we do not know: a document, if it looks like one that matters
UNKNOWN: Final = 4
#: an exception, or an error
FAILURE: Final = 5
#: headers that cannot be read
ODD: Final = 6

#: By ``:event-type`` (AWS Bedrock Runtime API reference: ConverseStreamOutput, ResponseStream).
EVENTS: Final = {
    b"messageStart": CONTENT,
    b"contentBlockStart": CONTENT,
    b"contentBlockDelta": CONTENT,
    b"contentBlockStop": CONTENT,
    b"messageStop": DOCUMENT,
    b"metadata": LAST,
    b"chunk": WRAPPED,
}
#: By ``:message-type``, where it is not ``event``.
_FAILURES: Final = frozenset((b"exception", b"error"))

_INTEGERS: Final = Struct(">III")
_TOTAL_MIN: Final = PRELUDE + CHECKSUM
#: Bytes of a header's value by its type; 6 and 7 (bytes, text) tell their length in two bytes.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_TEXT: Final = 7
_LENGTH_TOLD: Final = (6, _TEXT)


def lengths(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Bytes of the message that begins at `at`, and of its headers; None: none begins there.

    Needs `PRELUDE` bytes.
    """
    total, headers, checksum = _INTEGERS.unpack_from(data, at)
    if crc32(data[at : at + 8]) != checksum:
        return None
    payload = total - headers - _TOTAL_MIN
    return (total, headers) if headers <= HEADERS_MAX and 0 <= payload <= PAYLOAD_MAX else None


def begins(head: bytes) -> bool | None:
    """Is this the beginning of an event stream?  None: too short to tell."""
    if len(head) >= PRELUDE:
        return lengths(head, 0) is not None
    return False if head[:1] > b"\x01" else None  # lengths of 24 MB begin with 0 or 1


def worth(headers: bytes) -> int:
    """What the event with these headers is worth: one of the above."""
    return _remembered(headers) if len(headers) <= _REMEMBERED_MAX else _worth(headers)


def _worth(headers: bytes) -> int:
    told: dict[bytes, bytes] = {}
    at, size = 0, len(headers)
    while at < size:
        name_end = at + 1 + headers[at]
        if name_end >= size:
            return ODD
        kind = headers[name_end]
        start = name_end + 1
        if kind in _LENGTH_TOLD:
            end = start + 2 + int.from_bytes(headers[start : start + 2], "big")
            if kind == _TEXT:
                told[headers[at + 1 : name_end]] = headers[start + 2 : end]
        elif kind in _SIZES:
            end = start + _SIZES[kind]
        else:
            return ODD
        if end > size:
            return ODD
        at = end
    if told.get(b":message-type") in _FAILURES:
        return FAILURE
    return EVENTS.get(told.get(b":event-type", b""), UNKNOWN)


_remembered = lru_cache(_REMEMBERED)(_worth)


class _Wrapped(msgspec.Struct, gc=False):
    """The payload of an InvokeModel chunk."""

    document: bytes = msgspec.field(default=b"", name="bytes")


_wrapped = msgspec.json.Decoder(_Wrapped)


def unwrap(payload: bytes) -> bytes | None:
    """The model's own document out of the payload of a `WRAPPED` event; None: it is broken."""
    try:
        return _wrapped.decode(payload).document
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
