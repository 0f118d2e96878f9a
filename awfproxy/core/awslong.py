"""One message of an AWS event stream that is too long to be kept: its JSON goes to the finder as it passes.

A long payload is an image or a long text in one piece.  That of an InvokeModel event is ``{"bytes":"<base64>"}``, whose
text is decoded as it passes, four characters to three bytes, so that memory stays that of the finder.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from zlib import crc32

from .awsmessage import CHECKSUM, CONTENT, FAILURE, HEADERS_READ_MAX, ODD, PRELUDE, WRAPPED, worth
from .finder import Finder
from .longevent import LongLine
from .outline import Outline, tree

#: The member of the payload that holds the model's own document.
_BYTES = tree({"bytes": 1})


class _Unwrapping(Finder):
    """Hands on what the base64 text under ``bytes`` decodes to."""

    __slots__ = ("_document", "_over", "_rest")

    def __init__(self, document: Finder) -> None:
        super().__init__(lambda outline, whole: None, _BYTES)
        self._document = document
        #: characters of a group of four that is not complete
        self._rest = b""
        #: the text has ended, or is none
        self._over = False

    @property
    def sound(self) -> bool:
        """The text was base64 to its end."""
        return not self._rest and not self.broken

    def _keep(self, part: bytes) -> None:
        if self._node.path != "bytes" or self._captured is None:
            return
        text = self._rest + part.replace(b"\\/", b"/").replace(b'"', b"")
        whole = len(text) & ~3
        self._rest = text[whole:]
        if not whole or self._over:
            return
        try:
            self._document.feed(a2b_base64(text[:whole], strict_mode=True))
        except Error:
            self._over = True
            self._rest = b"?"
        else:
            self._over = text[whole - 1 : whole] == b"="


class LongMessage:
    """Feed it the message from its first byte to its last."""

    __slots__ = ("_checksum", "_headers", "_line", "_payload_left", "_reader", "_tail", "kind", "left")

    def __init__(self, total: int, headers: int) -> None:
        #: bytes that are still to come
        self.left = total
        #: what it is worth (`awsmessage`), once the headers are there
        self.kind = ODD
        #: prelude and headers, until they are complete; None then
        self._headers: bytearray | None = bytearray()
        self._payload_left = PRELUDE + headers
        self._checksum = 0
        self._tail = b""
        self._line = LongLine()
        self._reader: Finder | None = None

    def feed(self, data: bytes) -> None:
        """The next piece; at most `left` bytes."""
        self.left -= len(data)
        if self._headers is not None:
            data = self._read_headers(data)
        body = data[: self._payload_left]
        self._payload_left -= len(body)
        self._tail += data[len(body) :]
        if self._reader is not None:
            self._checksum = crc32(body, self._checksum)
            self._reader.feed(body)

    def _read_headers(self, data: bytes) -> bytes:
        """What comes after the headers in this piece."""
        assert self._headers is not None
        part, rest = data[: self._payload_left], data[self._payload_left :]
        self._payload_left -= len(part)
        if len(self._headers) <= HEADERS_READ_MAX:
            self._headers += part
        if self._payload_left == 0:
            begun, self._headers = bytes(self._headers), None
            self._payload_left = self.left + len(rest) - CHECKSUM
            if len(begun) <= HEADERS_READ_MAX:
                self.kind = worth(begun[PRELUDE:])
            if self.kind not in (CONTENT, FAILURE, ODD):
                self._checksum = crc32(begun)
                self._reader = _Unwrapping(self._line.finder) if self.kind == WRAPPED else self._line.finder
        return rest

    @property
    def read(self) -> bool:
        """Its payload was read, not only passed over."""
        return self._reader is not None

    @property
    def sound(self) -> bool:
        """Its checksum is right; known when nothing is left."""
        return int.from_bytes(self._tail, "big") == self._checksum

    def finish(self) -> Outline | None:
        """The message is over; None when its payload is not one JSON object."""
        outline = self._line.finish()
        wrapped = isinstance(self._reader, _Unwrapping) and not self._reader.sound
        return outline if self._line.whole and not wrapped else None
