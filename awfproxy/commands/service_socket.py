"""HTTP to the running service over its Unix socket (server/admin_socket.py; docs/budgets.md).

A service runs if somebody answers at the socket.  A file that is there and nobody behind it is left of a service that
was killed.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from awfproxy.commands.failure import CommandFailed
from awfproxy.core.budgets import Fault
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.ledger.budget_desk import Division, Refused, Statement, Statements

#: in the state folder
SOCKET_NAME: Final = "admin.sock"
#: bytes of a socket's path, with the zero at its end (unix(7)); a service with a longer one does not start
PATH_BYTES: Final = 108
#: seconds; the service answers from its ledger, which waits 5 s for the locks of others
ANSWER_SECONDS: Final = 15.0


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""
    faults: list[Fault] = []


class _Answer(msgspec.Struct):
    error: _Error


class Reloaded(msgspec.Struct):
    """What a service did that was asked to read its configuration again; whole sentences."""

    #: what is in effect now, and what takes a restart
    lines: list[str] = []
    #: what may not be as it is wanted
    notes: list[str] = []


class _Connection(http.client.HTTPConnection):
    """To a Unix socket; the host is only for the head, which must have one."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = connected


class ServiceSocket:
    """A service that answered, as a desk of budgets: see `ledger.budget_desk.BudgetDesk`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def show(
        self, port: str | None = None, user: str | None = None, feature: str | None = None
    ) -> Statements | Refused:
        found = self._ask("GET", _place(port, user, feature))
        return found if isinstance(found, Refused) else msgspec.json.decode(found, type=Statements)

    def set(
        self, fields: Mapping[str, Any], port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused:
        found = self._ask("PUT", _place(port, user, feature), msgspec.json.encode(fields))
        return found if isinstance(found, Refused) else msgspec.json.decode(found, type=Statement)

    def unset(
        self, names: Sequence[str] | None, port: str, user: str | None = None, feature: str | None = None
    ) -> Statement | Refused:
        query = "" if names is None else "?" + urlencode([("field", name) for name in names])
        found = self._ask("DELETE", _place(port, user, feature) + query)
        return found if isinstance(found, Refused) else msgspec.json.decode(found, type=Statement)

    def division(self, port: str) -> Division | Refused:
        found = self._ask("GET", f"/breakdown/{_escaped(port)}")
        return found if isinstance(found, Refused) else msgspec.json.decode(found, type=Division)

    def reload(self) -> Reloaded:
        """Have the service take its configuration over.

        :raises CommandFailed: it was refused, or the service does not answer; with a line for each reason
        """
        found = self._ask("POST", "/reload")
        assert not isinstance(found, Refused), "no budget is asked for"
        return msgspec.json.decode(found, type=Reloaded)

    def drain(self) -> None:
        """Have the service drain and end.

        :raises CommandFailed: it does not answer
        """
        self._ask("POST", "/drain")

    def _ask(self, method: str, target: str, body: bytes | None = None) -> bytes | Refused:
        try:
            connected = _connect(self.path)
            connected.settimeout(ANSWER_SECONDS)
            connection = _Connection(connected)
            try:
                connection.request(method, target, body, {"Connection": "close"})
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CommandFailed(f"The running service does not answer at {self.path}: {why}.") from error
        if answer.status in (200, 202):
            return data
        try:
            said = msgspec.json.decode(data, type=_Answer).error
        except UNDECODABLE:
            said = _Error(message=f"The running service answered {answer.status}.")
        if said.type in ("unknown_budget", "invalid_budget"):
            return msgspec.convert(said, Refused, from_attributes=True)
        raise CommandFailed(said.message)


def running_service(state_dir: str) -> ServiceSocket | None:
    """The service whose state folder this is; None: it does not run.

    :raises CommandFailed: it cannot be told, or this user may not speak to it
    """
    path = os.path.join(state_dir, SOCKET_NAME)
    if len(os.fsencode(path)) >= PATH_BYTES:
        return None
    try:
        _connect(path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        remedy = " Run this as root, or as the user of the service." if isinstance(error, PermissionError) else ""
        raise CommandFailed(f"{path} cannot be used: {error.strerror or error}.{remedy}") from error
    return ServiceSocket(path)


def _connect(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(ANSWER_SECONDS)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _place(port: str | None, user: str | None, feature: str | None) -> str:
    parts = ["budgets"]
    if port is not None:
        parts.append(port)
    if user is not None:
        parts += ["user", user]
    elif feature is not None:
        parts += ["feature", feature]
    return "/" + "/".join(map(_escaped, parts))


def _escaped(part: str) -> str:
    return quote(part, safe="")
