"""Messages of an AWS event stream (``application/vnd.amazon.eventstream``): lengths, headers, payload, two CRC-32s.

Layout: docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html, which all AWS event streams share: total
length and headers' length, each four bytes and big-endian, the CRC of those eight bytes, headers, payload, the CRC of
everything before it.  A header is one byte of name length, the name, one byte of type (7: text), two of length, text.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from awfproxy.simulator.answers import as_json

CONTENT_TYPE = "application/vnd.amazon.eventstream"
#: type of a header whose value is text
_TEXT = 7
#: bytes around headers and payload
_AROUND = 16


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", _AROUND + len(head) + len(payload), len(head))
    body = b"".join((prelude, struct.pack(">I", zlib.crc32(prelude)), head, payload))
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, value: Any) -> bytes:
    """A message with an event of this type."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, as_json(value))


def exception(kind: str, text: str) -> bytes:
    """A message that says that something went wrong."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, as_json({"message": text}))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _TEXT, len(value)) + value
