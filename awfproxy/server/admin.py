"""The admin listener: `/metrics`, `/health`, `/ready`, `/reflect`.  It shows and never changes.

Control traffic, so ``twisted.web`` serves it.  Agents and browsers share the loopback with it, therefore:
- GET and HEAD only; bodies are read and thrown away; idle connections are closed; connections are bounded;
- the same rule on ``Host`` and ``Origin`` as on the ports: a web page must not read what runs here;
- nothing secret is on it, and answers are not stored by anybody.

`admin_service` opens the listener when it starts and raises at once if the address is taken (Twisted's own
``StreamServerEndpointService`` logs that and runs on, deaf).
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import msgspec
import txaio
from twisted.application import strports
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from awfproxy.core.message import Header, RequestHead
from awfproxy.core.origin import foreign
from awfproxy.core.settings import Settings
from awfproxy.server.exposition import Exposition
from awfproxy.server.health import Health
from awfproxy.server.sockets import ListenError, explain

if TYPE_CHECKING:
    from awfproxy.core.refusals import Refusal

txaio.use_twisted()
log = txaio.make_logger()

#: seconds a connection may be idle; scrapers come every 15 to 60 seconds and reconnect for little
IDLE_TIMEOUT: Final = 60.0
#: connections at once; a scraper, a health probe and a few people with curl need fewer than ten
CONNECTIONS_MAX: Final = 64

RunInThread = Callable[[Callable[[], tuple[str, bytes]]], Deferred[tuple[str, bytes]]]


class AdminPages(Resource):
    """All pages.

    :param reflect: the body of `/reflect`: ports, providers, configured or not; no secrets
    :param objection: why a request must not be answered (`core.origin.foreign` with the settings), or None
    :param in_thread: runs a function beside the reactor (``deferToThread``): a scrape takes milliseconds
    :param fresh: fires when what the pages show is up to date, and never fails; None: it always is
    """

    isLeaf = True

    def __init__(
        self,
        health: Health,
        exposition: Exposition,
        reflect: Callable[[], dict[str, Any]],
        objection: Callable[[RequestHead], Refusal | None],
        in_thread: RunInThread,
        fresh: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._health = health
        self._exposition = exposition
        self._reflect = reflect
        self._objection = objection
        self._in_thread = in_thread
        self._fresh = fresh

    def render(self, request: Any) -> Any:
        """Answer one request."""
        request.setHeader(b"server", b"awfproxy")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        if len(request.requestHeaders.getRawHeaders(b"host", [])) > 1:
            return _refuse(request, 400, "bad_request", "More than one Host.")
        refusal = self._objection(_head(request))
        if refusal is not None:
            return _refuse(request, refusal.status, refusal.type, refusal.message)
        page = _PAGES.get(request.path)
        if page is None:
            return _refuse(request, 404, "not_found", "Pages: /metrics, /health, /ready, /reflect.")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return _refuse(request, 405, "read_only", "This listener only shows.")
        if self._fresh is None:
            return page(self, request)
        gone = _goes(request)

        def show(_: None) -> None:
            if not gone:
                _finish(request, page(self, request))

        self._fresh().addCallback(show)
        return NOT_DONE_YET

    def _show_health(self, request: Any) -> bytes:
        return _json(request, 200, self._health.report())

    def _show_ready(self, request: Any) -> bytes:
        return _json(request, 200 if self._health.ready else 503, {"state": self._health.state})

    def _show_reflect(self, request: Any) -> bytes:
        return _json(request, 200, self._reflect())

    def _show_metrics(self, request: Any) -> int:
        accept = ",".join(request.requestHeaders.getRawHeaders("accept", []))
        degraded = self._health.degraded()
        gone = _goes(request)

        def show(rendered: tuple[str, bytes]) -> None:
            if not gone:
                content_type, body = rendered
                request.setHeader(b"content-type", content_type.encode("ascii"))
                request.setHeader(b"content-length", b"%d" % len(body))
                request.write(body)
                request.finish()

        def failed(failure: Failure) -> None:
            log.failure("admin: /metrics failed", failure=failure)
            if not gone:
                _finish(request, _refuse(request, 500, "proxy_error", "See the log."))

        rendering = self._in_thread(lambda: self._exposition.render(accept, degraded))
        rendering.addCallback(show)
        rendering.addErrback(failed)
        return NOT_DONE_YET


_PAGES: Final[dict[bytes, Callable[[AdminPages, Any], Any]]] = {
    b"/health": AdminPages._show_health,
    b"/ready": AdminPages._show_ready,
    b"/reflect": AdminPages._show_reflect,
    b"/metrics": AdminPages._show_metrics,
}


class AdminSite(Site):
    """Pages with the limits above and without an access log.

    :param requests: what a request is read into
    """

    noisy = False

    def __init__(self, pages: Resource, reactor: IReactorTime, requests: type[Request] | None = None) -> None:
        limits = {"parsePOSTFormSubmission": False, "timeout": IDLE_TIMEOUT}
        super().__init__(pages, requests or _BodilessRequest, reactor=reactor, **limits)  # type: ignore[no-untyped-call]
        self._open = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection, unless there are too many."""
        if self._open >= CONNECTIONS_MAX:
            return None
        channel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        self._open += 1
        lost = channel.connectionLost

        def connection_lost(reason: Failure) -> None:
            self._open -= 1
            lost(reason)

        channel.connectionLost = connection_lost
        return channel

    def log(self, request: http.Request) -> None:
        """Nothing per request."""


