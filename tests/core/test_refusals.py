"""What the proxy answers on its own behalf."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from awfproxy.core import refusals
from awfproxy.core.kinds import kind
from awfproxy.core.providers import PROVIDERS, ErrorShape
from awfproxy.core.refusals import Refusal, render, response, shape_of

SHAPES: tuple[ErrorShape, ...] = ("openai", "anthropic", "google")
ID = "0198-id"

ALL: list[Refusal] = [
    refusals.provider_not_configured(PROVIDERS["openai"], "main"),
    refusals.provider_not_configured(PROVIDERS["generic"], "local"),
    refusals.bad_request("malformed_request", "The request is not valid HTTP/1.1."),
    refusals.bad_target(),
    refusals.head_too_large(),
    refusals.body_too_large(1000),
    refusals.request_timeout(),
    refusals.upgrade_not_supported(),
    refusals.foreign_host(),
    refusals.foreign_origin(),
    refusals.upstream_unreachable(),
    refusals.upstream_closed(),
    refusals.upstream_invalid(),
    refusals.connect_timeout(),
    refusals.first_byte_timeout(),
    refusals.draining(),
    refusals.journal_full(),
    refusals.ledger_unavailable(),
    refusals.client_key(presented=False),
    refusals.client_key(presented=True),
    refusals.internal_error(),
]


def split(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers (lower-case names, none twice) and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    pairs = [line.split(b": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs)
    return first, headers, body


def test_words_are_stable() -> None:
    """Programs depend on status, type and code: changing one of these lines breaks them."""
    assert {(refusal.status, refusal.type, refusal.code, refusal.retryable, refusal.outcome) for refusal in ALL} == {
        (403, "provider_not_configured", "provider_not_configured", False, "refused"),
        (400, "invalid_request_error", "malformed_request", False, "bad_request"),
        (400, "invalid_request_error", "bad_target", False, "bad_request"),
        (400, "invalid_request_error", "head_too_large", False, "bad_request"),
        (413, "request_too_large", "request_too_large", False, "refused"),
        (408, "timeout_error", "request_timeout", True, "timed_out"),
        (426, "invalid_request_error", "upgrade_not_supported", False, "refused"),
        (403, "permission_error", "foreign_host", False, "refused"),
        (403, "permission_error", "foreign_origin", False, "refused"),
        (502, "upstream_error", "upstream_unreachable", True, "upstream_failed"),
        (502, "upstream_error", "upstream_closed", True, "upstream_failed"),
        (502, "upstream_error", "upstream_invalid", True, "upstream_failed"),
        (504, "timeout_error", "connect_timeout", True, "timed_out"),
        (504, "timeout_error", "first_byte_timeout", True, "timed_out"),
        (503, "overloaded_error", "draining", True, "refused"),
        (503, "overloaded_error", "journal_full", True, "refused"),
        (503, "overloaded_error", "ledger_unavailable", True, "refused"),
        (401, "authentication_error", "client_key_missing", False, "refused"),
        (401, "authentication_error", "client_key_unknown", False, "refused"),
        (500, "proxy_error", "internal_error", True, "proxy_error"),
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("refusal", ALL, ids=lambda refusal: str(refusal.code))
def test_every_refusal_in_every_shape(refusal: Refusal, shape: ErrorShape) -> None:
    """One whole HTTP answer: status, id, framing, and the facts in the body."""
    first, headers, body = split(response(refusal, shape, ID, close=True))
    assert first.startswith(b"HTTP/1.1 %d " % refusal.status)
    assert not first.endswith(b"Refused")
    assert headers[b"x-request-id"] == ID.encode()
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"connection"].endswith(b"close")
    assert (headers.get(b"x-should-retry") == b"false") is (refusal.retryable is False)
    error = json.loads(body)["error"]
    assert (error["message"], error["type"], error["retryable"]) == (refusal.message, refusal.type, refusal.retryable)
    for name, value in (refusal.details or {}).items():
        assert error[name] == value


def test_openai_shape() -> None:
    """The members that OpenAI's SDK reads, as it names them."""
    body = json.loads(render(refusals.body_too_large(1000), "openai", ID))
    assert body == {
        "error": {
            "message": "The request body is larger than 1000 bytes.",
            "type": "request_too_large",
            "code": "request_too_large",
            "param": None,
            "retryable": False,
            "limit_bytes": 1000,
            "request_id": ID,
        }
    }


def test_anthropic_shape() -> None:
    """The members that Anthropic's SDK reads; the id also where it looks for one."""
    answer = response(refusals.body_too_large(1000), "anthropic", ID, close=False)
    _, headers, body = split(answer)
    assert headers[b"request-id"] == ID.encode()
    assert b"connection" not in headers
    assert json.loads(body) == {
        "type": "error",
        "error": {
            "message": "The request body is larger than 1000 bytes.",
            "type": "request_too_large",
            "code": "request_too_large",
            "retryable": False,
            "limit_bytes": 1000,
            "details": {"error_code": "request_too_large", "retryable": False, "limit_bytes": 1000},
        },
        "request_id": ID,
    }


def test_google_shape() -> None:
    """google.rpc.Status with an ErrorInfo, whose metadata are strings."""
    body = json.loads(render(refusals.body_too_large(1000), "google", ID))
    assert body["error"]["code"] == 413
    assert body["error"]["status"] == "INVALID_ARGUMENT"
    assert body["error"]["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "request_too_large",
            "domain": "awfproxy",
            "metadata": {"type": "request_too_large", "request_id": ID, "retryable": "false", "limit_bytes": "1000"},
        }
    ]
    assert json.loads(render(refusals.draining(), "google", ID))["error"]["status"] == "UNAVAILABLE"


