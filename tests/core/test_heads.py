"""The heads that go upstream and to the client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.heads import (
    REMEMBERED_MAX,
    RequestRules,
    ResponseRules,
    client_request_id,
    upstream_request_id,
    wants_websocket,
)
from awfproxy.core.message import RequestHead, ResponseHead
from awfproxy.core.providers import PROVIDERS

KEY = b"sk-real-key"
Headers = list[tuple[bytes, bytes]]


def rules(
    provider: str = "openai",
    host: bytes = b"api.example.com",
    base: bytes = b"/v1",
    credential: bytes | None = KEY,
    credential_header: bytes | None = None,
) -> RequestRules:
    """A port's rules, with a key."""
    return RequestRules(
        PROVIDERS[provider],
        host=host,
        base=base,
        credential=credential,
        credential_header=credential_header,
        interaction_id=b"interaction-1",
    )


def request(headers: Headers, method: bytes = b"POST", target: bytes = b"/v1/chat/completions") -> RequestHead:
    """A request as `wire` makes it."""
    triples = [(name.lower(), name, value) for name, value in headers]
    return RequestHead(method, target, 1, triples, {low: value for low, _, value in triples}, 2, False, True, False)


def response(headers: Headers, status: int = 200, reason: bytes = b"OK", length: int | None = 5) -> ResponseHead:
    """A response as `wire` makes it."""
    triples = [(name.lower(), name, value) for name, value in headers]
    return ResponseHead(status, reason, 1, triples, {low: value for low, _, value in triples}, length, False, True)


def parsed(head: bytes) -> tuple[bytes, Headers]:
    """First line and headers (lower-case names) of a head."""
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    pairs = [line.split(b": ", 1) for line in lines]
    return first, [(name.lower(), value) for name, value in pairs]


def upstream(
    headers: Headers, provider: str = "openai", streaming: bool = False, rewritten: bool = False, **more: Any
) -> dict[bytes, bytes]:
    """The headers that go upstream for those of the client; none may be there twice."""
    head = rules(provider, **more).head(
        request(headers), b"/v1/chat/completions", 2, b"ours-1", streaming=streaming, rewritten=rewritten
    )
    _, pairs = parsed(head)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def client(headers: Headers, framing: str = "content-length", status: int = 200, **more: object) -> dict[bytes, bytes]:
    """The headers that go to the client for those of the upstream."""
    head = ResponseRules().head(
        response(headers, status),
        b"ours-1",
        framing=framing,
        client_minor=0 if more.get("old") else 1,
        close=bool(more.get("close")),
    )
    _, pairs = parsed(head)
    return dict(pairs)


def test_a_whole_request_head() -> None:
    """What an SDK sends, and the bytes that go upstream."""
    sdk = request(
        [
            (b"Host", b"127.0.0.1:10000"),
            (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
            (b"Connection", b"keep-alive"),
            (b"authorization", b"Bearer placeholder"),
            (b"content-type", b"application/json"),
            (b"User-Agent", b"OpenAI/Python"),
            (b"x-stainless-lang", b"python"),
            (b"Content-Length", b"99"),
        ]
    )
    port = rules()
    target = port.target(sdk.target)
    assert target is not None
    assert port.head(sdk, target, 41, b"ours-1", streaming=False) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"Host: api.example.com\r\n"
        b"Authorization: Bearer sk-real-key\r\n"
        b"content-type: application/json\r\n"
        b"User-Agent: OpenAI/Python\r\n"
        b"x-stainless-lang: python\r\n"
        b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
        b"X-Request-ID: ours-1\r\n"
        b"Content-Length: 41\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize(
    ("provider", "injected"),
    [
        ("openai", {b"authorization": b"Bearer " + KEY}),
        ("anthropic", {b"x-api-key": KEY, b"anthropic-version": b"2023-06-01"}),
        (
            "copilot",
            {
                b"authorization": b"Bearer " + KEY,
                b"copilot-integration-id": b"agentic-workflows",
                b"x-initiator": b"agent",
                b"x-interaction-id": b"interaction-1",
            },
        ),
        ("gemini", {b"x-goog-api-key": KEY}),
        ("vertex", {b"x-goog-api-key": KEY}),
        ("generic", {b"authorization": b"Bearer " + KEY}),
    ],
)
def test_credentials(provider: str, injected: dict[bytes, bytes]) -> None:
    """All of the client's go, wherever it put them; the port's own comes, and nothing else."""
    theirs = [
        (b"Authorization", b"Bearer theirs"),
        (b"AUTHORIZATION", b"Basic theirs"),
        (b"Proxy-Authorization", b"theirs"),
        (b"X-Api-Key", b"theirs"),
        (b"api-key", b"theirs"),
        (b"x-goog-api-key", b"theirs"),
        (b"x-amz-security-token", b"theirs"),
        (b"Cookie", b"a=theirs"),
        (b"Cookie2", b"theirs"),
    ]
    common = {b"host": b"api.example.com", b"x-request-id": b"ours-1", b"content-length": b"2"}
    assert upstream(theirs, provider) == common | injected


