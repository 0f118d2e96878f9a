"""The heads that go on: what of a message's headers passes, and what the proxy adds (docs/providers.md).

Both ways, the fields of one connection stay on it (RFC 9110 section 7.6.1), and so does what tells of the way
(`forwarded`, `via`, `x-forwarded-*`) and the proxy's own namespace (`x-awf-*`).  Everything else passes as it came:
name, case, order, repetition.

Towards the upstream, besides: every credential and cookie of the client goes, the port's credential comes.  Names in
the client's `Connection` take away client headers only, never what the proxy adds, and never `content-*`: a body
without its type or coding would be another body.

The rules are built once for a port; a verdict on a name is made once and remembered.
"""

from __future__ import annotations

from typing import Final

from awfproxy.core.codings import reduced
from awfproxy.core.identifiers import valid_request_id
from awfproxy.core.message import RequestHead, ResponseHead
from awfproxy.core.providers import Provider
from awfproxy.core.targets import join, strip_keys

#: names and targets that are remembered with what was made of them, and their bytes: clients choose them, and memory
#: must not follow
REMEMBERED_MAX: Final = 512
REMEMBERED_NAME_MAX: Final = 64
REMEMBERED_TARGET_MAX: Final = 128

#: RFC 9110 section 7.6.1, the two older ones it mentions, and Trailer for what has no trailers after us
_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings "
    b"proxy-authenticate proxy-authentication-info proxy-authorization".split()
)
_OF_THE_WAY: Final = frozenset((b"forwarded", b"via"))
_PREFIXES: Final = (b"x-forwarded-", b"x-awf-")

_FROM_CLIENT: Final = (
    _HOP_BY_HOP
    | _OF_THE_WAY
    # credentials, wherever a client may put one
    | frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-amz-security-token"))
    | frozenset((b"cookie", b"cookie2"))
    # written anew below, or answered by us (expect)
    | frozenset((b"host", b"content-length", b"expect", b"accept-encoding", b"x-request-id"))
)
#: what describes the bytes of a body, and is wrong once the body was changed
_OF_THE_BYTES: Final = frozenset((b"content-encoding", b"content-md5", b"content-digest", b"repr-digest", b"digest"))

_FROM_UPSTREAM: Final = (
    _HOP_BY_HOP
    | _OF_THE_WAY
    | frozenset((b"content-length", b"x-request-id", b"x-upstream-request-id"))
    # of no use to a client whose cookies never go up, and a way around us
    | frozenset((b"set-cookie", b"set-cookie2", b"alt-svc"))
)
#: where upstreams put their own id, the first one counts
_UPSTREAM_IDS: Final = (
    b"x-request-id", b"request-id", b"apim-request-id", b"x-amzn-requestid", b"x-github-request-id",
)  # fmt: skip
#: bytes of an upstream's id that are passed on and recorded
UPSTREAM_ID_MAX: Final = 256

_PLAIN_CONNECTION: Final = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close", b""))


class _Verdicts:
    """Which headers pass, by their lower-case names."""

    __slots__ = ("_known",)

    def __init__(self, removed: frozenset[bytes]) -> None:
        # A plain dict, read without a method call: this is what a head costs.
        self._known = dict.fromkeys(removed, False)

    def __len__(self) -> int:
        return len(self._known)

    def _passes(self, name: bytes) -> bool:
        known = self._known
        passes = known.get(name)
        if passes is None:
            # gateways by CGI's rules read `_` and `-` alike (RFC 3875 section 4.1.18)
            dashed = name.replace(b"_", b"-")
            passes = known.get(dashed, True) and not dashed.startswith(_PREFIXES)
            if len(known) < REMEMBERED_MAX and len(name) <= REMEMBERED_NAME_MAX:
                known[name] = passes
        return passes

    def passing(self, head: RequestHead | ResponseHead) -> list[bytes]:
        """The lines of the headers that pass."""
        headers = head.headers
        connection = head.fields.get(b"connection")
        if connection is not None and (connection not in _PLAIN_CONNECTION or _repeats(head)):
            named = _connection_names(head)
            headers = [header for header in headers if header[0] not in named]
        known = self._known
        try:
            return [raw + b": " + value for name, raw, value in headers if known[name]]
        except KeyError:
            return [raw + b": " + value for name, raw, value in headers if self._passes(name)]


