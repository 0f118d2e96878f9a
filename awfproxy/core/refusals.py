"""What the proxy answers on its own behalf: refusals as values, rendered in the shape that the provider's SDK reads.

A refusal's ``type`` and ``code`` are stable words that programs may depend on; its message is for people and says
nothing of the proxy's insides (no addresses, no exception texts, no part of a key).  The three shapes carry the same
facts:

* OpenAI: ``{"error": {"message", "type", "code", "param": null, ...}}``
  (platform.openai.com/docs/guides/error-codes; the SDK reads message, type, code, param)
* Anthropic: ``{"type": "error", "error": {"type", "message", "code", "details": {"error_code", ...}}, "request_id"}``
  (docs.anthropic.com/en/api/errors; the SDK reads type, message and details.error_code)
* Google: ``{"error": {"code": 403, "message", "status", "details": [ErrorInfo], ...}}``
  (google.aip.dev/193; the SDK reads code, message, status)

and beside them, in each, ``retryable`` and the refusal's own details as members of ``error``.  What is not to be
retried also says ``x-should-retry: false``, which the OpenAI and Anthropic SDKs obey.

The refusals of limits and budgets are made in `limit_refusals`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from awfproxy.core.kinds import Kind
from awfproxy.core.outcomes import BAD_REQUEST, PROXY_ERROR, REFUSED, TIMED_OUT, UPSTREAM_FAILED, Outcome
from awfproxy.core.providers import ErrorShape, Provider

Headers = tuple[tuple[bytes, bytes], ...]

#: the `domain` of Google's ErrorInfo: who speaks
DOMAIN: Final = "awfproxy"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the proxy's own."""

    #: HTTP status, 4xx or 5xx
    status: int
    #: stable word for the class of error, in ``error.type``
    type: str
    #: stable word for the cause; None: the type says it all
    code: str | None = None
    #: one or two sentences for a person
    message: str
    #: added to the answer's head; never Connection, Content-Length or Content-Type
    headers: Headers = ()
    #: whether the same request may succeed later; None: not said
    retryable: bool | None = None
    #: further members of ``error``, JSON values; ``None`` here is no details
    details: dict[str, Any] | None = None
    #: how a call that ends with this one ended
    outcome: Outcome = REFUSED


_REASONS: Final = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}

#: HTTP status to google.rpc.Code, as googleapis' code.proto maps them (and the nearest where it has none)
_GOOGLE_STATUS: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    426: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def shape_of(provider: Provider, kind: Kind | None) -> ErrorShape:
    """The shape in which the SDK behind a call reads errors: Copilot, Vertex and gateways serve Anthropic's API too."""
    if kind is not None:
        if kind.anthropic_shaped:
            return "anthropic"
        if kind.may_ask_usage:
            return "openai"  # Anthropic's and Google's OpenAI-compatible paths
    return provider.error_shape


def render(refusal: Refusal, shape: ErrorShape, request_id: str) -> bytes:
    """The JSON body of ``refusal``."""
    error: dict[str, Any] = {"message": refusal.message, "type": refusal.type}
    more: dict[str, Any] = {} if refusal.retryable is None else {"retryable": refusal.retryable}
    more |= refusal.details or {}
    if shape == "anthropic":
        error["code"] = refusal.code
        error |= more
        error["details"] = {"error_code": refusal.code or refusal.type} | more
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
    if shape == "google":
        error["code"] = refusal.status
        error["status"] = _GOOGLE_STATUS.get(refusal.status, "INVALID_ARGUMENT")
        error |= more
        # ErrorInfo's metadata are strings (google/rpc/error_details.proto)
        metadata = {"type": refusal.type, "request_id": request_id}
        metadata |= {name: _text(value) for name, value in more.items()}
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": refusal.code or refusal.type,
                "domain": DOMAIN,
                "metadata": metadata,
            }
        ]
        return msgspec.json.encode({"error": error})
    error["code"] = refusal.code
    error["param"] = None
    error |= more
    error["request_id"] = request_id
    return msgspec.json.encode({"error": error})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def response(refusal: Refusal, shape: ErrorShape, request_id: str, *, close: bool, head_only: bool = False) -> bytes:
    """The whole HTTP/1.1 answer.

    :param close: the connection ends after it, and says so
    :param head_only: the request was a HEAD (RFC 9110 section 9.3.2): no body, the same head
    """
    body = render(refusal, shape, request_id)
    identity = request_id.encode("ascii")
    lines = [
        b"HTTP/1.1 %d %b" % (refusal.status, _REASONS.get(refusal.status, b"Refused")),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"X-Request-ID: " + identity,
    ]
    if shape == "anthropic":
        lines.append(b"request-id: " + identity)  # where Anthropic's SDK looks for it
    lines.extend(name + b": " + value for name, value in refusal.headers)
    if refusal.retryable is False:
        lines.append(b"x-should-retry: false")
    # RFC 9110 section 7.8: who sends Upgrade names it in Connection.
    options = [b"upgrade"] if any(name.lower() == b"upgrade" for name, _ in refusal.headers) else []
    if close:
        options.append(b"close")
    if options:
        lines.append(b"Connection: " + b", ".join(options))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else body)


def provider_not_configured(provider: Provider, port: str, variable: str | None = None) -> Refusal:
    """The port has no credential.  403 and never 503: clients repeat a 503 for minutes.

    :param variable: the one that the settings name for it, and that was not set
    """
    remedy = f"Start with {variable} set, or change the" if variable else "Set the"
    return Refusal(
        status=403,
        type="provider_not_configured",
        code="provider_not_configured",
        message=f"No credential is configured for {provider.name} on this port. {remedy} port's `credential`.",
        retryable=False,
        details={"provider": provider.name, "port": port},
    )