def test_credential_header() -> None:
    """The header that the settings name gets the bare key, `authorization` gets it with Bearer."""
    sent = upstream([(b"X-Team-Key", b"theirs")], "generic", credential_header=b"X-Team-Key")
    assert sent[b"x-team-key"] == KEY
    assert b"authorization" not in sent
    sent = upstream([], "anthropic", credential_header=b"Authorization")
    assert sent[b"authorization"] == b"Bearer " + KEY
    assert b"x-api-key" not in sent


def test_no_credential_is_no_header() -> None:
    """A port that needs none sends none, and the client's does not pass in its place."""
    assert b"authorization" not in upstream([(b"Authorization", b"Bearer theirs")], credential=None)


@pytest.mark.parametrize(
    ("host", "value"),
    [
        (b"api.githubcopilot.com", b"Bearer " + KEY),
        (b"api.enterprise.githubcopilot.com", b"token " + KEY),
        (b"api.business.githubcopilot.com:8443", b"token " + KEY),
        (b"[::1]:8443", b"Bearer " + KEY),
    ],
)
def test_copilot_scheme(host: bytes, value: bytes) -> None:
    """The scheme is told by the upstream's host, whatever its port."""
    assert upstream([], "copilot", host=host)[b"authorization"] == value


def test_defaults_yield_to_the_client() -> None:
    """What the client says with a value stays, in its own spelling of the name; an empty one is not said."""
    sent = upstream([(b"X-Initiator", b"user"), (b"copilot-integration-id", b"vscode-chat")], "copilot")
    assert (sent[b"x-initiator"], sent[b"copilot-integration-id"]) == (b"user", b"vscode-chat")
    assert upstream([(b"anthropic-version", b"2026-10-21")], "anthropic")[b"anthropic-version"] == b"2026-10-21"
    assert upstream([(b"X-Initiator", b"")], "copilot")[b"x-initiator"] == b"agent"
    assert upstream([(b"X-Interaction-Id", b"")], "copilot")[b"x-interaction-id"] == b"interaction-1"
    # taken away by the client's own Connection: as if it had not been sent
    gone = [(b"Connection", b"x-initiator, anthropic-version"), (b"X-Initiator", b"user"), (b"anthropic-version", b"1")]
    assert upstream(gone, "copilot")[b"x-initiator"] == b"agent"
    assert upstream(gone, "anthropic")[b"anthropic-version"] == b"2023-06-01"
    assert upstream([*gone, (b"Connection", b"close")], "copilot")[b"x-initiator"] == b"agent"
    assert upstream([(b"X-Initiator", b""), (b"x-initiator", b"user")], "copilot")[b"x-initiator"] == b"user"


@pytest.mark.parametrize(
    "name",
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings proxy-authenticate "
    b"expect forwarded via x-forwarded-for x-forwarded-host x-forwarded-anything x-awf-user x-awf-anything "
    b"content-length".split(),
)
def test_what_stays_on_this_side(name: bytes) -> None:
    """Fields of the connection and of the way, and our own, whatever their case."""
    sent = upstream([(name.title(), b"77"), (b"Accept", b"*/*")])
    assert sent.get(name) in (None, b"2")
    assert sent[b"accept"] == b"*/*"


