"""Other keys in the place of those that settings have: what is taken of them, and what is wrong with the rest.

Rules: a key that comes in place of another one must be as right as one that stands there from the start
(`settings_clients.key_problem`).  All that come at once are looked at together, so that two clients may change theirs
with one another; of those that are wrong none is taken, and what is in their place stays.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client, Port, Settings
from awfproxy.core.settings_clients import key_problem
from awfproxy.core.toml_lines import Path


def with_keys(settings: Settings, keys: Mapping[Path, Secret]) -> tuple[Settings, dict[Path, str]]:
    """The settings with those of the keys that can be taken, and what is wrong with each of the others.

    :param keys: by place (`settings.KeyFile`); of a place that the settings do not have, a key is left out
    """
    problems: dict[Path, str] = {}
    ports = tuple(_port(port, keys, problems) for port in settings.ports)
    return (settings if ports == settings.ports else replace(settings, ports=ports)), problems


def _port(port: Port, keys: Mapping[Path, Secret], problems: dict[Path, str]) -> Port:
    at = ("ports", port.name)
    wanted = {place: key for place, key in keys.items() if place[:2] == at}
    while wanted:
        changed = _changed(port, wanted)
        guilty: dict[Path, str] = {}
        for client, problem in _problems(changed):
            place = (*at, "clients", client.name, "key")
            # a client's key may stay and be wrong only because another one has become the same
            found = (place,) if place in wanted else tuple(each for each, key in wanted.items() if key == client.key)
            guilty |= dict.fromkeys(found, problem)
        if not guilty:
            return changed
        problems.update(guilty)
        wanted = {place: key for place, key in wanted.items() if place not in guilty}
    return port


def _changed(port: Port, keys: Mapping[Path, Secret]) -> Port:
    at = ("ports", port.name)
    clients = tuple(
        replace(client, key=keys.get((*at, "clients", client.name, "key"), client.key)) for client in port.clients
    )
    return replace(port, credential=keys.get((*at, "credential"), port.credential), clients=clients)


def _problems(port: Port) -> list[tuple[Client, str]]:
    holders: dict[Secret, str] = {}
    looked = ((client, key_problem(client, port.credential, holders)) for client in port.clients)
    return [(client, problem) for client, problem in looked if problem is not None]
