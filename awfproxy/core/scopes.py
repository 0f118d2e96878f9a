"""Which budgets there are, and where each field of them is from.

Rules:
- A port has a budget; so has each user of its clients, each feature it lists, and, where it lists any, `other`: all the
  features that it does not list.
- The settings are the base; what was stored over them counts field by field (`budgets.stored`).
- Rows of the ledger carry the feature that budgets count: one that is listed, else `other`.  A port that lists none has
  nothing to sum up, and its rows keep what the records say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from awfproxy.core.budgets import DEFAULTS, FIELDS, Budget, Scope, fault
from awfproxy.core.settings import OTHER_FEATURES, Port, Settings

#: where a field is from that nobody has said anything about
DEFAULT_SOURCE: Final = "default"


def budgets_of(settings: Settings) -> dict[Scope, Budget]:
    """The budgets as the settings have them: port by port, its own, its users', its features'."""
    found: dict[Scope, Budget] = {}
    for port in settings.ports:
        found[Scope(port.name)] = port.budget
        found |= {Scope(port.name, "user", client.user): client.budget for client in port.clients}
        found |= {Scope(port.name, "feature", feature.name): feature.budget for feature in port.features}
        if port.features:
            found.setdefault(Scope(port.name, "feature", OTHER_FEATURES), DEFAULTS)
    return found


def find_scope(settings: Settings, port: str, user: str | None = None, feature: str | None = None) -> Scope | str:
    """The budget that somebody names; a whole sentence where there is none.

    :param user: of a client; at most one of both is given
    """
    known = {each.name: each for each in settings.ports}
    if port not in known:
        return f"There is no port {port}; there are {_listed(known)}."
    if user is None and feature is None:
        return Scope(port)
    scope = Scope(port, "feature", feature) if feature is not None else Scope(port, "user", user or "")
    budgets = budgets_of(settings)
    if scope in budgets:
        return scope
    names = [each.name for each in budgets if each.port == port and each.kind == scope.kind]
    have = f"it has {_listed(names)}" if names else "it has none"
    if scope.kind == "user":
        return f"Port {port} has no client whose user is {user}, and budgets are for those only; {have}."
    table = f'[ports.{port}.features."{feature}"]'
    return f"Port {port} does not list the feature {feature}; {have}. Write {table} into the configuration file."


def sources_of(settings: Settings, scope: Scope, fields: Mapping[str, Any]) -> dict[str, str | None]:
    """Where each field is from: the file and line, or `DEFAULT_SOURCE`; None: from ``fields``, which were stored."""
    table = _table(settings, scope)
    return {
        name: None
        if name in fields and fault(name, fields[name]) is None
        else settings.sources.get(f"{table}.{name}", DEFAULT_SOURCE)
        for name in FIELDS
    }


def counted_feature(listed: Collection[str], feature: str | None) -> str | None:
    """The feature under which budgets count a call.

    :param listed: the features of its port
    :param feature: as the record has it: what the client said, else the kind of API
    """
    return feature if not listed or feature in listed else OTHER_FEATURES


def has_key(port: Port) -> bool:
    """Whether calls of the port can go on."""
    return port.keyless or port.credential is not None


def _table(settings: Settings, scope: Scope) -> str:
    at = f"ports.{scope.port}"
    if scope.kind == "port":
        return f"{at}.budget"
    if scope.kind == "feature":
        return f"{at}.features.{scope.name}.budget"
    clients = (each for port in settings.ports if port.name == scope.port for each in port.clients)
    # all clients of a user have the same budget, and the same sources
    client = next((each.name for each in clients if each.user == scope.name), scope.name)
    return f"{at}.clients.{client}.budget"


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