@pytest.mark.parametrize(
    "name",
    b"Transfer_Encoding Content_Length X_Api_Key Proxy_Authorization x_forwarded_for X_AWF_User cookie2 HTTP2_Settings".split(),
)
def test_what_stays_on_this_side_under_another_name(name: bytes) -> None:
    """Gateways by CGI's rules read `_` and `-` alike; other names with `_` pass (agents send them)."""
    sent = upstream([(name, b"77"), (b"session_id", b"1"), (b"Content-Type", b"a/b")])
    assert name.lower() not in sent
    assert (sent[b"session_id"], sent[b"content-type"]) == (b"1", b"a/b")


def test_connection_names_headers_to_drop() -> None:
    """RFC 9110 section 7.6.1, over several Connection fields; a body keeps its type, the key is not to be had."""
    sent = upstream(
        [
            (b"Connection", b"close, X-One ,x-two"),
            (b"connection", b"Content-Type, authorization, host, x-request-id"),
            (b"X-One", b"1"),
            (b"x-two", b"2"),
            (b"X-Three", b"3"),
            (b"Content-Type", b"application/json"),
        ]
    )
    assert b"x-one" not in sent
    assert b"x-two" not in sent
    assert sent[b"x-three"] == b"3"
    assert sent[b"content-type"] == b"application/json"
    assert sent[b"authorization"] == b"Bearer " + KEY
    assert sent[b"host"] == b"api.example.com"
    assert sent[b"x-request-id"] == b"ours-1"


def test_everything_else_passes_as_it_came() -> None:
    """Order, case, repetition, empty and odd values."""
    theirs: Headers = [
        (b"anthropic-BETA", b"a"),
        (b"Anthropic-Beta", b"b,c"),
        (b"X-Empty", b""),
        (b"OpenAI-Organization", b"org"),
        (b"x-odd", b"\xff \x80\t!"),
        (b"xx-awf-user", b"not ours"),
    ]
    head = rules().head(request(theirs), b"/", None, b"ours-1", streaming=False)
    lines = head.split(b"\r\n")[3:]
    assert lines[: len(theirs)] == [name + b": " + value for name, value in theirs]


def test_accept_encoding() -> None:
    """Reduced to what we read; identity on streams; several fields are one list; none stays none."""
    assert b"accept-encoding" not in upstream([])
    assert upstream([(b"Accept-Encoding", b"gzip, dcb")])[b"accept-encoding"] == b"gzip"
    assert upstream([(b"Accept-Encoding", b"dcb"), (b"accept-encoding", b"br")])[b"accept-encoding"] == b"br"
    assert upstream([(b"Accept-Encoding", b"gzip")], streaming=True)[b"accept-encoding"] == b"identity"
    assert upstream([], streaming=True)[b"accept-encoding"] == b"identity"


def test_lengths() -> None:
    """The length that is told, none for no body, chunked where it is not known."""
    port, get = rules(), request([(b"Content-Length", b"5"), (b"Transfer-Encoding", b"gzip")], b"GET")

    def framing(length: int | None, chunked: bool = False) -> dict[bytes, bytes]:
        _, pairs = parsed(port.head(get, b"/v1/models", length, b"ours-1", streaming=False, chunked=chunked))
        return {name: value for name, value in pairs if name in (b"content-length", b"transfer-encoding")}

    assert framing(None) == {}
    assert framing(0) == {b"content-length": b"0"}
    assert framing(None, chunked=True) == {b"transfer-encoding": b"chunked"}


def test_a_rewritten_body_loses_what_described_its_bytes() -> None:
    """Coding and digests of the client's bytes are wrong for ours; its type is right."""
    theirs = [
        (b"Content-Encoding", b"gzip"),
        (b"Content-MD5", b"x"),
        (b"Content-Digest", b"x"),
        (b"Content-Type", b"application/json"),
    ]
    assert upstream(theirs)[b"content-encoding"] == b"gzip"
    sent = upstream(theirs, rewritten=True)
    assert sent[b"content-type"] == b"application/json"
    assert not {b"content-encoding", b"content-md5", b"content-digest"} & set(sent)