class _BodilessRequest(Request):
    """Throws the body away instead of keeping it in memory or in a file."""

    def gotLength(self, length: int | None) -> None:
        """No file for long ones."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Nothing is kept."""


def admin_service(description: str, site: AdminSite, reactor: Any) -> StreamServerEndpointService:
    """The service that listens on an endpoint string.

    Its ``privilegedStartService`` or ``startService`` raises ``CannotListenError`` where the address is taken.
    """
    return strports.service(description, site, reactor)


def open_admin(
    description: str,
    hosts: Callable[[], frozenset[bytes]],
    reactor: Any,
    health: Health,
    exposition: Exposition,
    reflect: Callable[[], dict[str, Any]],
    fresh: Callable[[], Deferred[None]] | None = None,
) -> StreamServerEndpointService:
    """The admin listener, bound and not started.

    :param description: its endpoint string
    :param hosts: names by which it may be called, beside those that always may be
    :raises ListenError: its address cannot be bound
    """
    pages = AdminPages(
        health,
        exposition,
        reflect,
        lambda head: foreign(head, hosts(), None),
        lambda render: deferToThreadPool(reactor, reactor.getThreadPool(), render),
        fresh,
    )
    try:
        service = admin_service(description, AdminSite(pages, reactor), reactor)
        service.privilegedStartService()
    except Exception as error:  # taken, or whatever a parser makes of parts it does not like
        raise ListenError(explain(description, error)) from error
    return service


def allowed_hosts(settings: Settings) -> frozenset[bytes]:
    """A scraper on another container calls the admin listener by the names by which the ports may be called."""
    return frozenset(host.encode("ascii") for port in settings.ports for host in port.allowed_hosts)


def _goes(request: Any) -> list[Failure]:
    """Why nobody waits for the answer any more: empty as long as somebody does."""
    gone: list[Failure] = []
    request.notifyFinish().addErrback(gone.append)
    return gone


def _finish(request: Any, body: Any) -> None:
    """Send a page; NOT_DONE_YET: it is sent later."""
    if body is not NOT_DONE_YET:
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()


def _head(request: Any) -> RequestHead:
    headers: list[Header] = [
        (name.lower(), name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values
    ]
    return RequestHead(
        method=request.method,
        target=request.uri,
        minor=0 if request.clientproto == b"HTTP/1.0" else 1,
        headers=headers,
        fields={name: value for name, _, value in headers},
        content_length=None,
        chunked=False,
        keep_alive=True,
        expect_continue=False,
    )


def _json(request: Any, status: int, body: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return msgspec.json.encode(body) + b"\n"


def _refuse(request: Any, status: int, kind: str, message: str) -> bytes:
    return _json(request, status, {"error": {"type": kind, "message": message}})