def test_head_requests_get_no_body() -> None:
    """RFC 9110 section 9.3.2: the head of a GET, nothing after it."""
    whole = response(refusals.foreign_host(), "openai", ID, close=True)
    head = response(refusals.foreign_host(), "openai", ID, close=True, head_only=True)
    assert head.endswith(b"\r\n\r\n")
    assert whole.startswith(head)


def test_upgrade_required_names_the_upgrade() -> None:
    """RFC 9110 sections 7.8 and 15.5.22: Upgrade, and Upgrade named in Connection."""
    _, headers, _ = split(response(refusals.upgrade_not_supported(), "openai", ID, close=True))
    assert headers[b"upgrade"] == b"HTTP/1.1"
    assert headers[b"connection"] == b"upgrade, close"
    _, headers, _ = split(response(refusals.upgrade_not_supported(), "openai", ID, close=False))
    assert headers[b"connection"] == b"upgrade"


def test_busy_says_when_to_come_back() -> None:
    """SDKs wait for what Retry-After says."""
    for refusal in (refusals.draining(), refusals.journal_full()):
        _, headers, _ = split(response(refusal, "openai", ID, close=True))
        assert headers[b"retry-after"] == b"1"


def test_not_configured_names_the_remedy() -> None:
    """The variable that the settings name, none that they do not; and which port it is."""
    refusal = refusals.provider_not_configured(PROVIDERS["copilot"], "agents")
    assert refusal.message.endswith(" Set the port's `credential`.")
    named = refusals.provider_not_configured(PROVIDERS["copilot"], "agents", "MY_KEY")
    assert named.message.endswith(" Start with MY_KEY set, or change the port's `credential`.")
    assert refusal.details == {"provider": "copilot", "port": "agents"}


@pytest.mark.parametrize(
    ("provider", "path", "shape"),
    [
        ("openai", b"/v1/chat/completions", "openai"),
        ("openai", b"/nothing", "openai"),
        ("anthropic", b"/v1/messages", "anthropic"),
        ("anthropic", b"/v1/chat/completions", "openai"),
        ("copilot", b"/chat/completions", "openai"),
        ("copilot", b"/v1/messages", "anthropic"),
        ("generic", b"/v1/messages/count_tokens", "anthropic"),
        ("gemini", b"/v1beta/models/m:generateContent", "google"),
        ("gemini", b"/v1beta/openai/chat/completions", "openai"),
        ("vertex", b"/v1/publishers/anthropic/models/m:rawPredict", "anthropic"),
    ],
)
def test_shape_of(provider: str, path: bytes, shape: ErrorShape) -> None:
    """By the API that is called, else by the provider."""
    assert shape_of(PROVIDERS[provider], kind(b"POST", path)) == shape


@pytest.fixture
def answering() -> Callable[[Refusal, ErrorShape], Any]:
    """An HTTP client for SDKs that answers every request with one refusal."""
    httpx2 = pytest.importorskip("httpx2")

    def client(refusal: Refusal, shape: ErrorShape) -> Any:
        _, headers, body = split(response(refusal, shape, ID, close=False))

        def answer(request: Any) -> Any:
            return httpx2.Response(refusal.status, headers=list(headers.items()), content=body)

        return httpx2.Client(transport=httpx2.MockTransport(answer))

    return client


def test_openai_sdk_reads_it(answering: Callable[[Refusal, ErrorShape], Any]) -> None:
    """The official SDK raises its error of this status, with our words and id."""
    openai = pytest.importorskip("openai")
    http = answering(refusals.provider_not_configured(PROVIDERS["openai"], "main", "OPENAI_API_KEY"), "openai")
    sdk = openai.OpenAI(api_key="x", base_url="http://localhost", http_client=http)
    with sdk, pytest.raises(openai.PermissionDeniedError) as caught:
        sdk.chat.completions.create(model="m", messages=[])
    error = caught.value
    assert (error.type, error.code, error.request_id) == ("provider_not_configured", "provider_not_configured", ID)
    assert error.body["retryable"] is False
    assert "OPENAI_API_KEY" in str(error)


def test_anthropic_sdk_reads_it(answering: Callable[[Refusal, ErrorShape], Any]) -> None:
    """The official SDK raises its error of this status, with our words and id."""
    anthropic = pytest.importorskip("anthropic")
    http = answering(refusals.provider_not_configured(PROVIDERS["anthropic"], "main", "ANTHROPIC_API_KEY"), "anthropic")
    sdk = anthropic.Anthropic(api_key="x", base_url="http://localhost", http_client=http)
    with sdk, pytest.raises(anthropic.PermissionDeniedError) as caught:
        sdk.messages.create(model="m", messages=[], max_tokens=1)
    error = caught.value
    assert (error.type, error.request_id) == ("provider_not_configured", ID)
    assert error.body["error"]["details"]["error_code"] == "provider_not_configured"
    assert "ANTHROPIC_API_KEY" in error.body["error"]["message"]


def test_google_sdk_reads_it() -> None:
    """The official SDK raises its client error, with our message and Google's word for the status."""
    httpx2 = pytest.importorskip("httpx2")
    errors = pytest.importorskip("google.genai.errors")
    refusal = refusals.provider_not_configured(PROVIDERS["gemini"], "main")
    answer = httpx2.Response(refusal.status, content=render(refusal, "google", ID))
    with pytest.raises(errors.ClientError) as caught:
        errors.APIError.raise_for_response(answer)
    error = caught.value
    assert (error.code, error.status, error.message) == (403, "PERMISSION_DENIED", refusal.message)
