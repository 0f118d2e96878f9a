"""Hostile upstreams: where an answer's body ends, and what comes behind it."""

import gzip
import zlib

from awfproxy.wire.responses import TRAILERS_MAX
from tests.adversaries.answers_heads import ok, says
from tests.adversaries.cases import Answer, bad, cut, down, whole

#: what a smuggler wants another client to get
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
GONE = b"Connection: close"


def sends(*fields: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """An answer."""
    return b"\r\n".join((b"HTTP/1.1 " + status, *fields)) + b"\r\n\r\n" + body


def chunks(body: bytes) -> bytes:
    """An answer with a chunked body, framing and all."""
    return sends(CHUNKED, body=body)


def got(body: bytes, *fields: bytes, framing: bytes = CHUNKED) -> bytes:
    """What the client gets of it."""
    return down(b"200 OK", *fields, b"X-Request-ID: *", framing, body=body)


def counted(body: bytes, length: int | None = None, *fields: bytes) -> bytes:
    """The same with a length."""
    return got(body, *fields, framing=b"Content-Length: %d" % (len(body) if length is None else length))


LENGTHS: tuple[Answer, ...] = (
    whole("a length of zero", "RFC 9112 6.3", sends(b"Content-Length: 0"), counted(b"")),
    whole("leading zeros", "RFC 9110 8.6", sends(b"Content-Length: 0002", body=b"ok"), counted(b"ok")),
    whole("until the end", "RFC 9112 6.3", sends(body=b"ok"), got(b"ok"), ends=True),
    whole("until the end, and it looks like another", "response smuggling", sends(body=STOLEN), got(STOLEN), ends=True),
    whole("HTTP/1.0 until the end", "RFC 9112 6.3", b"HTTP/1.0 200 OK\r\n\r\nok", got(b"ok"), ends=True),
    whole("close, and a length", "RFC 9112 9.6", sends(GONE, b"Content-Length: 2", body=b"ok"), counted(b"ok"), kept=False),
    bad("two lengths", "CL.CL", sends(b"Content-Length: 2", b"Content-Length: 6", body=b"okokok")),
    bad("two equal lengths", "CL.CL", sends(b"Content-Length: 2", b"Content-Length: 2", body=b"ok")),
    bad("a list of lengths", "RFC 9110 8.6", sends(b"Content-Length: 2, 2", body=b"ok")),
    bad("a length with a sign", "RFC 9110 8.6", sends(b"Content-Length: +2", body=b"ok")),
    bad("a negative length", "RFC 9110 8.6", sends(b"Content-Length: -2", body=b"ok")),
    bad("a length in 0x", "RFC 9110 8.6", sends(b"Content-Length: 0x2", body=b"ok")),
    bad("a length with a point", "RFC 9110 8.6", sends(b"Content-Length: 2.0", body=b"ok")),
    bad("no number", "RFC 9110 8.6", sends(b"Content-Length:", body=b"ok")),
    bad("2^64 + 2", "integer overflow", sends(b"Content-Length: 18446744073709551618", body=b"ok")),
    bad("2^63 + 2: negative to some", "integer overflow", sends(b"Content-Length: 9223372036854775810", body=b"ok")),
    bad("a thousand digits", "integer overflow", sends(b"Content-Length: " + b"1" * 1000, body=b"ok")),
    bad("CL.TE", "CL.TE", sends(b"Content-Length: 2", CHUNKED, body=END)),
    bad("TE.CL", "TE.CL", sends(CHUNKED, b"Content-Length: 2", body=END)),
    cut("shorter than it says", "early close", sends(b"Content-Length: 9", body=b"ok"), counted(b"ok", 9), ends=True),
    whole("longer than it says", "response smuggling", sends(b"Content-Length: 2", body=b"ok" + STOLEN), counted(b"ok"), kept=False),
    whole("one byte longer", "response smuggling", sends(b"Content-Length: 2", body=b"okH"), counted(b"ok"), kept=False),
    whole("line ends behind it", "RFC 9112 2.2", sends(b"Content-Length: 2", body=b"ok\r\n\r\n"), counted(b"ok")),
    whole("another answer behind it", "response queue poisoning", says(b"HTTP/1.1 200 OK") + STOLEN, ok(), kept=False),
    whole("another interim answer behind it", "response queue poisoning", says(b"HTTP/1.1 200 OK") + b"HTTP/1.1 100 Continue\r\n\r\n", ok(), kept=False),
)  # fmt: skip

BODILESS: tuple[Answer, ...] = (
    whole("204", "RFC 9110 15.3.5", sends(status=b"204 No Content"), down(b"204 No Content", b"X-Request-ID: *")),
    whole("204 with a length", "RFC 9110 8.6", sends(b"Content-Length: 6", status=b"204 No Content"), down(b"204 No Content", b"X-Request-ID: *")),
    whole("204 with a body", "response smuggling", sends(b"Content-Length: %d" % len(STOLEN), body=STOLEN, status=b"204 No Content"), down(b"204 No Content", b"X-Request-ID: *"), kept=False),
    bad("204 that is chunked", "RFC 9112 6.1", sends(CHUNKED, body=END, status=b"204 No Content")),
    whole("304 with a length", "RFC 9110 15.4.5", sends(b"Content-Length: 6", status=b"304 Not Modified"), down(b"304 Not Modified", b"Content-Length: 6", b"X-Request-ID: *")),
    whole("304 with a body", "response smuggling", sends(b"Content-Length: %d" % len(STOLEN), body=STOLEN, status=b"304 Not Modified"), down(b"304 Not Modified", b"Content-Length: %d" % len(STOLEN), b"X-Request-ID: *"), kept=False),
    whole("to HEAD", "RFC 9110 9.3.2", sends(b"Content-Length: 6"), down(b"200 OK", b"Content-Length: 6", b"X-Request-ID: *"), method=b"HEAD"),
    whole("to HEAD, chunked", "RFC 9110 9.3.2", sends(CHUNKED), down(b"200 OK", b"X-Request-ID: *"), method=b"HEAD"),
    whole("to HEAD, with a body", "response smuggling", sends(b"Content-Length: %d" % len(STOLEN), body=STOLEN), down(b"200 OK", b"Content-Length: %d" % len(STOLEN), b"X-Request-ID: *"), method=b"HEAD", kept=False),
    whole("to HEAD, without a length", "RFC 9110 9.3.2", sends(), down(b"200 OK", b"X-Request-ID: *"), method=b"HEAD", kept=False),
    bad("to HEAD, with two lengths", "CL.CL", sends(b"Content-Length: 2", b"Content-Length: 6"), method=b"HEAD"),
    bad("to HEAD, CL.TE", "CL.TE", sends(b"Content-Length: 2", CHUNKED), method=b"HEAD"),
)  # fmt: skip

CODINGS: tuple[Answer, ...] = (
    whole("chunked", "RFC 9112 7.1", chunks(b"2\r\nok\r\n" + END), got(b"ok")),
    whole("chunked in any case", "RFC 9112 7", sends(b"tRaNsFeR-EnCoDiNg: ChUnKeD", body=b"2\r\nok\r\n" + END), got(b"ok")),
    whole("extensions", "RFC 9112 7.1.1", chunks(b'2;a=b;c="d"\r\nok\r\n0;e\r\n\r\n'), got(b"ok")),
    whole("long extensions", "limits", chunks(b"2;" + b"a" * 10_000 + b"\r\nok\r\n" + END), got(b"ok")),
    bad("gzip, chunked", "RFC 9112 7.2", sends(b"Transfer-Encoding: gzip, chunked", body=END)),
    bad("gzip", "RFC 9112 6.3", sends(b"Transfer-Encoding: gzip", body=b"ok"), ends=True),
    bad("identity", "RFC 9112 7", sends(b"Transfer-Encoding: identity", body=b"ok"), ends=True),
    bad("xchunked", "TE.TE", sends(b"Transfer-Encoding: xchunked", body=END)),
    bad("chunked twice", "TE.TE", sends(CHUNKED, CHUNKED, body=END)),
    bad("chunked, chunked", "RFC 9112 6.1", sends(b"Transfer-Encoding: chunked, chunked", body=END)),
    bad("vertical tab before it", "TE.TE", sends(b"Transfer-Encoding: \x0bchunked", body=END)),
    bad("space before its colon", "TE.TE", sends(b"Transfer-Encoding : chunked", body=END)),
    bad("folded", "TE.TE", sends(b"Transfer-Encoding:\r\n chunked", body=END)),
    whole("behind the last chunk", "response smuggling", chunks(b"2\r\nok\r\n" + END + STOLEN), got(b"ok"), kept=False),
    cut("no last chunk", "early close", chunks(b"2\r\nok\r\n"), got(b"ok"), ends=True),
    cut("half a last chunk", "early close", chunks(b"2\r\nok\r\n0\r\n"), got(b"ok"), ends=True),
    cut("half a chunk", "early close", chunks(b"9\r\nok"), got(b"ok"), ends=True),
    cut("a size that is none", "RFC 9112 7.1", chunks(b"2\r\nok\r\nzz\r\n"), got(b"ok")),
    cut("a size with a sign", "RFC 9112 7.1", chunks(b"2\r\nok\r\n+1\r\na\r\n"), got(b"ok")),
    cut("a size in 0x", "RFC 9112 7.1", chunks(b"2\r\nok\r\n0x1\r\na\r\n"), got(b"ok")),
    cut("a size of 2^64", "integer overflow", chunks(b"2\r\nok\r\n10000000000000000\r\na\r\n"), got(b"ok")),
    cut("a chunk longer than its size", "RFC 9112 7.1", chunks(b"2\r\nok\r\n1\r\nab\r\n"), got(b"oka")),
    cut("a bare line feed behind a size", "TERM.EXT", chunks(b"2\r\nok\r\n1\na\r\n"), got(b"ok")),
    cut("a bare line feed behind a chunk", "TERM.SPILL", chunks(b"2\r\nok\n0\r\n\r\n"), got(b"ok")),
    cut("a bare line feed in an extension", "TERM.EXT", chunks(b"2\r\nok\r\n1;a\nb\r\nx\r\n"), got(b"ok")),
    cut("an extension without end", "endless extension", chunks(b"2\r\nok\r\n1;" + b"a" * 1_000_000), got(b"ok")),
    whole("a trailer", "RFC 9112 7.1.2", chunks(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), got(b"ok")),
    whole("trailers that frame", "RFC 9110 6.5.1", chunks(b"2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nX-AWF-Budget: y\r\nAlt-Svc: y\r\nset_cookie: y\r\n\r\n"), got(b"ok")),
    cut("a length in the trailers", "RFC 9110 6.5.1", chunks(b"2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n"), got(b"ok")),
    cut("a trailer without end", "endless trailers", chunks(b"2\r\nok\r\n0\r\nX: " + b"a" * 1_000_000), got(b"ok")),
    cut("trailers without end", "endless trailers", chunks(b"2\r\nok\r\n0\r\n" + b"X: y\r\n" * (TRAILERS_MAX + 2)), got(b"ok")),
    cut("a bare line feed in a trailer", "response splitting", chunks(b"2\r\nok\r\n0\r\nX: a\nY: b\r\n\r\n"), got(b"ok")),
    cut("an answer for a trailer", "response smuggling", chunks(b"2\r\nok\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n"), got(b"ok")),
)  # fmt: skip

BOMB = gzip.compress(b"\0" * 3_000_000)
BOMB_OF_BOMBS = gzip.compress(gzip.compress(b"\0" * 30_000_000))
LINES = b'{"model":"a\\nb\\u0000\\u2028","usage":{"a\\nb":1}}\n'
JSON = b"Content-Type: application/json"

CONTENT: tuple[Answer, ...] = (
    whole("a gzip bomb", "compression bomb", sends(JSON, b"Content-Encoding: gzip", b"Content-Length: %d" % len(BOMB), body=BOMB), counted(BOMB, None, JSON, b"Content-Encoding: gzip")),
    whole("a bomb of bombs", "compression bomb", sends(JSON, b"Content-Encoding: gzip, gzip", b"Content-Length: %d" % len(BOMB_OF_BOMBS), body=BOMB_OF_BOMBS), counted(BOMB_OF_BOMBS, None, JSON, b"Content-Encoding: gzip, gzip")),
    whole("gzip that is none", "coding", sends(JSON, b"Content-Encoding: gzip", b"Content-Length: 2", body=b"{}"), counted(b"{}", None, JSON, b"Content-Encoding: gzip")),
    whole("half of a coding", "coding", sends(JSON, b"Content-Encoding: deflate", b"Content-Length: 5", body=zlib.compress(b"{}" * 99)[:5]), counted(zlib.compress(b"{}" * 99)[:5], None, JSON, b"Content-Encoding: deflate")),
    whole("codings without end", "coding", sends(JSON, b"Content-Encoding: " + b"gzip, " * 999 + b"gzip", b"Content-Length: 2", body=b"{}"), counted(b"{}", None, JSON, b"Content-Encoding: " + b"gzip, " * 999 + b"gzip")),
    whole("usage that would break a line of the records", "log injection", sends(JSON, b"Content-Length: %d" % len(LINES), body=LINES), counted(LINES, None, JSON)),
)  # fmt: skip
