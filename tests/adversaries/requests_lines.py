"""Hostile clients: the request line and the fields of a head."""

from awfproxy.wire.requests import HEAD_MAX, HEADERS_MAX
from tests.adversaries.cases import Request, asks, passes, refused, up, waits
from tests.adversaries.requests_lengths import HIDDEN


def line(data: bytes, *fields: bytes) -> bytes:
    """A request with this first line."""
    return asks(*fields, line=data)


VERSIONS: tuple[Request, ...] = (
    passes("HTTP/1.0 ends the connection", "RFC 9112 9.3", line(b"GET /a HTTP/1.0"), up(b"GET /a"), open=False),
    passes("HTTP/1.0 that asks to go on", "RFC 9112 9.3", line(b"GET /a HTTP/1.0", b"Connection: keep-alive"), up(b"GET /a")),
    passes("Connection: close", "RFC 9112 9.6", line(b"GET /a HTTP/1.1", b"Connection: close") + HIDDEN, up(b"GET /a"), open=False),
    passes("close among others", "RFC 9112 9.6", line(b"GET /a HTTP/1.1", b"Connection: x, Close , y"), up(b"GET /a"), open=False),
    refused("HTTP/0.9", "HTTP/0.9", b"GET /a\r\n\r\n"),
    refused("HTTP/0.9 in words", "HTTP/0.9", line(b"GET /a HTTP/0.9")),
    refused("HTTP/1.2", "RFC 9112 2.3", line(b"GET /a HTTP/1.2")),
    refused("HTTP/1.10", "RFC 9112 2.3", line(b"GET /a HTTP/1.10")),
    refused("HTTP/01.1", "RFC 9112 2.3", line(b"GET /a HTTP/01.1")),
    refused("HTTP/2.0", "RFC 9113 3", line(b"GET /a HTTP/2.0")),
    refused("HTTP/3", "RFC 9114", line(b"GET /a HTTP/3")),
    refused("http/1.1", "RFC 9112 2.3", line(b"GET /a http/1.1")),
    refused("HTTP/1,1", "RFC 9112 2.3", line(b"GET /a HTTP/1,1")),
    refused("HTTP/1.1x", "RFC 9112 2.3", line(b"GET /a HTTP/1.1x")),
    refused("HTTP 1.1", "RFC 9112 2.3", line(b"GET /a HTTP 1.1")),
    refused("HTTP/-1.1", "RFC 9112 2.3", line(b"GET /a HTTP/-1.1")),
    refused("RTSP/1.0, which llhttp takes", "another protocol", line(b"GET /a RTSP/1.0")),
    refused("ICE/1.0, which llhttp takes", "another protocol", line(b"SOURCE /a ICE/1.0")),
    refused("the preface of HTTP/2", "RFC 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("a TLS hello", "another protocol", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
    refused("SSH", "another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    refused("SMTP", "cross-protocol", b"EHLO h\r\nMAIL FROM:<a@b>\r\n\r\n"),
    refused("an answer", "another protocol", b"HTTP/1.1 200 OK\r\nHost: h\r\n\r\n"),
)  # fmt: skip

LINES: tuple[Request, ...] = (
    passes("empty lines before it", "RFC 9112 2.2", b"\r\n\r\n" + line(b"GET /a HTTP/1.1"), up(b"GET /a")),
    passes("a rare method", "RFC 9110 9", line(b"PROPFIND /a HTTP/1.1"), up(b"PROPFIND /a")),
    passes("OPTIONS", "RFC 9110 9.3.7", line(b"OPTIONS /a HTTP/1.1"), up(b"OPTIONS /a")),
    passes("TRACE", "RFC 9110 9.3.8", line(b"TRACE /a HTTP/1.1"), up(b"TRACE /a")),
    passes("another field tells the method", "method override", line(b"GET /a HTTP/1.1", b"X-HTTP-Method-Override: DELETE"), up(b"GET /a", b"X-HTTP-Method-Override: DELETE")),
    refused("an unknown method", "RFC 9112 3.1", line(b"FROB /a HTTP/1.1")),
    refused("a method in small letters", "RFC 9110 9.1", line(b"get /a HTTP/1.1")),
    refused("a method with a colon", "RFC 9112 3.1", line(b"GET: /a HTTP/1.1")),
    refused("a method behind a space", "RFC 9112 3", line(b" GET /a HTTP/1.1")),
    refused("no method", "RFC 9112 3", line(b"/a HTTP/1.1")),
    refused("two spaces after the method", "RFC 9112 3", line(b"GET  /a HTTP/1.1")),
    refused("two spaces after the target", "RFC 9112 3", line(b"GET /a  HTTP/1.1")),
    refused("a tab after the method", "RFC 9112 3", line(b"GET\t/a HTTP/1.1")),
    refused("a tab after the target", "RFC 9112 3", line(b"GET /a\tHTTP/1.1")),
    refused("a space behind the line", "RFC 9112 3", line(b"GET /a HTTP/1.1 ")),
    refused("a tab behind the line", "RFC 9112 3", line(b"GET /a HTTP/1.1\t")),
    refused("a space in the target", "RFC 9112 3.2", line(b"GET /a b HTTP/1.1")),
    refused("a second request line in the target", "request splitting", line(b"GET /a HTTP/1.1 GET /b HTTP/1.1")),
    refused("NUL before it", "RFC 9112 2.2", b"\x00" + line(b"GET /a HTTP/1.1")),
    refused("a space alone before it", "RFC 9112 2.2", b" \r\n" + line(b"GET /a HTTP/1.1")),
    refused("a byte order mark before it", "RFC 9112 2.2", b"\xef\xbb\xbf" + line(b"GET /a HTTP/1.1")),
    refused("a bare line feed before it", "RFC 9112 2.2", b"\n" + line(b"GET /a HTTP/1.1")),
    refused("a bare carriage return before it", "RFC 9112 2.2", b"\r" + line(b"GET /a HTTP/1.1")),
    refused("a bare line feed behind it", "RFC 9112 2.2", b"GET /a HTTP/1.1\nHost: h\r\n\r\n"),
    refused("a bare carriage return behind it", "RFC 9112 2.2", b"GET /a HTTP/1.1\rHost: h\r\n\r\n"),
    refused("line feeds alone", "RFC 9112 2.2", b"GET /a HTTP/1.1\nHost: h\n\n"),
    refused("the head ends with a bare line feed", "RFC 9112 2.2", b"GET /a HTTP/1.1\r\nHost: h\r\n\n" + HIDDEN),
    refused("CR CR LF", "RFC 9112 2.2", b"GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n"),
    waits("half a line", "early close", b"GET /a HT"),
    waits("a head without its empty line", "early close", b"GET /a HTTP/1.1\r\nHost: h\r\n"),
    waits("line ends alone", "RFC 9112 2.2", b"\r\n\r\n\r\n"),
)  # fmt: skip

FIELDS: tuple[Request, ...] = (
    passes("an empty value", "RFC 9110 5.5", asks(b"X-A:"), up(b"POST /a", b"X-A: ")),
    passes("blanks around a value", "RFC 9110 5.5", asks(b"X-A: \t a \t "), up(b"POST /a", b"X-A: a")),
    passes("high bytes in a value", "RFC 9110 5.5", asks(b"X-A: \xe9\x80"), up(b"POST /a", b"X-A: \xe9\x80")),
    passes("a tab in a value", "RFC 9110 5.5", asks(b"X-A: a\tb"), up(b"POST /a", b"X-A: a\tb")),
    passes("repeated fields keep their order", "RFC 9110 5.2", asks(b"X-A: 1", b"x-a: 2"), up(b"POST /a", b"X-A: 1", b"x-a: 2")),
    passes("as many fields as are taken", "limits", asks(*[b"X-A: y"] * (HEADERS_MAX - 1)), up(b"POST /a", *[b"X-A: y"] * (HEADERS_MAX - 1))),
    refused("one field more", "limits", asks(*[b"X-A: y"] * HEADERS_MAX)),
    refused("a head that is too long", "limits", asks(b"X-A: " + b"y" * HEAD_MAX)),
    refused("a head without end", "endless headers", b"GET /a HTTP/1.1\r\n" + b"X-A: y\r\n" * (HEAD_MAX // 7)),
    refused("a target without end", "limits", b"GET /" + b"a" * HEAD_MAX),
    refused("a name without end", "limits", b"GET /a HTTP/1.1\r\n" + b"a" * HEAD_MAX),
    refused("a folded value", "RFC 9112 5.2", asks(b"X-A: a\r\n b")),
    refused("a value folded with a tab", "RFC 9112 5.2", asks(b"X-A: a\r\n\tb")),
    refused("a folded first field", "RFC 9112 2.2", b"GET /a HTTP/1.1\r\n Host: h\r\n\r\n"),
    refused("an empty folded line", "RFC 9112 5.2", asks(b"X-A: a\r\n \r\nX-B: b")),
    refused("a space before the colon", "RFC 9112 5.1", asks(b"X-A : a")),
    refused("no colon", "RFC 9112 5", asks(b"nonsense")),
    refused("no name", "RFC 9110 5.1", asks(b": a")),
    refused("a space in the name", "RFC 9110 5.1", asks(b"X A: a")),
    refused("a bracket in the name", "RFC 9110 5.1", asks(b"X[A]: a")),
    refused("a quote in the name", "RFC 9110 5.1", asks(b'X"A: a')),
    refused("a high byte in the name", "RFC 9110 5.1", asks(b"X\xe9: a")),
    refused("NUL in a value", "RFC 9110 5.5", asks(b"X-A: a\x00b")),
    refused("a bare carriage return in a value", "RFC 9110 5.5", asks(b"X-A: a\rb")),
    refused("an escape sequence in a value", "terminal injection", asks(b"X-A: \x1b[2J")),
    refused("DEL in a value", "RFC 9110 5.5", asks(b"X-A: a\x7fb")),
    refused("a backspace in a value", "RFC 9110 5.5", asks(b"X-A: a\x08b")),
    refused("two types of content", "parser differential", asks(b"Content-Type: a/b", b"Content-Type: c/d")),
    refused("two codings of content", "parser differential", asks(b"Content-Encoding: gzip", b"Content-Encoding: br")),
)  # fmt: skip
