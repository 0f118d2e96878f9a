"""One webhook: posts JSON to a URL that is a secret, and says how it was answered.

Control traffic, so treq does it, on connections of its own: nothing of the byte path's pool is used.

Rules:
- Its host is all that is ever said of a URL: path and query are what lets one write there.
- An attempt takes `ATTEMPT_SECONDS` at most, and reads `ANSWER_MAX` bytes at most, TLS included.  Only the head of the
  answer counts; its body is not read, redirects are not followed, cookies not kept.
- TLS is that of upstreams (`tls`), and not Twisted's: pyOpenSSL's callbacks take memory that is written and executed,
  which a hardened unit denies.
- The way to an https host is that of upstreams: through `HTTPS_PROXY` unless `NO_PROXY` names the host.
- Making one loads the authorities, which takes milliseconds: do it before calls are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IAddress, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from awfproxy import __version__
from awfproxy.core.alerts import Reply
from awfproxy.core.secret import Secret
from awfproxy.core.settings import Proxy
from awfproxy.core.urls import webhook_origin
from awfproxy.server.tls import TlsClient, TlsError, client_context
from awfproxy.server.tunnel import Tunnel, TunnelRefused

#: seconds for one attempt, from the name's look-up to the head of the answer
ATTEMPT_SECONDS: Final = 10.0
#: bytes that may come: two handshakes with long chains of certificates, and a head
ANSWER_MAX: Final = 64 * 1024

_HEADERS: Final[dict[bytes | str, bytes | str]] = {
    "Content-Type": "application/json",
    "User-Agent": f"awfproxy/{__version__}",
}


class Webhook:
    """One URL; one attempt at a time.

    :param proxy: to go through, with CONNECT; only for https
    """

    def __init__(self, url: Secret, proxy: Proxy | None, reactor: Any) -> None:
        self._url = url
        self._reactor = reactor
        self._connections = _Connections(url, proxy, reactor)
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = Agent.usingEndpointFactory(reactor, self._connections, pool)

    def post(self, body: bytes) -> Deferred[Reply]:
        """Make one attempt; never fails, and may be cancelled, which ends it soon."""
        return Deferred.fromCoroutine(self._post(body))

    async def _post(self, body: bytes) -> Reply:
        late = False

        def too_late() -> None:
            nonlocal late
            late = True
            asking.cancel()

        # a client of its own for each attempt: it would keep cookies
        asking = HTTPClient(self._agent).post(
            self._url.reveal(), data=body, headers=_HEADERS, allow_redirects=False, unbuffered=True
        )
        timer = self._reactor.callLater(ATTEMPT_SECONDS, too_late)
        try:
            response = await asking
            (retry_after, *_) = response.headers.getRawHeaders("retry-after") or [None]
            return Reply(response.code, retry_after)
        except Exception as error:
            return Reply(None, why=f"no answer within {ATTEMPT_SECONDS:g} s" if late else reason(error))
        finally:
            if timer.active():
                timer.cancel()
            self._connections.abort()


def reason(error: BaseException) -> str:
    """Why there was no answer, in words that have nothing of the URL but its host."""
    reasons = getattr(error, "reasons", None)  # of what treq and Twisted's agent wrap
    if reasons:
        return reason(reasons[0].value)
    if isinstance(error, ConnectError | DNSLookupError | TlsError | TunnelRefused):
        return str(error)
    return type(error).__name__  # its text may hold anything


@implementer(IAgentEndpointFactory)
class _Connections:
    """Where an agent's connections to one host come from."""

    def __init__(self, url: Secret, proxy: Proxy | None, reactor: Any) -> None:
        origin = webhook_origin(url)
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        first = origin if proxy is None else proxy
        self._endpoint = HostnameEndpoint(reactor, first.host, first.port, timeout=ATTEMPT_SECONDS)
        self._authority = f"{host}:{origin.port}".encode("ascii")
        self._proxy = proxy
        # made once: it loads the authorities
        self._tls = client_context() if origin.scheme == "https" else None
        self._host = origin.host
        self._open: _Bounded | None = None

    def endpointForURI(self, uri: URI) -> Any:
        """As the interface has it; there is one URI."""
        return _Endpoint(self)

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, through the proxy if there is one; fires with the protocol that ``factory`` made."""
        connected: Deferred[Any] = Deferred(lambda _: connecting.cancel())
        top: Protocol = _HandOver(factory, connected)
        if self._tls is not None:
            top = _Tls(top, self._tls, self._host)
        if self._proxy is not None:
            secret = self._proxy.authorization
            top = Tunnel(top, self._authority, b"" if secret is None else secret.reveal())
        below = Factory.forProtocol(lambda: top)
        below.noisy = False
        connecting = self._endpoint.connect(_Bounding(below, self._opened))
        connecting.addErrback(lambda failure: None if connected.called else connected.errback(failure))
        return connected

    def abort(self) -> None:
        """Close what is open."""
        bounded, self._open = self._open, None
        if bounded is not None and bounded.connected:
            bounded.abortConnection()

    def _opened(self, bounded: _Bounded) -> None:
        self._open = bounded


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """`_Connections`, as Twisted wants to see it."""

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        return self._connections.connect(factory)


class _Tls(TlsClient):
    """As Twisted's HTTP wants a transport."""

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """All at once."""
        self.write(b"".join(pieces))

    def getPeer(self) -> IAddress:
        """Of the connection below."""
        peer: IAddress = self.transport.getPeer()  # type: ignore[union-attr]
        return peer


class _Bounded(ProtocolWrapper):
    """A connection that is aborted beyond `ANSWER_MAX`, and whose protocol may change."""

    factory: Any
    transport: Any
    _bytes = 0

    def makeConnection(self, transport: Any) -> None:
        self.factory.opened(self)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        room = ANSWER_MAX - self._bytes
        self._bytes += len(data)
        if room > 0:  # the head may be in there, however much came with it
            super().dataReceived(data[:room])  # type: ignore[no-untyped-call]
        if self._bytes > ANSWER_MAX:
            self.abortConnection()

    def switchProtocol(self, protocol: Protocol) -> None:
        """As `network.Transport`."""
        self.wrappedProtocol = protocol

    def abortConnection(self) -> None:
        """Close at once."""
        self.transport.abortConnection()


class _Bounding(WrappingFactory):
    """Makes a `_Bounded`, and tells of it."""

    protocol = _Bounded
    noisy = False

    def __init__(self, factory: Any, opened: Callable[[_Bounded], None]) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.opened = opened


class _HandOver(Protocol):
    """Once there is a connection to the host, a protocol of the factory's takes it over."""

    transport: Any

    def __init__(self, factory: Any, connected: Deferred[Any]) -> None:
        self._factory = factory
        self._connected = connected

    def connectionMade(self) -> None:
        peer: IAddress = self.transport.getPeer()
        protocol = self._factory.buildProtocol(peer)
        self.transport.switchProtocol(protocol)
        protocol.makeConnection(self.transport)
        self._connected.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The proxy gave no way to the host."""
        if not self._connected.called:
            self._connected.errback(reason)
