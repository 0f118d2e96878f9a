"""The error answers of each provider, as their SDKs expect them.

Shapes: platform.openai.com/docs/guides/error-codes, docs.anthropic.com/en/api/errors, google.rpc.Status
(cloud.google.com/apis/design/errors), docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html.  The texts are
our own.
"""

from __future__ import annotations

from typing import Any

from awfproxy.simulator import eventstream
from awfproxy.simulator.answers import Answer, as_json, document, sse

_OPENAI = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "service_unavailable"),
}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_BEDROCK = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def body(provider: str, status: int, message: str) -> dict[str, Any]:
    """The error object that the provider sends with this status."""
    if provider == "anthropic":
        kind = _ANTHROPIC.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sim_error"}
    if provider in ("gemini", "vertex"):
        error: dict[str, Any] = {"code": status, "message": message, "status": _GOOGLE.get(status, "UNKNOWN")}
        if status == 429:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
        return {"error": error}
    if provider == "bedrock":
        return {"message": message}
    if provider == "ollama":
        return {"error": message}
    kind, code = _OPENAI.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def answer(provider: str, status: int, message: str, retry_after: int | None = None) -> Answer:
    """An error as the provider's whole answer."""
    headers: tuple[tuple[str, str], ...] = ()
    if retry_after is not None:
        headers = (("Retry-After", str(retry_after)),)
    if provider == "anthropic":
        headers += (("x-should-retry", "true" if status == 429 or status >= 500 else "false"),)
    if provider == "bedrock":
        headers += (("x-amzn-ErrorType", _BEDROCK.get(status, "InternalServerException")),)
    return document(
        body(provider, status, message),
        indent=2 if provider in ("gemini", "vertex") else 0,
        status=status,
        headers=headers,
    )


def wrong_key(provider: str) -> Answer:
    """What the provider says to a missing or wrong key.  Google's says 400 (gemini) or 401 (vertex)."""
    if provider == "anthropic":
        return answer(provider, 401, "invalid x-api-key")
    if provider == "gemini":
        refused = body(provider, 400, "API key not valid. Please pass a valid API key.")
        refused["error"]["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ]
        return document(refused, indent=2, status=400)
    if provider == "vertex":
        return answer(provider, 401, "Request is missing required authentication credential.")
    if provider == "copilot":
        return Answer(401, "text/plain; charset=utf-8", (b"unauthorized: token not accepted\n",))
    if provider == "bedrock":
        return answer(provider, 403, "Authentication failed: the key is not valid.")
    return answer(provider, 401, "Incorrect API key provided. Keys are listed on the page of your account.")


def event(provider: str, api: str) -> bytes:
    """The error that the provider sends inside a stream that began with 200."""
    if provider == "anthropic":
        return sse(body(provider, 529, "Overloaded"), "error")
    if provider in ("gemini", "vertex"):
        return sse(body(provider, 503, "The model is overloaded. Please try again later."), line_end=b"\r\n")
    if provider == "bedrock":
        return eventstream.exception("modelStreamErrorException", "The model stopped unexpectedly.")
    if api == "ollama":
        return as_json({"error": "the model stopped unexpectedly"}) + b"\n"
    if api == "responses":
        error = {"type": "server_error", "code": "server_error", "message": "The server had an error.", "param": None}
        return sse({"type": "error", "sequence_number": 0, "error": error}, "error")
    return sse(body(provider, 500, "The server had an error while processing your request."))
