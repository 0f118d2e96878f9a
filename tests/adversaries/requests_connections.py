"""Hostile clients: more than one request, what is said of the connection, and what only the proxy may say."""

from tests.adversaries.cases import Request, asks, passes, refused, up, waits
from tests.adversaries.requests_lengths import END, HIDDEN, TE, length

BAD = b"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"Connection: Upgrade"

PIPELINES: tuple[Request, ...] = (
    passes("two at once", "RFC 9112 9.3.2", GET + HIDDEN, up(b"GET /a"), up(b"GET /hidden")),
    passes("twenty at once", "RFC 9112 9.3.2", GET * 20, *[up(b"GET /a")] * 20),
    passes("bodies and none in turns", "RFC 9112 9.3.2", (asks(length(b"1"), body=b"x") + asks(TE, body=b"1\r\ny\r\n" + END) + GET) * 2,
           *(up(b"POST /a", body=b"x"), up(b"POST /a", body=b"y"), up(b"GET /a")) * 2),
    passes("empty lines between", "RFC 9112 2.2", GET + b"\r\n\r\n" + HIDDEN, up(b"GET /a"), up(b"GET /hidden")),
    refused("nothing behind a refusal", "pipelining after a refusal", BAD + HIDDEN),
    refused("nor behind one in a body", "pipelining after a refusal", asks(TE, body=b"x\r\n") + HIDDEN),
    refused("a good one before a bad one", "pipelining", GET + BAD + HIDDEN, 400, up(b"GET /a")),
    refused("rubbish behind a body", "RFC 9112 9.3.2", asks(length(b"1"), body=b"xyz\r\n\r\n"), 400, up(b"POST /a", body=b"x")),
    refused("one byte too many", "RFC 9112 9.3.2", asks(length(b"1"), body=b"xG") + HIDDEN, 400, up(b"POST /a", body=b"x")),
    refused("a body of one that was refused is not read as a request", "CL.0",
            asks(b"Origin: null", length(b"%d" % len(HIDDEN)), body=HIDDEN), 403),
    refused("nor a chunked one", "CL.0", asks(b"Origin: null", TE, body=b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + END), 403),
    refused("a refusal by target ends with its body", "CL.0", asks(length(b"%d" % len(HIDDEN)), line=b"POST /../a HTTP/1.1", body=HIDDEN)),
    Request("a refusal without a body goes on", "RFC 9112 9.3", asks(b"Origin: null") + HIDDEN, (up(b"GET /hidden"),), (403, 200), open=True, records=2),
)  # fmt: skip

EXPECTATIONS: tuple[Request, ...] = (
    passes("100-continue", "RFC 9110 10.1.1", asks(b"Expect: 100-continue", length(b"3"), body=b"abc"), up(b"POST /a", body=b"abc"), interim=(100,)),
    passes("in any case", "RFC 9110 10.1.1", asks(b"expect: 100-Continue", length(b"3"), body=b"abc"), up(b"POST /a", body=b"abc"), interim=(100,)),
    passes("of nothing", "RFC 9110 10.1.1", asks(b"Expect: 100-continue"), up(b"POST /a")),
    passes("of a length of zero", "Expect games", asks(b"Expect: 100-continue", length(b"0")) + HIDDEN, up(b"POST /a", body=b""), up(b"GET /hidden")),
    passes("of HTTP/1.0", "RFC 9110 10.1.1", asks(b"Expect: 100-continue", length(b"3"), line=b"POST /a HTTP/1.0", body=b"abc"), up(b"POST /a", body=b"abc"), open=False),
    passes("something else", "Expect games", asks(b"Expect: 200-ok", length(b"3"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("with something before it", "Expect games", asks(b"Expect: y 100-continue", length(b"3"), body=b"abc"), up(b"POST /a", body=b"abc")),
    passes("with a body that looks like a request", "Expect games, 0.CL", asks(b"Expect: 100-continue", length(b"%d" % len(HIDDEN)), body=HIDDEN), up(b"POST /a", body=HIDDEN), interim=(100,)),
    refused("of what is refused", "RFC 9110 10.1.1", asks(b"Expect: 100-continue", b"Origin: null", length(b"3")), 403),
    refused("of more than is taken", "RFC 9110 10.1.1", asks(b"Expect: 100-continue", length(b"99999999999")), 413),
)  # fmt: skip

UPGRADES: tuple[Request, ...] = (
    passes("h2c is passed over", "RFC 9110 7.8", asks(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", line=b"GET /a HTTP/1.1"), up(b"GET /a")),
    passes("h2c smuggling: what follows is HTTP/1.1", "h2c smuggling", asks(UPGRADE, b"Upgrade: h2c", line=b"GET /a HTTP/1.1") + HIDDEN, up(b"GET /a"), up(b"GET /hidden")),
    passes("h2c with a body", "h2c smuggling", asks(UPGRADE, b"Upgrade: h2c", length(b"3"), body=b"abc") + HIDDEN, up(b"POST /a", body=b"abc"), up(b"GET /hidden")),
    passes("TLS within HTTP", "RFC 2817", asks(UPGRADE, b"Upgrade: TLS/1.0", line=b"OPTIONS /a HTTP/1.1"), up(b"OPTIONS /a")),
    refused("h2c, and then the preface", "h2c smuggling", asks(UPGRADE, b"Upgrade: h2c", line=b"GET /a HTTP/1.1") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, up(b"GET /a")),
    refused("WebSocket", "RFC 6455 4.1", asks(UPGRADE, b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13", line=b"GET /a HTTP/1.1"), 426, open=True),
    Request("WebSocket, and a frame", "WebSocket smuggling", asks(UPGRADE, b"Upgrade: websocket", b"Sec-WebSocket-Version: 777", line=b"GET /a HTTP/1.1") + b"\x81\x85\r\n\r\n", answers=(426, 400), records=2),
)  # fmt: skip

OWN: tuple[Request, ...] = (
    passes("the client's credentials", "credentials", asks(b"Authorization: Bearer theirs", b"X-Api-Key: theirs", b"api-key: theirs", b"Cookie: theirs=1", b"Proxy-Authorization: Basic dGhlaXJz"), up(b"POST /a")),
    passes("with underscores", "underscores", asks(b"X_Api_Key: theirs", b"api_key: theirs", b"Proxy_Authorization: x"), up(b"POST /a")),
    passes("Connection names ours", "RFC 9110 7.6.1", asks(b"Connection: authorization, x-request-id, host"), up(b"POST /a")),
    passes("Connection names theirs", "RFC 9110 7.6.1", asks(b"Connection: x-a", b"X-A: 1", b"X-B: 2"), up(b"POST /a", b"X-B: 2")),
    passes("the proxy's own names", "spoofing", asks(b"X-AWF-User: root", b"X-AWF-Anything: y", b"X-Forwarded-For: 127.0.0.1", b"Via: 1.1 y"), up(b"POST /a")),
    passes("a request id that is none", "injection", asks(b'X-Request-ID: a"b{}\\'), up(b"POST /a")),
    waits("an expectation whose body does not come", "Expect games", asks(length(b"3")), records=1),
)  # fmt: skip
