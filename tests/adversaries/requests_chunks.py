"""Hostile clients: chunks, their extensions, and trailers."""

from tests.adversaries.cases import Request, asks, passes, refused, up, waits
from tests.adversaries.requests_lengths import END, HIDDEN, TE


def body(data: bytes) -> bytes:
    """A chunked request with this body, framing and all."""
    return asks(TE, body=data)


CHUNKS: tuple[Request, ...] = (
    passes("many chunks", "RFC 9112 7.1", body(b"1\r\na\r\n" * 50 + END), up(b"POST /a", body=b"a" * 50)),
    passes("a size in capitals, with zeros", "RFC 9112 7.1", body(b"000A\r\n0123456789\r\n" + END), up(b"POST /a", body=b"0123456789")),
    passes("many zeros for the last", "RFC 9112 7.1", body(b"0000000000\r\n\r\n"), up(b"POST /a", body=b"")),
    passes("a chunk that holds line ends", "RFC 9112 7.1", body(b"9\r\n0\r\n\r\nGET \r\n" + END), up(b"POST /a", body=b"0\r\n\r\nGET ")),
    passes("the next request behind the last chunk", "RFC 9112 9.3.2", body(END) + HIDDEN, up(b"POST /a", body=b""), up(b"GET /hidden")),
    refused("a size with a sign", "RFC 9112 7.1", body(b"+1\r\na\r\n" + END)),
    refused("a negative size", "RFC 9112 7.1", body(b"-1\r\na\r\n" + END)),
    refused("a size in 0x", "RFC 9112 7.1", body(b"0x1\r\na\r\n" + END)),
    refused("no size", "RFC 9112 7.1", body(b"\r\na\r\n" + END)),
    refused("a size that is none", "RFC 9112 7.1", body(b"g\r\na\r\n" + END)),
    refused("space before the size", "RFC 9112 7.1", body(b" 1\r\na\r\n" + END)),
    refused("space after the size", "RFC 9112 7.1.1", body(b"1 \r\na\r\n" + END)),
    refused("tab after the size", "RFC 9112 7.1.1", body(b"1\t\r\na\r\n" + END)),
    refused("NUL after the size", "RFC 9112 7.1", body(b"1\x00\r\na\r\n" + END)),
    refused("an underscore in the size", "RFC 9112 7.1", body(b"1_0\r\na\r\n" + END)),
    refused("a point in the size", "RFC 9112 7.1", body(b"1.\r\na\r\n" + END)),
    refused("2^64: overflows to nothing", "integer overflow", body(b"10000000000000000\r\na\r\n" + END)),
    refused("2^64 + 1: overflows to one", "integer overflow", body(b"10000000000000001\r\na\r\n" + END)),
    waits("2^32 + 1: does not overflow to one", "integer overflow", body(b"100000001\r\na\r\n" + END), records=1),
    waits("2^63 - 1", "integer overflow", body(b"7fffffffffffffff\r\na\r\n" + END), records=1),
    refused("a chunk longer than its size", "RFC 9112 7.1", body(b"1\r\nab\r\n" + END)),
    refused("a chunk shorter than its size", "RFC 9112 7.1", body(b"3\r\nab\r\n" + END)),
    refused("no line end behind a chunk", "RFC 9112 7.1", body(b"1\r\na" + END)),
    refused("a bare line feed behind the size", "TERM.EXT", body(b"1\na\r\n" + END)),
    refused("a bare carriage return behind the size", "TERM.EXT", body(b"1\ra\r\n" + END)),
    refused("a bare line feed behind a chunk", "TERM.SPILL", body(b"1\r\na\n" + END)),
    refused("a bare carriage return behind a chunk", "TERM.SPILL", body(b"1\r\na\r" + END)),
    refused("two other bytes for the line end", "TERM.SPILL", body(b"1\r\naXX" + END)),
    refused("a bare line feed behind the last size", "TERM.EXT", body(b"0\n\r\n")),
    refused("bare line feeds at the end", "RFC 9112 7.1", body(b"0\n\n")),
    waits("no empty line at the end", "early close", body(b"0\r\n"), records=1),
    waits("a chunk that is not all there", "early close", body(b"5\r\nab"), records=1),
    waits("a size that is not all there", "early close", body(b"5"), records=1),
)  # fmt: skip