def client_key(presented: bool) -> Refusal:
    """The port takes only calls of its clients, and this one has no client's key.

    RFC 9110 section 15.5.2 demands a challenge.

    :param presented: some key came
    """
    return Refusal(
        status=401,
        type="authentication_error",
        code="client_key_unknown" if presented else "client_key_missing",
        message="This key is none of this proxy's clients'." if presented else "This proxy wants a client's key.",
        headers=((b"WWW-Authenticate", b"Bearer"),),
        retryable=False,
    )


def bad_request(code: str, message: str) -> Refusal:
    """What arrived is not one unambiguous HTTP request; the connection must be closed after the answer."""
    return Refusal(
        status=400,
        type="invalid_request_error",
        code=code,
        message=message,
        retryable=False,
        outcome=BAD_REQUEST,
    )


def bad_target() -> Refusal:
    """`targets.join` refused the request's target."""
    return bad_request("bad_target", "The request target must be a plain absolute path without dot segments.")


def head_too_large() -> Refusal:
    """The request's head is over its bounds; 400 as for everything malformed, with a code of its own."""
    return bad_request("head_too_large", "The request's headers are too large.")


def body_too_large(limit: int) -> Refusal:
    """The body is longer than the port's ``max_request_body`` bytes."""
    return Refusal(
        status=413,
        type="request_too_large",
        code="request_too_large",
        message=f"The request body is larger than {limit} bytes.",
        retryable=False,
        details={"limit_bytes": limit},
    )


def request_timeout() -> Refusal:
    """The client did not send its whole request in time (RFC 9110 section 15.5.9); close after it."""
    return Refusal(
        status=408,
        type="timeout_error",
        code="request_timeout",
        message="The request did not arrive in time.",
        retryable=True,
        outcome=TIMED_OUT,
    )


def upgrade_not_supported() -> Refusal:
    """A WebSocket handshake.  426 and nothing else: Codex falls back to HTTP on that status only.

    RFC 9110 section 15.5.22 demands an Upgrade header that names what is spoken here.
    """
    return Refusal(
        status=426,
        type="invalid_request_error",
        code="upgrade_not_supported",
        message="WebSocket is not supported here; use HTTP requests.",
        headers=((b"Upgrade", b"HTTP/1.1"),),
        retryable=False,
    )


def foreign_host() -> Refusal:
    """The `Host` is a name that a stranger's DNS may point here (see `core.origin`)."""
    return Refusal(
        status=403,
        type="permission_error",
        code="foreign_host",
        message="This Host is not allowed here; the `allowed_hosts` of a port can name it.",
        retryable=False,
    )


def foreign_origin(settable: bool = True) -> Refusal:
    """The request comes from a web page that the settings do not allow (see `core.origin`).

    :param settable: they could
    """
    remedy = "; the port's `allowed_origins` can name its origin" if settable else ""
    return Refusal(
        status=403,
        type="permission_error",
        code="foreign_origin",
        message=f"Requests of this web page are not allowed here{remedy}.",
        retryable=False,
    )


def upstream_unreachable() -> Refusal:
    """No connection to the upstream, or its TLS failed."""
    return _no_answer("upstream_unreachable", "The provider could not be reached.")


def upstream_closed() -> Refusal:
    """The upstream closed the connection before its answer began."""
    return _no_answer("upstream_closed", "The provider closed the connection without an answer.")


def upstream_invalid() -> Refusal:
    """What the upstream sent is not an HTTP answer that may be forwarded."""
    return _no_answer("upstream_invalid", "The provider's answer was not valid HTTP.")


def _no_answer(code: str, message: str) -> Refusal:
    return Refusal(
        status=502, type="upstream_error", code=code, message=message, retryable=True, outcome=UPSTREAM_FAILED
    )


def connect_timeout() -> Refusal:
    """The upstream connection was not there within ``connect_timeout``."""
    return _too_late("connect_timeout", "Connecting to the provider took too long.")


def first_byte_timeout() -> Refusal:
    """The upstream's answer did not begin within ``first_byte_timeout``."""
    return _too_late("first_byte_timeout", "The provider did not begin to answer in time.")


def _too_late(code: str, message: str) -> Refusal:
    return Refusal(status=504, type="timeout_error", code=code, message=message, retryable=True, outcome=TIMED_OUT)


def draining() -> Refusal:
    """The proxy is stopping; the answer must close the connection."""
    return _busy("draining", "The proxy is shutting down.")


def journal_full() -> Refusal:
    """No place for another record: a call that could not be recorded is not admitted: each leaves its record."""
    return _busy("journal_full", "The proxy cannot record more calls at the moment.")


def ledger_unavailable() -> Refusal:
    """A budget cannot be checked, and the port's ``on_ledger_loss`` is ``deny``."""
    return _busy("ledger_unavailable", "The budget of this call cannot be checked at the moment.")


#: seconds that a busy proxy asks for; SDKs wait that long and then try again
RETRY_AFTER: Final = 1


def _busy(code: str, message: str) -> Refusal:
    return Refusal(
        status=503,
        type="overloaded_error",
        code=code,
        message=message,
        headers=((b"Retry-After", b"%d" % RETRY_AFTER),),
        retryable=True,
    )


def internal_error() -> Refusal:
    """A defect of the proxy itself, met before the answer began."""
    return Refusal(
        status=500,
        type="proxy_error",
        code="internal_error",
        message="The proxy failed on this request.",
        retryable=True,
        outcome=PROXY_ERROR,
    )
