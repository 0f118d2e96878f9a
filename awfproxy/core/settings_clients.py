"""The clients of a port, from a file's tables.

Rules: a client's key is long enough not to be guessed, is no other client's, and is not the provider's.  Limits and
budget are its user's; where several clients have the same user, they stand in the table of one of them.
"""

import msgspec

from awfproxy.core.labels import LABEL_MAX, label
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Client
from awfproxy.core.settings_budgets import budget_of, limits_of
from awfproxy.core.settings_draft import Draft
from awfproxy.core.toml_lines import Path
from awfproxy.core.toml_tables import ClientTable

#: Bytes of the shortest key that a client may have.  Everything on the host can try keys at the speed of the loopback;
#: 16 random bytes are out of its reach even where they are hexadecimal digits (64 bits).
CLIENT_KEY_MIN = 16


def clients_of(
    draft: Draft, at: Path, tables: dict[str, ClientTable], credential: Secret | None
) -> tuple[Client, ...]:
    """The clients; what is wrong with them is noted.

    :param credential: the port's own.
    """
    clients: list[Client] = []
    #: the name of the client that has this key
    holders: dict[Secret, str] = {}
    #: the client in whose table stands what this user may use
    owners: dict[str, Client] = {}
    for name, table in tables.items():
        path = (*at, name)
        client = _client(draft, path, table)
        if client is None:
            continue
        clients.append(client)
        if (problem := key_problem(client, credential, holders)) is not None:
            draft.document.fault((*path, "key"), problem)
        if not draft.document.given.isdisjoint(((*path, "limits"), (*path, "budget"))):
            owner = owners.setdefault(client.user, client)
            if owner is not client:
                draft.document.fault(
                    path,
                    f"has limits or a budget, as has `{owner.name}`, which is the same user, `{client.user}`; write"
                    " them into one of the two, they are for both",
                )
    return tuple(_of_user(draft, at, client, owners.get(client.user, client)) for client in clients)


def key_problem(client: Client, credential: Secret | None, holders: dict[Secret, str]) -> str | None:
    """What is wrong with a client's key, as the rest of a sentence; None: nothing.

    :param credential: the port's own
    :param holders: by key, the name of the client that has it; this one is added
    """
    if len(client.key.reveal()) < CLIENT_KEY_MIN:
        return f"is shorter than {CLIENT_KEY_MIN} bytes, and could be guessed; `openssl rand -hex 32` makes one"
    if client.key == credential:
        return "is the key of the port itself, which no client may know"
    holder = holders.setdefault(client.key, client.name)
    return None if holder == client.name else f"is the key of `{holder}` too; give each client its own"


def _client(draft: Draft, at: Path, table: ClientTable) -> Client | None:
    user = at[-1] if table.user is None else table.user
    if label(user.encode()) != user:
        draft.document.fault((*at, "user"), f"is no usable name: up to {LABEL_MAX} bytes of text, nothing unprintable")
    budget = budget_of(draft, (*at, "budget"), table.budget)
    if table.key is None:
        if (*at, "key") not in draft.document.given:
            draft.document.fault(at, 'has no `key`; write `key = { file = "..." }`')
        return None
    key = draft.need((*at, "key"), table.key)
    if key is None:
        return None
    return Client(name=at[-1], key=key, user=user, limits=limits_of(table.limits), budget=budget)


def _of_user(draft: Draft, at: Path, client: Client, owner: Client) -> Client:
    """`client` with what its user may use."""
    if owner is client:
        return client
    own, theirs = (".".join((*at, each.name, "")) for each in (client, owner))
    for name, source in list(draft.sources.items()):
        if name.startswith((f"{theirs}limits", f"{theirs}budget")):
            draft.sources[own + name.removeprefix(theirs)] = source
    return msgspec.structs.replace(client, limits=owner.limits, budget=owner.budget)
