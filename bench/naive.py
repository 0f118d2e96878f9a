"""The naive proxy that awfproxy is measured against: twisted.web in front, treq behind, bodies passed on as they come.

    python -m bench.naive PLAIN_PORT PLAIN_UPSTREAM TLS_PORT TLS_UPSTREAM CAFILE

It injects a key and does nothing else: no usage, no records, no metrics.
"""

# mypy: disallow-untyped-calls=False
import pathlib
import sys

from twisted.internet import epollreactor

epollreactor.install()

from treq.client import HTTPClient  # noqa: E402  (the reactor is chosen first)
from twisted.internet import protocol, reactor, ssl  # noqa: E402
from twisted.internet.interfaces import IReactorCore, IReactorTCP  # noqa: E402
from twisted.python.failure import Failure  # noqa: E402
from twisted.web import resource, server  # noqa: E402
from twisted.web.client import (  # noqa: E402
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
)
from twisted.web.iweb import IResponse  # noqa: E402

POOL_SIZE = 256  # idle upstream connections kept: more than the load tools open at once in the calls
NOT_FORWARDED = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"te",
        b"trailer",
        b"upgrade",
        b"host",
        b"content-length",
        b"authorization",
    )
)


class Copy(protocol.Protocol):
    """Writes the upstream's body into the client's request."""

    def __init__(self, request: server.Request) -> None:
        self.request = request

    def connectionMade(self) -> None:
        self.request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.request.write(data)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        if not self.request._disconnected:
            self.request.unregisterProducer()
            self.request.finish()


class Forward(resource.Resource):
    isLeaf = True

    def __init__(self, client: HTTPClient, upstream: bytes) -> None:
        super().__init__()
        self.client = client
        self.upstream = upstream

    def render(self, request: server.Request) -> int:
        headers: dict[bytes | str, list[bytes | str]] = {
            k: list(v) for k, v in request.requestHeaders.getAllRawHeaders() if k.lower() not in NOT_FORWARDED
        }
        headers[b"Authorization"] = [b"Bearer sk-real"]
        request.notifyFinish().addErrback(lambda _: None)
        body = FileBodyProducer(request.content) if request.method == b"POST" else None
        url = self.upstream + request.uri
        answer = self.client.request(request.method.decode(), url, headers=headers, data=body, unbuffered=True)
        answer.addCallbacks(self.answered, self.failed, callbackArgs=(request,), errbackArgs=(request,))
        return server.NOT_DONE_YET

    def answered(self, response: IResponse, request: server.Request) -> None:
        request.setResponseCode(response.code)
        for name, values in response.headers.getAllRawHeaders():
            if name.lower() not in NOT_FORWARDED:
                request.responseHeaders.setRawHeaders(name, values)
        if isinstance(response.length, int):
            request.setHeader(b"content-length", b"%d" % response.length)
        response.deliverBody(Copy(request))

    def failed(self, failure: Failure, request: server.Request) -> None:
        sys.stderr.write(failure.getTraceback())
        if not request._disconnected:
            request.setResponseCode(502)
            request.finish()


def listen(port: int, upstream: str, policy: BrowserLikePolicyForHTTPS) -> None:
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = POOL_SIZE
    site = server.Site(Forward(HTTPClient(Agent(reactor, policy, pool=pool)), upstream.encode()))
    site.log = lambda request: None  # type: ignore[method-assign]
    IReactorTCP(reactor).listenTCP(port, site, interface="127.0.0.1", backlog=4096)  # type: ignore[arg-type]


def main(plain_port: str, plain: str, tls_port: str, tls: str, ca_file: str) -> None:
    listen(int(plain_port), plain, BrowserLikePolicyForHTTPS())
    ca = ssl.Certificate.loadPEM(pathlib.Path(ca_file).read_bytes())
    listen(int(tls_port), tls, BrowserLikePolicyForHTTPS(ca))
    IReactorCore(reactor).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