def _repeats(head: RequestHead | ResponseHead) -> bool:
    """Whether some name comes twice, of which `fields` has the last only."""
    return len(head.fields) != len(head.headers)


def _connection_names(head: RequestHead | ResponseHead) -> frozenset[bytes]:
    """The header names that the values of `Connection` take away."""
    values = (value for name, _, value in head.headers if name == b"connection")
    names = (name.strip().lower() for value in values for name in value.split(b","))
    return frozenset(name for name in names if not name.startswith(b"content-"))


def _joined(lines: list[bytes]) -> bytes:
    """The lines as one.  llhttp lets no CR, LF or NUL into a value; if it ever did, the line would be left out."""
    block = b"\r\n".join(lines)
    if block.count(b"\n") != len(lines) - 1 or block.count(b"\r") != len(lines) - 1 or b"\0" in block:
        block = b"\r\n".join([line for line in lines if not any(octet in line for octet in b"\r\n\0")])
    return block


class _Targets(dict[bytes, bytes | None]):
    """What a client's target becomes upstream; the few that agents repeat are worked out once."""

    def __init__(self, base: bytes, key_in_query: bool) -> None:
        super().__init__()
        self._base = base
        self._key_in_query = key_in_query

    def __missing__(self, target: bytes) -> bytes | None:
        joined = join(self._base, strip_keys(target) if self._key_in_query else target)
        if len(self) < REMEMBERED_MAX and len(target) <= REMEMBERED_TARGET_MAX:
            self[target] = joined
        return joined


class RequestRules:
    """How one port's requests go upstream.

    :param host: the upstream's `Host` value
    :param base: the upstream's base path, without slash at its end
    :param credential: the port's key; None: such a port refuses every call before a head is made
    :param credential_header: where the key goes instead of the provider's own header; in `authorization` it goes with
        the provider's scheme (or Bearer), elsewhere bare
    :param scheme: what stands before the key; None: the provider's scheme for this host
    :param interaction_id: the value for providers that want one (Copilot), fixed for the life of the port
    """

    def __init__(
        self,
        provider: Provider,
        *,
        host: bytes,
        base: bytes,
        credential: bytes | None,
        credential_header: bytes | None = None,
        scheme: bytes | None = None,
        interaction_id: bytes | None = None,
    ) -> None:
        self._targets = _Targets(base, provider.key_in_query)
        header = credential_header or provider.credential_header
        if scheme is None:
            name = host.decode("latin-1")
            scheme = provider.scheme(name if name.startswith("[") else name.partition(":")[0])
        if credential_header is not None:
            scheme = (scheme or b"Bearer ") if credential_header.lower() == b"authorization" else b""
        fixed = [b"Host: " + host]
        if credential is not None:
            fixed.append(header + b": " + scheme + credential)
        #: from the end of the target to the first line that differs from call to call
        self._fixed = b" HTTP/1.1\r\n" + b"\r\n".join(fixed) + b"\r\n"
        self._verdicts = _Verdicts(_FROM_CLIENT | {header.lower()})
        self._rewritten = _Verdicts(_FROM_CLIENT | {header.lower()} | _OF_THE_BYTES)
        defaults = list(provider.default_headers)
        if provider.interaction_id and interaction_id is not None:
            defaults.append((b"x-interaction-id", interaction_id))
        self._defaults = [(name.lower(), name.lower() + b": ", name + b": " + value) for name, value in defaults]

    def target(self, target: bytes) -> bytes | None:
        """The target upstream; None: refused (`targets.join`)."""
        return self._targets[target]

    def head(
        self,
        request: RequestHead,
        target: bytes,
        length: int | None,
        request_id: bytes,
        *,
        streaming: bool,
        chunked: bool = False,
        rewritten: bool = False,
    ) -> bytes:
        """The whole head that goes upstream.

        :param target: what `target` made of the request's
        :param length: bytes of the body; None: there is none (or it is ``chunked``)
        :param request_id: ours; sent where the client sent no valid one
        :param streaming: the answer is asked for as a stream, so it must not be compressed
        :param rewritten: the body is not the client's bytes any more: it goes uncompressed and without their digests
        """
        fields = request.fields
        lines = (self._rewritten if rewritten else self._verdicts).passing(request)
        if self._defaults:
            lines = self._with_defaults(lines, request)
        if streaming:
            lines.append(b"Accept-Encoding: identity")
        elif b"accept-encoding" in fields:
            wanted = fields[b"accept-encoding"]
            if _repeats(request):
                wanted = b",".join([value for name, _, value in request.headers if name == b"accept-encoding"])
            lines.append(b"Accept-Encoding: " + reduced(wanted))
        lines.append(b"X-Request-ID: " + (client_request_id(request) or request_id))
        if length is not None:
            lines.append(b"Content-Length: %d" % length)
        elif chunked:
            lines.append(b"Transfer-Encoding: chunked")
        return b"%b %b%b%b\r\n\r\n" % (request.method, target, self._fixed, _joined(lines))

    def _with_defaults(self, lines: list[bytes], request: RequestHead) -> list[bytes]:
        """``lines`` and those default headers of which the client sent none with a value."""
        fields = request.fields
        odd = fields.get(b"connection", b"") not in _PLAIN_CONNECTION or _repeats(request)
        for name, start, line in self._defaults:
            if name not in fields:
                lines.append(line)
            elif odd or not fields[name]:
                # The client's is empty and must not stand beside ours, or its own `Connection` may have taken it away.
                lines = [one for one in lines if one.lower() != start]
                if not any(one.lower().startswith(start) for one in lines):
                    lines.append(line)
        return lines