@pytest.mark.parametrize(
    ("value", "forwarded"),
    [(b"req-42", b"req-42"), (b"", b"ours-1"), (b"a b", b"ours-1"), (b"x" * 500, b"ours-1"), (b"\xff", b"ours-1")],
)
def test_request_id(value: bytes, forwarded: bytes) -> None:
    """The client's valid one goes on, else ours."""
    assert upstream([(b"x-request-id", value)])[b"x-request-id"] == forwarded
    mine = client_request_id(request([(b"X-Request-Id", value)]))
    assert mine == (value if forwarded == value else None)


def test_target() -> None:
    """Joined to the base, keys stripped where the provider takes them in the query, None when refused."""
    assert rules().target(b"/chat/completions?key=x") == b"/v1/chat/completions?key=x"
    assert rules("gemini", base=b"").target(b"/v1beta/models?key=x&alt=sse") == b"/v1beta/models?alt=sse"
    assert rules().target(b"/../x") is None
    assert rules().target(b"http://evil.example/") is None


def test_memory_does_not_follow_clients() -> None:
    """Names and targets are not remembered without end, and are judged the same when they are not."""
    port = rules()
    for number in range(REMEMBERED_MAX * 2):
        odd = b"x-forwarded-%d" % number
        assert odd not in port.head(request([(odd, b"1")]), b"/", None, b"ours-1", streaming=False)
        assert port.target(b"/chat/%d" % number) == b"/v1/chat/%d" % number
    assert len(port._verdicts) <= REMEMBERED_MAX
    assert len(port._targets) <= REMEMBERED_MAX


header_names = st.sampled_from(
    b"connection authorization x-api-key cookie host content-length transfer-encoding x-awf-run via accept x-a x-b "
    b"content-type x-request-id accept-encoding x-initiator".split()
).flatmap(lambda name: st.sampled_from([name, name.title(), name.upper()]))
header_values = st.sampled_from(
    [b"", b"x", b"close", b"x-a, authorization", b"theirs", b"gzip", b"a\r\nInjected: 1", b"a\nb", b"a\x00b"]
)


@given(st.lists(st.tuples(header_names, header_values), max_size=8), st.sampled_from(sorted(PROVIDERS)), st.booleans())
def test_no_client_can_change_what_is_ours(theirs: Headers, provider: str, streaming: bool) -> None:
    """Law: whatever the headers, one Host, one credential, one length, and no line that nobody sent."""
    head = rules(provider).head(request(theirs), b"/v1/x", 2, b"ours-1", streaming=streaming)
    first, pairs = parsed(head)
    assert first == b"POST /v1/x HTTP/1.1"
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    assert values[b"host"] == [b"api.example.com"]
    assert values[b"content-length"] == [b"2"]
    assert sum(KEY in value for _, value in pairs) == 1
    assert len(values.get(b"authorization", [])) + len(values.get(b"x-api-key", [])) <= 1
    assert not {b"cookie", b"transfer-encoding", b"via", b"x-awf-run", b"connection", b"injected"} & set(values)
    assert not set(b"\r\n\0") & set(head.replace(b"\r\n", b""))


def test_a_whole_response_head() -> None:
    """What a provider sends, and the bytes for the client."""
    head = ResponseRules().head(
        response(
            [
                (b"Date", b"Sat, 22 Nov 2025 03:52:56 GMT"),
                (b"Content-Type", b"application/json"),
                (b"Content-Length", b"5"),
                (b"Connection", b"keep-alive"),
                (b"Set-Cookie", b"__cf_bm=x"),
                (b"alt-svc", b'h3=":443"'),
                (b"x-request-id", b"req_theirs"),
                (b"CF-RAY", b"1"),
            ]
        ),
        b"ours-1",
        framing="content-length",
        client_minor=1,
        close=False,
    )
    assert head == (
        b"HTTP/1.1 200 OK\r\n"
        b"Date: Sat, 22 Nov 2025 03:52:56 GMT\r\n"
        b"Content-Type: application/json\r\n"
        b"CF-RAY: 1\r\n"
        b"X-Request-ID: ours-1\r\n"
        b"X-Upstream-Request-ID: req_theirs\r\n"
        b"Content-Length: 5\r\n"
        b"\r\n"
    )


