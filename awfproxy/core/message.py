"""The heads of one HTTP/1.1 exchange, as plain values.

`wire` makes them from bytes that llhttp and our own head rules accepted; everything above reads them.  A header is a
triple (lower-case name, name as received, value), so that a name is folded once and still goes on as it came.
"""

from __future__ import annotations

Header = tuple[bytes, bytes, bytes]


class RequestHead:
    """A request's line and headers.

    ``fields`` maps a lower-case name to its last value; names that must not repeat (host, content-length,
    transfer-encoding) have been checked by `wire`.
    """

    __slots__ = (
        "chunked", "content_length", "expect_continue", "fields", "headers", "keep_alive", "method", "minor", "target",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        headers: list[Header],
        fields: dict[bytes, bytes],
        content_length: int | None,
        chunked: bool,
        keep_alive: bool,
        expect_continue: bool,
    ) -> None:
        self.method = method
        #: request target in origin form, as sent (path and query, undecoded)
        self.target = target
        #: 0 or 1, of HTTP/1.x
        self.minor = minor
        self.headers = headers
        self.fields = fields
        #: bytes of the body; None: not said
        self.content_length = content_length
        self.chunked = chunked
        self.keep_alive = keep_alive
        #: the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1)
        self.expect_continue = expect_continue


class ResponseHead:
    """A final response's status line and headers (never a 1xx)."""

    __slots__ = ("chunked", "content_length", "fields", "headers", "keep_alive", "minor", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        minor: int,
        headers: list[Header],
        fields: dict[bytes, bytes],
        content_length: int | None,
        chunked: bool,
        keep_alive: bool,
    ) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self.headers = headers
        self.fields = fields
        self.content_length = content_length
        self.chunked = chunked
        self.keep_alive = keep_alive
