"""Hostile upstreams: the status line, the fields, and answers before the answer."""

from awfproxy.wire.responses import HEAD_MAX, HEADERS_MAX, INTERIM_MAX
from tests.adversaries.cases import Answer, bad, down, whole

#: the plainest body there is
BODY = b"Content-Length: 2\r\n\r\nok"
LENGTH = b"Content-Length: 2"


def says(line: bytes, *fields: bytes) -> bytes:
    """An answer with this status line and these fields."""
    return b"\r\n".join((line, *fields, BODY))


def ok(*fields: bytes) -> bytes:
    """As the client gets it."""
    return down(b"200 OK", *fields, b"X-Request-ID: *", LENGTH, body=b"ok")


STATUS: tuple[Answer, ...] = (
    whole("plain", "RFC 9112 4", says(b"HTTP/1.1 200 OK"), ok()),
    whole("no reason", "RFC 9112 4", says(b"HTTP/1.1 200 "), down(b"200 ", b"X-Request-ID: *", LENGTH, body=b"ok")),
    whole("no space before no reason", "RFC 9112 4", says(b"HTTP/1.1 200"), down(b"200 ", b"X-Request-ID: *", LENGTH, body=b"ok")),
    whole("a reason in another language", "RFC 9112 4", says(b"HTTP/1.1 200 D\xe9j\xe0 vu"), down(b"200 D\xe9j\xe0 vu", b"X-Request-ID: *", LENGTH, body=b"ok")),
    whole("an unknown status", "RFC 9110 15", says(b"HTTP/1.1 299 Odd"), down(b"299 Odd", b"X-Request-ID: *", LENGTH, body=b"ok")),
    whole("HTTP/1.0 ends the connection", "RFC 9112 9.3", says(b"HTTP/1.0 200 OK"), ok(), kept=False),
    whole("line ends before it", "RFC 9112 2.2", b"\r\n" + says(b"HTTP/1.1 200 OK"), ok()),
    bad("an escape sequence in the reason", "terminal injection", says(b"HTTP/1.1 200 \x1b[2J")),
    bad("NUL in the reason", "RFC 9112 4", says(b"HTTP/1.1 200 O\x00K")),
    bad("a control character in the reason", "RFC 9112 4", says(b"HTTP/1.1 200 O\x01K")),
    bad("DEL in the reason", "RFC 9112 4", says(b"HTTP/1.1 200 O\x7fK")),
    bad("a bare carriage return in the reason", "response splitting", says(b"HTTP/1.1 200 OK\rX: y")),
    bad("a bare line feed behind the reason", "RFC 9112 2.2", says(b"HTTP/1.1 200 OK\nX: y")),
    bad("a reason without end", "limits", b"HTTP/1.1 200 " + b"a" * (HEAD_MAX + 100)),
    bad("HTTP/0.9", "HTTP/0.9", b"<html>hello</html>\r\n\r\n"),
    bad("HTTP/0.9 that looks like a head", "HTTP/0.9", b"ok: ok\r\n\r\n"),
    bad("HTTP/2.0", "RFC 9112 2.3", says(b"HTTP/2.0 200 OK")),
    bad("HTTP/1.2", "RFC 9112 2.3", says(b"HTTP/1.2 200 OK")),
    bad("http/1.1", "RFC 9112 2.3", says(b"http/1.1 200 OK")),
    whole("RTSP, which llhttp takes: what goes on is HTTP", "another protocol", says(b"RTSP/1.0 200 OK"), ok(), kept=False),
    bad("ICY", "another protocol", says(b"ICY 200 OK")),
    bad("frames of HTTP/2", "another protocol", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n"),
    bad("a TLS alert", "another protocol", b"\x15\x03\x01\x00\x02\x02\x16"),
    bad("SSH", "another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    bad("a status of two digits", "RFC 9112 4", says(b"HTTP/1.1 20 OK")),
    bad("a status of four digits", "RFC 9112 4", says(b"HTTP/1.1 2000 OK")),
    bad("a negative status", "RFC 9112 4", says(b"HTTP/1.1 -20 OK")),
    bad("a status of 000", "RFC 9110 15", says(b"HTTP/1.1 000 OK")),
    bad("a status of 099", "RFC 9110 15", says(b"HTTP/1.1 099 OK")),
    bad("a status of 600", "RFC 9110 15", says(b"HTTP/1.1 600 OK")),
    bad("a status of 999", "RFC 9110 15", says(b"HTTP/1.1 999 OK")),
    bad("a status that is none", "RFC 9112 4", says(b"HTTP/1.1 abc OK")),
    bad("two spaces before the status", "RFC 9112 4", says(b"HTTP/1.1  200 OK")),
    bad("no space behind the status", "RFC 9112 4", says(b"HTTP/1.1 200OK")),
    bad("a space before it", "RFC 9112 4", says(b" HTTP/1.1 200 OK")),
    bad("a request", "another protocol", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    bad("nothing", "early close", b"", ends=True),
    bad("half a status line", "early close", b"HTTP/1.1 20", ends=True),
    bad("half a head", "early close", b"HTTP/1.1 200 OK\r\nX: y\r\n", ends=True),
)  # fmt: skip

FIELDS: tuple[Answer, ...] = (
    whole("as it came", "RFC 9110 5", says(b"HTTP/1.1 200 OK", b"X-A: 1", b"x-a: 2", b"X-E:"), ok(b"X-A: 1", b"x-a: 2", b"X-E: ")),
    whole("blanks around a value", "RFC 9110 5.5", says(b"HTTP/1.1 200 OK", b"X-A: \t a \t "), ok(b"X-A: a")),
    whole("high bytes in a value", "RFC 9110 5.5", says(b"HTTP/1.1 200 OK", b"X-A: \xe9\x80"), ok(b"X-A: \xe9\x80")),
    whole("cookies", "cookies", says(b"HTTP/1.1 200 OK", b"Set-Cookie: a=b", b"set-cookie: c=d", b"Set-Cookie2: e=f"), ok()),
    whole("set_cookie", "underscores", says(b"HTTP/1.1 200 OK", b"Set_Cookie: a=b", b"Content_Length: 99", b"Transfer_Encoding: chunked"), ok()),
    whole("another way to it", "RFC 7838", says(b"HTTP/1.1 200 OK", b'Alt-Svc: h2="evil.example:443"'), ok()),
    whole("of the connection", "RFC 9110 7.6.1", says(b"HTTP/1.1 200 OK", b"Connection: keep-alive, x-a", b"Keep-Alive: timeout=5", b"X-A: 1", b"X-B: 2", b"Upgrade: h2c", b"Proxy-Authenticate: Basic", b"Trailer: x"), ok(b"X-B: 2")),
    whole("Connection takes no framing away", "RFC 9110 7.6.1", says(b"HTTP/1.1 200 OK", b"Connection: content-length, x-request-id"), ok()),
    whole("the proxy's own names", "spoofing", says(b"HTTP/1.1 200 OK", b"X-AWF-Budget: soft-cap", b"Via: 1.1 y", b"X-Forwarded-For: y", b"X-Upstream-Request-ID: y"), ok()),
    whole("an id of its own", "spoofing", says(b"HTTP/1.1 200 OK", b"X-Request-ID: theirs"), ok().replace(b"\r\nContent", b"\r\nX-Upstream-Request-ID: theirs\r\nContent")),
    whole("an id that is too long", "limits", says(b"HTTP/1.1 200 OK", b"X-Request-ID: " + b"y" * 300), ok()),
    whole("as many fields as are taken", "limits", says(b"HTTP/1.1 200 OK", *[b"X: y"] * (HEADERS_MAX - 1)), ok(*[b"X: y"] * (HEADERS_MAX - 1))),
    bad("one field more", "limits", says(b"HTTP/1.1 200 OK", *[b"X: y"] * HEADERS_MAX)),
    bad("fields without end", "endless headers", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000),
    bad("a value without end", "endless headers", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000),
    bad("a name without end", "endless headers", b"HTTP/1.1 200 OK\r\n" + b"y" * 200_000),
    bad("a folded value", "RFC 9112 5.2", says(b"HTTP/1.1 200 OK", b"X: a\r\n b")),
    bad("a value folded with a tab", "RFC 9112 5.2", says(b"HTTP/1.1 200 OK", b"X: a\r\n\tb")),
    bad("a space before the colon", "RFC 9112 5.1", says(b"HTTP/1.1 200 OK", b"X : a")),
    bad("no colon", "RFC 9112 5", says(b"HTTP/1.1 200 OK", b"nonsense")),
    bad("no name", "RFC 9110 5.1", says(b"HTTP/1.1 200 OK", b": a")),
    bad("a space in the name", "RFC 9110 5.1", says(b"HTTP/1.1 200 OK", b"X A: a")),
    bad("a high byte in the name", "RFC 9110 5.1", says(b"HTTP/1.1 200 OK", b"X\xe9: a")),
    bad("NUL in the name", "RFC 9110 5.1", says(b"HTTP/1.1 200 OK", b"X\x00: a")),
    bad("NUL in a value", "RFC 9110 5.5", says(b"HTTP/1.1 200 OK", b"X: a\x00b")),
    bad("a bare carriage return in a value", "response splitting", says(b"HTTP/1.1 200 OK", b"X: a\rSet-Cookie: b")),
    bad("a bare line feed in a value", "response splitting", says(b"HTTP/1.1 200 OK", b"X: a\nSet-Cookie: b")),
    bad("an escape sequence in a value", "terminal injection", says(b"HTTP/1.1 200 OK", b"X: \x1b[2J")),
    bad("DEL in a value", "RFC 9110 5.5", says(b"HTTP/1.1 200 OK", b"X: a\x7f")),
)  # fmt: skip

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

INTERIM: tuple[Answer, ...] = (
    whole("100 that nobody waits for", "RFC 9110 15.2.1", b"HTTP/1.1 100 Continue\r\n\r\n" + says(b"HTTP/1.1 200 OK"), ok()),
    whole("103", "RFC 8297", HINTS + says(b"HTTP/1.1 200 OK"), ok()),
    whole("as many as are taken", "endless 1xx", HINTS * INTERIM_MAX + says(b"HTTP/1.1 200 OK"), ok()),
    bad("one more", "endless 1xx", HINTS * (INTERIM_MAX + 1) + says(b"HTTP/1.1 200 OK")),
    bad("without end", "endless 1xx", HINTS * 5_000),
    bad("101 that nobody asked for", "RFC 9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + says(b"HTTP/1.1 200 OK")),
    bad("101 without an upgrade", "RFC 9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + says(b"HTTP/1.1 200 OK")),
    bad("one with a body", "RFC 9112 6.3", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + says(b"HTTP/1.1 200 OK")),
    bad("one with a chunked body", "RFC 9112 6.1", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + says(b"HTTP/1.1 200 OK")),
    bad("one and then the end", "early close", HINTS, ends=True),
    bad("an offer to upgrade in the answer", "RFC 9110 7.8", b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n\x81\x05hello"),
)  # fmt: skip
