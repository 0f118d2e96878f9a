"""Whose call it is, by the key that it presents."""

from __future__ import annotations

import pytest

from awfproxy.core.client_keys import PRESENTED_MAX, SEED_BYTES, ClientKeys
from awfproxy.core.message import RequestHead
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client

ALICE = b"alice-key-0123456789"
BOB = b"bob-key-0123456789ab"
CLIENTS = [
    Client(name="a", key=Secret(ALICE), user="alice"),
    Client(name="b", key=Secret(BOB), user="bob"),
]


def head(*headers: tuple[bytes, bytes], target: bytes = b"/v1/chat/completions") -> RequestHead:
    """A request with these headers."""
    listed = [(name.lower(), name, value) for name, value in headers]
    fields = {lower: value for lower, _, value in listed}
    return RequestHead(b"POST", target, 1, listed, fields, None, False, True, False)


def user(request: RequestHead, **options: object) -> str | None:
    """Whose it is."""
    keys = ClientKeys(CLIENTS, b"s" * SEED_BYTES, **options)  # type: ignore[arg-type]
    client = keys.client(request)
    return None if client is None else client.user


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Authorization", b"Bearer " + ALICE),
        (b"authorization", b"bearer  " + ALICE + b" "),
        (b"Authorization", b"token " + ALICE),
        (b"Authorization", b"Bearer Bearer " + ALICE),
        (b"Authorization", ALICE),
        (b"x-api-key", ALICE),
        (b"X-API-Key", ALICE),
        (b"api-key", ALICE),
        (b"x-goog-api-key", ALICE),
    ],
)
def test_every_header_in_which_sdks_send_keys(name: bytes, value: bytes) -> None:
    """OpenAI, Copilot, a slip, Anthropic, Azure, Google."""
    assert user(head((name, value))) == "alice"


def test_the_ports_own_header() -> None:
    """Where the settings name one, clients may use it too; elsewhere it is a header like any other."""
    request = head((b"X-Gateway-Key", BOB))
    assert user(request, credential_header=b"X-Gateway-Key") == "bob"
    assert user(request) is None


@pytest.mark.parametrize("query", [b"key=" + ALICE, b"a=1&api_key=" + ALICE, b"%6Bey=%61" + ALICE[1:]])
def test_in_the_query_where_the_provider_takes_keys_there(query: bytes) -> None:
    """Elsewhere it would go on to the upstream, and is no key."""
    request = head(target=b"/v1beta/models/gemini:generateContent?" + query)
    assert user(request, in_query=True) == "alice"
    assert user(request) is None


def test_one_of_several_keys_is_enough() -> None:
    """Agents send a placeholder beside the real one, also under the same name."""
    assert user(head((b"authorization", b"Bearer placeholder"), (b"x-api-key", BOB))) == "bob"
    assert user(head((b"authorization", b"Bearer " + BOB), (b"authorization", b"Bearer placeholder"))) == "bob"


def test_only_so_many_are_looked_at() -> None:
    """A request cannot try out keys by the thousand."""
    wrong = [(b"x-api-key", b"wrong-%d" % at) for at in range(PRESENTED_MAX)]
    assert user(head(*wrong[1:], (b"x-api-key", ALICE))) == "alice"
    assert user(head(*wrong, (b"x-api-key", ALICE))) is None


@pytest.mark.parametrize(
    "headers", [[], [(b"authorization", b"")], [(b"authorization", b"Bearer")], [(b"x-api-key", ALICE[:-1])]]
)
def test_no_key_or_a_wrong_one(headers: list[tuple[bytes, bytes]]) -> None:
    """Nobody's."""
    assert user(head(*headers)) is None


def test_whether_a_key_was_presented() -> None:
    """For the words of the refusal."""
    keys = ClientKeys(CLIENTS, b"s" * SEED_BYTES)
    assert not keys.presents(head())
    assert keys.presents(head((b"x-api-key", b"wrong")))


def test_keys_are_kept_as_hashes() -> None:
    """Nothing that prints the object shows a key."""
    keys = ClientKeys(CLIENTS, b"s" * SEED_BYTES)
    assert all(ALICE not in digest for digest, _ in keys._clients)
    assert b"alice-key" not in repr(vars(keys)).encode()
