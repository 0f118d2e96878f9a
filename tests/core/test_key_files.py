"""Other keys in the place of those that settings have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.key_files import with_keys
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Database, Port, Service, Settings, Upstream
from awfproxy.core.settings_clients import CLIENT_KEY_MIN

#: keys, the last of them too short for a client
KEYS = [Secret(letter * CLIENT_KEY_MIN) for letter in "abcdef"] + [Secret("short")]
PLACES = [("ports", "p", "credential"), *(("ports", "p", "clients", name, "key") for name in "xyz")]


def settings(credential: Secret | None, *keys: Secret) -> Settings:
    """A port with a client for each key."""
    clients = tuple(Client(name=name, key=key, user=name) for name, key in zip("xyz", keys, strict=False))
    port = Port(
        name="p", listen="tcp:1", provider="openai", upstream=Upstream("http", "u", 1), credential=credential,
        clients=clients,
    )  # fmt: skip
    service = Service(log_dir="", state_dir="", admin="", ledger=Database("sqlite:////l"))
    return Settings(service=service, ports=(port,), source="test")


START = settings(*KEYS[:4])


def keys_of(given: Settings) -> list[Secret | None]:
    """In the order of `PLACES`."""
    (port,) = given.ports
    return [port.credential, *(client.key for client in port.clients)]


@given(keys=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(KEYS)))
def test_what_comes_is_as_right_as_what_was_there(keys: dict[tuple[str, ...], Secret]) -> None:
    """Afterwards all clients' keys are long, different and not the port's; each place has its new key or a reason and
    its old one; what could be taken as a whole is.
    """
    after, problems = with_keys(START, keys)
    found = keys_of(after)
    assert len(set(found)) == len(found) and KEYS[-1] not in found[1:]
    for place, before, now in zip(PLACES, keys_of(START), found, strict=True):
        assert now == (keys[place] if place in keys and place not in problems else before)
    assert problems.keys() <= keys.keys()
    wanted = [keys.get(place, before) for place, before in zip(PLACES, keys_of(START), strict=True)]
    if len(set(wanted)) == len(wanted) and KEYS[-1] not in wanted[1:]:
        assert not problems and found == wanted
    again, _ = with_keys(after, {place: key for place, key in keys.items() if place not in problems})
    assert again is after


def test_clients_may_change_keys_with_one_another() -> None:
    """At once; one after the other it would be somebody else's key."""
    x, y = PLACES[1:3]
    after, problems = with_keys(START, {x: KEYS[2], y: KEYS[1]})
    assert not problems and keys_of(after)[1:3] == [KEYS[2], KEYS[1]]


def test_reasons_tell_nothing_of_the_key() -> None:
    """And who is at fault is the one that changed, not the one that stays."""
    after, problems = with_keys(START, {PLACES[1]: KEYS[3], PLACES[0]: KEYS[2], PLACES[3]: KEYS[-1]})
    assert after.ports[0].clients[1].key == KEYS[2]
    assert "is the key of" in problems[PLACES[1]] and "the key of the port itself" in problems[PLACES[0]]
    assert "shorter than" in problems[PLACES[3]]
    assert not any(str(key.reveal().decode()) in text for text in problems.values() for key in KEYS[:-1])


def test_places_that_there_are_not() -> None:
    """Of a port or a client that was taken out meanwhile: left out."""
    after, problems = with_keys(START, {("ports", "q", "credential"): KEYS[5], (*PLACES[1][:3], "w", "key"): KEYS[5]})
    assert after is START and not problems