EXTENSIONS: tuple[Request, ...] = (
    passes("an extension", "RFC 9112 7.1.1", body(b"1;a=b\r\nx\r\n" + END), up(b"POST /a", body=b"x")),
    passes("one without a value", "RFC 9112 7.1.1", body(b"1;a\r\nx\r\n" + END), up(b"POST /a", body=b"x")),
    passes("one at the last chunk", "RFC 9112 7.1.1", body(b"0;a=b\r\n\r\n"), up(b"POST /a", body=b"")),
    passes("a quoted value", "RFC 9112 7.1.1", body(b'1;a="b c"\r\nx\r\n' + END), up(b"POST /a", body=b"x")),
    refused("a bare line feed in an extension", "TERM.EXT", body(b"1;a\nb\r\nx\r\n" + END)),
    refused("a bare line feed in a quoted value", "TERM.EXT", body(b'1;a="\n0"\r\nx\r\n' + END)),
    refused("a line end in a quoted value", "EXT.TERM", body(b'1;a="\r\n0\r\n\r\n"\r\nx\r\n' + END)),
    refused("a bare carriage return in an extension", "TERM.EXT", body(b"1;a\rb\r\nx\r\n" + END)),
    refused("NUL in an extension", "RFC 9112 7.1.1", body(b"1;a\x00\r\nx\r\n" + END)),
    refused("a space before the semicolon", "RFC 9112 7.1.1", body(b"1 ;a\r\nx\r\n" + END)),
    refused("an extension without end", "endless extension", body(b"1;" + b"a" * 20_000)),
    refused("a short extension at each of many chunks", "endless extension", body(b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 2000)),
)  # fmt: skip

TRAILERS: tuple[Request, ...] = (
    passes("a trailer is not passed on", "RFC 9110 6.5.1", body(b"0\r\nX-Sum: 1\r\n\r\n"), up(b"POST /a", body=b"")),
    passes("a trailer that frames", "RFC 9110 6.5.1", body(b"0\r\nContent-Type: a/b\r\n\r\n") + HIDDEN, up(b"POST /a", body=b""), up(b"GET /hidden")),
    passes("a Host in the trailers", "RFC 9110 6.5.1", body(b"0\r\nHost: evil.example\r\n\r\n"), up(b"POST /a", body=b"")),
    passes("a credential in the trailers", "RFC 9110 6.5.1", body(b"0\r\nAuthorization: Bearer theirs\r\n\r\n"), up(b"POST /a", body=b"")),
    refused("a length in the trailers", "RFC 9110 6.5.1", body(b"0\r\nContent-Length: 33\r\n\r\n") + HIDDEN),
    refused("a coding in the trailers", "RFC 9110 6.5.1", body(b"0\r\nTransfer-Encoding: chunked\r\n\r\n") + HIDDEN),
    refused("a trailer with a space before its colon", "RFC 9112 5.1", body(b"0\r\nX : 1\r\n\r\n")),
    refused("a folded trailer", "RFC 9112 5.2", body(b"0\r\nX: 1\r\n 2\r\n\r\n")),
    refused("a bare line feed in a trailer", "RFC 9112 2.2", body(b"0\r\nX: 1\nY: 2\r\n\r\n")),
    refused("a trailer without end", "endless trailers", body(b"0\r\nX: " + b"a" * 20_000)),
    refused("trailers without end", "endless trailers", body(b"0\r\n" + b"X: y\r\n" * 4000)),
    refused("a request line as a trailer", "TRAIL smuggling", body(b"0\r\nGET /hidden HTTP/1.1\r\n\r\n")),
)  # fmt: skip
