"""The admin socket, ``state_dir/admin.sock``: what changes anything is asked for here and nowhere else.

    GET    /budgets                                     `budget_desk.Statements`
    GET    /budgets/PORT[/user/NAME|/feature/NAME]      the same, of one port or budget
    PUT    /budgets/PORT[/user/NAME|/feature/NAME]      fields as a JSON object; `budget_desk.Statement`
    DELETE /budgets/PORT[...][?field=NAME&field=NAME]   the same; without a query all fields
    GET    /breakdown/PORT                              `budget_desk.Division`
    POST   /reload, /drain

Names are percent-encoded.  Errors are ``{"error": {"type", "message", "faults"}}``.

Agents share the loopback with the proxy, but not its user: the socket is the user's alone (mode 0600), and each
connection's peer is asked of the kernel (SO_PEERCRED): the proxy's own user or root, who is kept with what was changed.
Control traffic, so ``twisted.web`` serves it; a web page cannot reach it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
import txaio
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.ledger.budget_desk import BudgetDesk, Refused, Statement, titled
from awfproxy.ledger.errors import LedgerUnavailable
from awfproxy.ledger.interface import Ledger
from awfproxy.ledger.person import person
from awfproxy.server.admin import AdminSite
from awfproxy.server.controls import Controls, Reloaded
from awfproxy.server.reactor_network import adopt_unix
from awfproxy.server.sockets import ListenError, open_listening

txaio.use_twisted()
log = txaio.make_logger()

NAME: Final = "admin.sock"
DIRECTORY_MODE: Final = 0o700
#: bytes of a request's body: eight fields of a budget are some hundred
BODY_MAX: Final = 64 * 1024
#: of `unix(7)`'s struct ucred: pid, uid, gid
_CREDENTIALS: Final = struct.Struct("3i")

Uid = Callable[[Any], int | None]


class AdminSocketPages(Resource):
    """All that can be asked for.

    :param now: seconds since the epoch
    :param uid_of: the user on the other side of a request's connection; None: the system does not tell
    """

    isLeaf = True

    def __init__(self, controls: Controls, now: Callable[[], float], uid_of: Uid | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._controls = controls
        self._now = now
        self._uid_of = uid_of or peer_uid

    def render(self, request: Any) -> Any:
        """Answer one request."""
        request.setHeader(b"server", b"awfproxy")
        request.setHeader(b"cache-control", b"no-store")
        uid = self._uid_of(request)
        if uid is None or uid not in (0, os.geteuid()):
            log.warn("admin socket: refused user {uid}", uid=uid)
            return _error(request, 403, "not_allowed", "Only the user of the service and root may use this socket.")
        if request.too_large:
            return _error(request, 413, "too_large", f"A body has at most {BODY_MAX} bytes here.")
        try:
            first, *rest = (unquote_to_bytes(part).decode() for part in request.path.removeprefix(b"/").split(b"/"))
        except UnicodeDecodeError:
            return _error(request, 400, "bad_request", "A name is not UTF-8.")
        method = request.method.decode("latin-1")
        if first == "budgets" and (named := _named(rest)) is not None and (method == "GET" or rest):
            return self._budgets(request, method, named, person(uid))
        if first == "breakdown" and len(rest) == 1:
            if method != "GET":
                return _not(request, "GET")
            return self._on_desk(request, person(uid), lambda desk: desk.division(rest[0]))
        if first in ("reload", "drain") and not rest:
            if method != "POST":
                return _not(request, "POST")
            log.info("{what} asked for by {who}", what=first, who=person(uid))
            return self._reload(request) if first == "reload" else self._drain(request)
        return _error(request, 404, "not_found", "There are /budgets, /breakdown, /reload and /drain.")

    def _budgets(self, request: Any, method: str, named: dict[str, str], who: str) -> Any:
        if method == "GET":
            return self._on_desk(request, who, lambda desk: desk.show(**named))
        if method == "PUT":
            try:
                fields = msgspec.json.decode(request.content.getvalue(), type=dict[str, Any])
            except UNDECODABLE:
                return _error(request, 400, "bad_request", 'The body must be a JSON object like {"enabled": true}.')
            return self._on_desk(request, who, lambda desk: desk.set(fields, **named), f"set {_options(fields)}")
        if method == "DELETE":
            names = [name.decode("utf-8", "replace") for name in request.args.get(b"field", [])] or None
            change = "unset " + (" ".join(names) if names else "all")
            return self._on_desk(request, who, lambda desk: desk.unset(names, **named), change)
        return _not(request, "GET, PUT, DELETE")

    def _on_desk(self, request: Any, who: str, ask: Callable[[BudgetDesk], Any], change: str = "") -> int:
        """Answer with what the desk answers.

        :param change: what is asked to be changed, for the log; told once it was done, so that all in it is right
        """
        settings, now = self._controls.settings, self._now()

        def operation(ledger: Ledger) -> Any:
            return ask(BudgetDesk(settings, ledger, who, now))

        def answer(found: Any) -> tuple[int, bytes]:
            if isinstance(found, Refused):
                return (404 if found.type == "unknown_budget" else 400), _body(found.type, found.message, found.faults)
            if isinstance(found, Statement):  # only changes are answered with a single one
                log.info(
                    "budget of {scope} changed by {who}: {change}", scope=titled(found.scope), who=who, change=change
                )
                self._controls.budgets_changed()
            return 200, msgspec.json.encode(found)

        return _later(request, self._controls.on_ledger(operation).addCallback(answer))

    def _reload(self, request: Any) -> int:
        def answer(reloaded: Reloaded) -> tuple[int, bytes]:
            if reloaded.done:
                return 200, msgspec.json.encode(reloaded)
            return 409, _body("not_reloaded", "\n".join(reloaded.lines))

        return _later(request, self._controls.reload().addCallback(answer))

    def _drain(self, request: Any) -> bytes:
        self._controls.drain()
        return _finished(request, 202, b'{"draining":true}')


class SmallRequest(Request):
    """Keeps a small body in memory, and of a large one only that it was."""

    too_large = False

    def gotLength(self, length: int | None) -> None:
        """No file for long ones."""
        self.content = BytesIO()
        self.too_large = length is not None and length > BODY_MAX

    def handleContentChunk(self, data: bytes) -> None:
        """Kept, up to the bound."""
        content: Any = self.content
        self.too_large = self.too_large or content.tell() + len(data) > BODY_MAX
        if not self.too_large:
            content.write(data)


class AdminSocket:
    """The listening socket.  `open` once privileges are dropped, as it belongs to the user that opens it, and before
    calls are accepted; `start` in the reactor; `stop` at the end.

    :param now: seconds since the epoch
    """

    def __init__(self, state_dir: str, controls: Controls, reactor: Any, now: Callable[[], float]) -> None:
        self._path = os.path.join(state_dir, NAME)
        self._reactor = reactor
        self._site: Any = AdminSite(AdminSocketPages(controls, now), reactor, SmallRequest)
        self._bound: socket.socket | None = None
        self._listening: IListeningPort | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Bind, in the place of what a killed process left there.

        :raises ListenError: another process serves the socket, or it cannot be made
        """
        try:
            os.makedirs(os.path.dirname(self._path), DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            raise ListenError(f"state_dir cannot be used: {error.strerror or error}: {error.filename}") from error
        escaped = self._path.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
        self._bound = open_listening(f"unix:{escaped}:mode=600")
        self._identity = _identity(self._path)

    def start(self) -> None:
        """Answer."""
        assert self._bound is not None
        self._bound.setblocking(False)
        self._listening = adopt_unix(self._reactor, self._bound, self._site)
        self._bound.close()  # the reactor has a descriptor of its own
        self._bound = None

    def stop(self) -> Deferred[None] | None:
        """Close, and take the file away if it is still this one."""
        if self._identity is not None and _identity(self._path) == self._identity:
            os.unlink(self._path)
        if self._bound is not None:
            self._bound.close()
        listening, self._listening = self._listening, None
        return None if listening is None else listening.stopListening()


def peer_uid(request: Any) -> int | None:
    """The user of the process that made a request's connection, as it was when it connected (unix(7), SO_PEERCRED)."""
    connected = getattr(request.channel.transport, "socket", None)
    if connected is None or not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid


def _named(parts: list[str]) -> dict[str, str] | None:
    """The budget that a path names, as `BudgetDesk` takes it; None: no budget is named so."""
    if not parts:
        return {}
    if len(parts) == 1:
        return {"port": parts[0]}
    if len(parts) == 3 and parts[1] in ("user", "feature"):
        return {"port": parts[0], parts[1]: parts[2]}
    return None


def _options(fields: Mapping[str, Any]) -> str:
    """Fields as `awf budget set` takes them."""
    found = (
        ("--enabled" if value else "--disabled") if name == "enabled" else f"--{name.replace('_', '-')} {value}"
        for name, value in fields.items()
    )
    return " ".join(found) or "nothing"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def _later(request: Any, answering: Deferred[tuple[int, bytes]]) -> int:
    """Send what it fires with, if somebody still waits for it."""
    gone: list[Failure] = []
    request.notifyFinish().addErrback(gone.append)

    def failed(failure: Failure) -> tuple[int, bytes]:
        if isinstance(failure.value, LedgerUnavailable):
            return 503, _body("ledger_unavailable", f"The ledger cannot be used now: {failure.value}.")
        log.failure("admin socket: a request failed", failure=failure)
        return 500, _body("proxy_error", "See the log.")

    def send(answer: tuple[int, bytes]) -> None:
        if not gone:
            request.write(_finished(request, *answer))
            request.finish()

    answering.addErrback(failed)
    answering.addCallback(send)
    return NOT_DONE_YET


def _finished(request: Any, status: int, body: bytes) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % (len(body) + 1))
    return body + b"\n"


def _body(kind: str, message: str, faults: object = ()) -> bytes:
    return msgspec.json.encode({"error": {"type": kind, "message": message, "faults": faults}})


def _error(request: Any, status: int, kind: str, message: str) -> bytes:
    return _finished(request, status, _body(kind, message))


def _not(request: Any, allowed: str) -> bytes:
    request.setHeader(b"allow", allowed.encode())
    return _error(request, 405, "bad_method", f"Here the method is one of {allowed}.")