class ResponseRules:
    """How answers go to the client."""

    def __init__(self) -> None:
        self._verdicts = _Verdicts(_FROM_UPSTREAM)
        self._bodiless = _Verdicts(_FROM_UPSTREAM - {b"content-length"})

    def head(
        self,
        response: ResponseHead,
        request_id: bytes,
        *,
        framing: str,
        client_minor: int,
        close: bool,
        budget: bytes | None = None,
    ) -> bytes:
        """The whole head for the client.

        :param framing: `content-length` (the upstream's), `chunked`, `close` (the connection's end is the body's) or
            `none`: an answer without body (to HEAD; 204; 304), whose Content-Length tells of another answer and passes
        :param client_minor: 0: an HTTP/1.0 client, which must be told that a connection stays open
        :param close: the connection ends after this answer
        :param budget: what `X-AWF-Budget` says; None: nothing
        """
        bodiless = framing == "none" and response.status != 204
        lines = (self._bodiless if bodiless else self._verdicts).passing(response)
        lines.append(b"X-Request-ID: " + request_id)
        upstream_id = upstream_request_id(response)
        if upstream_id is not None:
            lines.append(b"X-Upstream-Request-ID: " + upstream_id)
        if budget is not None:
            lines.append(b"X-AWF-Budget: " + budget)
        if framing == "chunked":
            lines.append(b"Transfer-Encoding: chunked")
        elif framing == "content-length":
            lines.append(b"Content-Length: %d" % (response.content_length or 0))
        if close or framing == "close":
            lines.append(b"Connection: close")
        elif client_minor == 0:
            lines.append(b"Connection: keep-alive")
        # The guard of `_joined`, for the one line that is not to be left out.
        reason = _joined([response.reason])
        return b"HTTP/1.1 %d %b\r\n%b\r\n\r\n" % (response.status, reason, _joined(lines))


def wants_websocket(request: RequestHead) -> bool:
    """Whether the request is a WebSocket handshake (RFC 6455 section 4.1).

    Other upgrades are offers that a server may ignore (RFC 9110 section 7.8): Java's client sends `Upgrade: h2c` with
    every first request.
    """
    value = request.fields.get(b"upgrade")
    return value is not None and any(offer.strip().lower() == b"websocket" for offer in value.split(b","))


def client_request_id(request: RequestHead) -> bytes | None:
    """The client's own `X-Request-ID`, if it is one that may be forwarded and recorded."""
    value = request.fields.get(b"x-request-id")
    return value if value is not None and valid_request_id(value) else None


def upstream_request_id(response: ResponseHead) -> bytes | None:
    """The upstream's id of the call: printable ASCII, at most `UPSTREAM_ID_MAX` bytes."""
    fields = response.fields
    for name in _UPSTREAM_IDS:
        value = fields.get(name)
        if value:
            printable = len(value) <= UPSTREAM_ID_MAX and value.isascii() and value.decode("ascii").isprintable()
            return value if printable else None
    return None