def test_response_framing() -> None:
    """One way to tell the end, whatever the upstream used."""
    theirs = [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"9"), (b"Trailer", b"x")]
    assert client(theirs, "content-length") == {b"x-request-id": b"ours-1", b"content-length": b"5"}
    assert client(theirs, "chunked") == {b"x-request-id": b"ours-1", b"transfer-encoding": b"chunked"}
    assert client(theirs, "close") == {b"x-request-id": b"ours-1", b"connection": b"close"}
    # HEAD and 304 tell the length of another answer; 204 must not (RFC 9110 section 8.6)
    assert client(theirs, "none")[b"content-length"] == b"9"
    assert b"content-length" not in client(theirs, "none", status=204)


def test_response_connection() -> None:
    """What the client is told of its own connection, never what the upstream said of its."""
    assert client([], close=True)[b"connection"] == b"close"
    assert client([(b"Connection", b"close")]).get(b"connection") is None
    assert client([], old=True)[b"connection"] == b"keep-alive"
    assert client([], old=True, close=True)[b"connection"] == b"close"
    named = client([(b"Connection", b"x-hop, content-encoding"), (b"X-Hop", b"1"), (b"Content-Encoding", b"gzip")])
    assert b"x-hop" not in named
    assert named[b"content-encoding"] == b"gzip"


@pytest.mark.parametrize(
    "name", b"Via X-Forwarded-For X-AWF-Budget X-Upstream-Request-ID Upgrade TE Set_Cookie X_AWF_Budget".split()
)
def test_what_does_not_come_back(name: bytes) -> None:
    """Fields of the way, and those in which the upstream could speak in our name."""
    assert name.lower() not in client([(name, b"x")])


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ([(b"x-request-id", b"a"), (b"request-id", b"b")], b"a"),
        ([(b"request-id", b"req_b")], b"req_b"),
        ([(b"apim-request-id", b"c")], b"c"),
        ([(b"x-github-request-id", b"d")], b"d"),
        ([(b"x-amzn-RequestId", b"d")], b"d"),
        ([], None),
        ([(b"x-request-id", b"")], None),
        ([(b"x-request-id", b"\xff")], None),
        ([(b"x-request-id", b"x" * 1000)], None),
    ],
)
def test_upstream_request_id(headers: Headers, identity: bytes | None) -> None:
    """Where each provider has its id; what cannot be recorded is none."""
    assert upstream_request_id(response(headers)) == identity
    assert client(headers).get(b"x-upstream-request-id") == identity


@given(st.lists(st.tuples(header_names, header_values), max_size=8), st.text("a\r\n\0é ", max_size=4).map(str.encode))
def test_no_upstream_can_split_a_response(theirs: Headers, reason: bytes) -> None:
    """Law: whatever an upstream's headers, no line appears that it did not send as one, and our id is ours."""
    head = ResponseRules().head(
        response(theirs, reason=reason), b"ours-1", framing="content-length", client_minor=1, close=False
    )
    assert head.startswith(b"HTTP/1.1 200 ")
    assert not set(b"\r\n\0") & set(head.replace(b"\r\n", b""))
    _, pairs = parsed(head)
    assert [value for name, value in pairs if name == b"x-request-id"] == [b"ours-1"]
    assert b"injected" not in dict(pairs)


@pytest.mark.parametrize(
    ("value", "websocket"),
    [(b"websocket", True), (b"WebSocket", True), (b"foo, websocket", True), (b"h2c", False), (None, False)],
)
def test_wants_websocket(value: bytes | None, websocket: bool) -> None:
    """Other upgrades are offers to be ignored."""
    assert wants_websocket(request([] if value is None else [(b"Upgrade", value)])) is websocket
