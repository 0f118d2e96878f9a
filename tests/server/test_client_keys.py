"""Clients' keys, told as transcripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client
from tests.server.stage import Stage, Wire
from tests.server.test_call import ANSWER, request, requests, response, split, usages

KEY = b"alice-key-0123456789"
CLIENTS = (
    Client(name="a", key=Secret(KEY), user="alice"),
    Client(name="b", key=Secret("bob-key-0123456789ab"), user="bob"),
)


def call(stage: Stage, headers: bytes, **options: Any) -> Wire:
    """A call with these headers beside the placeholder that `request` has."""
    client = stage.client()
    client.receive(request(headers=headers, **options))
    stage.turn()
    return client


def test_the_user_is_the_clients() -> None:
    """Whatever `x-awf-user` says; and the key goes no further."""
    stage = Stage(clients=CLIENTS)
    call(stage, b"x-api-key: %b\r\nx-awf-user: bob\r\nx-awf-run: 7\r\n" % KEY)
    sent = stage.upstream.take()
    assert b"Bearer sk-real" in sent
    assert KEY not in sent
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    (record,) = requests(stage)
    assert (record["user"], record["run"]) == ("alice", "7")
    assert usages(stage)[0]["user"] == "alice"


@pytest.mark.parametrize("header", [b"authorization: Bearer %b", b"api-key: %b", b"x-goog-api-key: %b"])
def test_however_it_is_presented(header: bytes) -> None:
    """In any of the headers of SDKs, and none of them goes on."""
    stage = Stage(clients=CLIENTS)
    call(stage, header % KEY + b"\r\n")
    assert KEY not in stage.upstream.take()


def test_in_the_query_of_googles_apis() -> None:
    """And out of the query again."""
    stage = Stage(clients=CLIENTS, provider="gemini")
    call(stage, b"", path=b"/v1beta/models/gemini-2.5-flash:generateContent?key=" + KEY)
    assert KEY not in stage.upstream.take()


def test_a_wrong_key() -> None:
    """401 that is not to be repeated, with a record that has no user; the body is not waited for."""
    stage = Stage(clients=CLIENTS)
    client = stage.client()
    client.receive(request(b"x" * 100, headers=b"x-awf-user: alice\r\n")[:-50])
    stage.turn()
    head, body = split(client.take())
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"WWW-Authenticate: Bearer" in head
    assert b"x-should-retry: false" in head
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "client_key_unknown")
    (record,) = requests(stage)
    assert (record["outcome"], record["refusal_code"]) == ("refused", "client_key_unknown")
    assert "user" not in record
    assert not stage.wires.dialled
    assert not stage.shared.body_memory.lent


@pytest.mark.parametrize(("provider", "path"), [("anthropic", b"/v1/messages"), ("gemini", b"/v1beta/models/g:x")])
def test_no_key_at_all(provider: str, path: bytes) -> None:
    """In the provider's shape."""
    stage = Stage(clients=CLIENTS, provider=provider)
    client = stage.client()
    client.receive(request(path=path).replace(b"Authorization: Bearer client\r\n", b""))
    stage.turn()
    told = json.loads(split(client.take())[1])
    reason = told["error"]["details"]
    found = reason["error_code"] if provider == "anthropic" else reason[0]["reason"]
    assert found == "client_key_missing"


def test_the_proxys_own_pages_need_no_key() -> None:
    """Health is asked by programs that have none."""
    stage = Stage(clients=CLIENTS)
    client = stage.client()
    client.receive(request(b"", path=b"/health", method=b"GET"))
    assert client.take() == b"local"


def test_without_clients_nobody_is_asked() -> None:
    """And `x-awf-user` counts."""
    stage = Stage()
    call(stage, b"x-awf-user: carol\r\n")
    stage.upstream.receive(response(ANSWER))
    stage.turn()
    assert requests(stage)[0]["user"] == "carol"
