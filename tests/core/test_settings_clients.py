"""Clients of a port: their keys, their users, and what several of one user share."""

import pytest

from awfproxy.core.budgets import Budget
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client
from awfproxy.core.settings_clients import CLIENT_KEY_MIN, clients_of
from awfproxy.core.settings_draft import Draft
from awfproxy.core.toml_document import Document

AT = ("ports", "p", "clients")
A, B = "a" * CLIENT_KEY_MIN, "b" * CLIENT_KEY_MIN
CREDENTIAL = Secret("sk-the-key-of-the-port")


def read(text: str) -> tuple[tuple[Client, ...], Draft]:
    """Clients; a key `file` holds its own name, a variable is not set."""
    draft = Draft(Document(text, "a.toml"), lambda kind, name: Secret(name) if kind == "file" else None)
    return clients_of(draft, AT, draft.document.ports["p"].clients, CREDENTIAL), draft


def faults(text: str) -> list[str]:
    return read(text)[1].document.lines()


def key(name: str, value: str) -> str:
    return f'[ports.p.clients.{name}]\nkey = {{ file = "{value}" }}\n'


def test_a_client_of_its_own() -> None:
    """Its user is named like itself, if nothing else is said."""
    clients, draft = read(key("ci", A) + key("dev", B) + 'user = "Ann"\nlimits = { requests_per_hour = 5 }')
    assert clients == (
        Client(name="ci", key=Secret(A), user="ci"),
        Client(name="dev", key=Secret(B), user="Ann", limits=RateLimits(requests_per_hour=5)),
    )
    assert (draft.document.lines(), draft.warnings) == ([], [])
    assert draft.sources["ports.p.clients.ci.key"] == f"a.toml:2, file {A}"


def test_clients_of_one_user_share_what_stands_in_one_of_their_tables() -> None:
    """A new key beside the old one does not double what the user has, whichever comes first."""
    text = key("old", A) + 'user = "ci"\n' + key("ci", B) + "[ports.p.clients.ci.budget]\nenabled = true\n"
    clients, draft = read(text)
    assert [client.budget for client in clients] == [Budget(enabled=True)] * 2
    assert draft.document.lines() == []
    assert draft.sources["ports.p.clients.old.budget.enabled"] == "a.toml:7"


def test_a_user_has_one_place_for_its_limits() -> None:
    """Two would leave open which one holds."""
    lines = faults(
        key("a", A) + 'user = "u"\nlimits.requests_per_hour = 1\n' + key("b", B) + 'user = "u"\nbudget.enabled = true\n'
    )
    assert lines == [
        "a.toml:5: `ports.p.clients.b` has limits or a budget, as has `a`, which is the same user, `u`; write them into"
        " one of the two, they are for both."
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[ports.p.clients.ci]", "a.toml:1: `ports.p.clients.ci` ", "has no `key`"),
        ('[ports.p.clients.ci]\nkey = "sk-inline"', "a.toml:2: `ports.p.clients.ci.key` ", "must be a table"),
        ("[ports.p.clients.ci]\nkey = {}", "a.toml:2: `ports.p.clients.ci.key` ", "exactly one of"),
        ('[ports.p.clients.ci]\nkey = { env = "K" }', "a.toml:2: `ports.p.clients.ci.key` ", "K, which is not set"),
        (key("ci", "sk-inline"), "a.toml:2: `ports.p.clients.ci.key` ", f"shorter than {CLIENT_KEY_MIN} bytes"),
        (key("ci", A) + key("dev", A), "a.toml:4: `ports.p.clients.dev.key` ", "is the key of `ci` too"),
        (key("ci", CREDENTIAL.reveal().decode()), "a.toml:2: `ports.p.clients.ci.key` ", "is the key of the port itself"),
        (key("ci", A) + 'user = " x"', "a.toml:3: `ports.p.clients.ci.user` ", "is no usable name"),
        (key("ci", A) + f'user = "{"x" * 257}"', "a.toml:3: `ports.p.clients.ci.user` ", "is no usable name"),
        (key("ci", A) + "budget.hard_cap_tokens = 1", "a.toml:3: `ports.p.clients.ci.budget.hard_cap_tokens` ", "soft"),
    ],
)
def test_what_is_wrong_with_a_client_is_told(text: str, place: str, words: str) -> None:
    """With the key's place, and nothing of the key."""
    (fault,) = faults(text)
    assert fault.startswith(place)
    assert words in fault
    for secret in ("sk-inline", A, CREDENTIAL.reveal().decode()):
        assert secret not in fault
