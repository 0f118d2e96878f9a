"""The TLS layer, in memory: a server without sockets on the other side, its bytes cut in every way."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.core.endpoints import TlsFiles
from awfproxy.server.certificates import Certificates as ListenerCertificates
from awfproxy.server.tls import TlsClient, TlsError, TlsServer, client_context
from tests.certificates import Certificates, make_certificates
from tests.server.stage import Wire

#: bytes at which TLS begins a new record, twice and some
LARGE = bytes(range(256)) * 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For ``localhost``."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Above(Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.reason: Failure | None = None

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        assert data
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append("lost")
        self.reason = reason


class Ends:
    """The layer between a protocol and a wire, and a server at the wire's other end.

    :param step: bytes of the server's that arrive at once; 0: all
    :param trusted: whose authority the client trusts, where it is not the server's
    """

    def __init__(
        self,
        certificates: Certificates,
        step: int = 0,
        version: ssl.TLSVersion | None = None,
        trusted: Certificates | None = None,
    ) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificates.certificate, certificates.key)
        server.set_alpn_protocols(["h2", "http/1.1"])
        if version is not None:
            server.minimum_version = server.maximum_version = version
        self._from_client, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self._from_client, self._to_client, server_side=True)
        self._step = step
        context = client_context()
        context.load_verify_locations((trusted or certificates).authority)
        self.above = Above()
        self.layer = TlsClient(self.above, context, "localhost")
        self.wire = Wire(self.layer)
        self.received = b""
        #: what the server made of the client's bytes, where it was not data
        self.fault: ssl.SSLError | None = None
        self.layer.makeConnection(self.wire)

    def turn(self) -> None:
        """Carry bytes both ways until none are left."""
        while True:
            sent = self.wire.take()
            self._from_client.write(sent)
            try:
                if self.server.version() is None:
                    self.server.do_handshake()
                while piece := self.server.read(1 << 20):
                    self.received += piece
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.fault = self.fault or error
            answer = self._to_client.read()
            if not sent and not answer:
                return
            self.give(answer)

    def give(self, data: bytes) -> None:
        """Bytes arrive at the client."""
        step = self._step or len(data) or 1
        for start in range(0, len(data), step):
            self.wire.receive(data[start : start + step])

    def records(self, data: bytes) -> bytes:
        """What the server would put on the wire for ``data``."""
        self.server.write(data)
        return self._to_client.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("step", [0, 1, 7, 1000])
def test_both_ways(certificates: Certificates, step: int, version: ssl.TLSVersion) -> None:
    """However the bytes are cut, what is written on one side is read on the other."""
    ends = Ends(certificates, step, version)
    assert ends.above.told == []
    ends.turn()
    assert ends.above.told == ["made"]
    assert ends.layer.established
    ends.layer.write(b"a request")
    ends.layer.write(LARGE)
    ends.turn()
    assert ends.received == b"a request" + LARGE
    ends.give(ends.records(LARGE) + ends.records(b"the end"))
    assert ends.above.data == LARGE + b"the end"
    assert ends.above.told == ["made"]


def test_the_protocol_that_is_agreed_on(certificates: Certificates) -> None:
    """HTTP/1.1 and nothing newer, which this proxy does not speak."""
    ends = Ends(certificates)
    ends.turn()
    assert ends.server.selected_alpn_protocol() == "http/1.1"


def test_old_versions_are_not_spoken(certificates: Certificates) -> None:
    """RFC 8996 deprecates TLS 1.0 and 1.1."""
    assert client_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_end_in_order(certificates: Certificates) -> None:
    """The peer's closing alert comes with the last data: first the data, then the end."""
    ends = Ends(certificates)
    ends.turn()
    data = ends.records(b"all of it")
    with contextlib.suppress(ssl.SSLError):
        ends.server.unwrap()
    ends.give(data + ends._to_client.read())
    assert ends.above.data == b"all of it"
    assert ends.wire.closed
    ends.wire.end()
    assert ends.above.told == ["made", "lost"]
    assert ends.above.reason is not None
    assert ends.above.reason.check(ConnectionDone)


def test_an_end_that_anybody_could_have_made(certificates: Certificates) -> None:
    """Without the closing alert the end of TCP is a loss, not an end."""
    ends = Ends(certificates)
    ends.turn()
    ends.give(ends.records(b"some of it"))
    ends.wire.end()
    assert ends.above.data == b"some of it"
    assert ends.above.reason is not None
    assert ends.above.reason.check(ConnectionLost)


def test_half_a_record(certificates: Certificates) -> None:
    """What cannot be verified is not passed on."""
    ends = Ends(certificates)
    ends.turn()
    ends.give(ends.records(b"some of it")[:-1])
    ends.wire.end()
    assert ends.above.data == b""
    assert ends.above.told == ["made", "lost"]


def test_a_record_that_was_tampered_with(certificates: Certificates) -> None:
    """The connection is closed with its reason, what comes later is not read, and nobody is connected a second time."""
    ends = Ends(certificates)
    ends.turn()
    good, bad = ends.records(b"good"), bytearray(ends.records(b"bad"))
    bad[-1] ^= 1
    ends.give(good + bytes(bad))
    assert ends.above.data == b"good"
    assert ends.wire.closed
    ends.give(ends.records(b"later"))
    assert ends.above.told == ["made"]
    assert ends.above.data == b"good"
    ends.wire.end()
    assert ends.above.told == ["made", "lost"]
    assert ends.above.reason is not None
    assert ends.above.reason.check(TlsError)


@pytest.mark.parametrize("step", [0, 1])
def test_a_certificate_that_is_not_trusted(certificates: Certificates, tmp_path: Path, step: int) -> None:
    """The peer is sent the alert, the reason is kept, and the protocol above was never connected."""
    ends = Ends(make_certificates(tmp_path), step, trusted=certificates)
    above = ends.above
    ends.turn()
    assert ends.wire.closed
    assert ends.fault is not None
    assert "unknown ca" in str(ends.fault).lower().replace("_", " ")
    ends.wire.end()
    assert above.told == ["lost"]
    assert above.reason is not None
    assert str(above.reason.value).startswith("certificate not accepted: ")


# -- the server's side


class ServedEnds:
    """A client of the standard library's, and the layer of a listener: bytes carried between them by `turn`."""

    def __init__(self, certificates: Certificates, version: ssl.TLSVersion | None = None) -> None:
        asking = ssl.create_default_context(cafile=str(certificates.authority))
        if version is not None:
            asking.minimum_version = asking.maximum_version = version
        self._from_server, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = asking.wrap_bio(self._from_server, self._to_server, server_hostname="localhost")
        files = TlsFiles(str(certificates.key), str(certificates.certificate))
        self.above = Above()
        self.layer = TlsServer(self.above, ListenerCertificates(files, lambda: 0.0).context())
        self.wire = Wire(self.layer)
        self.received = b""
        self.ended = False
        self.layer.makeConnection(self.wire)

    def turn(self) -> None:
        """Carry bytes both ways until none are left."""
        while True:
            try:
                if self.client.version() is None or not self.layer.established:
                    self.client.do_handshake()
                while piece := self.client.read(1 << 20):
                    self.received += piece
                self.ended = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.ended = True
            sent = self._to_server.read()
            if sent and not self.wire.closed:
                self.wire.receive(sent)
            answer = self.wire.take()
            self._from_server.write(answer)
            if not sent and not answer:
                return


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_listener_serves_both_ways(certificates: Certificates, version: ssl.TLSVersion) -> None:
    """The protocol above is connected before the handshake, whose time is then its own to limit."""
    ends = ServedEnds(certificates, version)
    assert ends.above.told == ["made"] and not ends.layer.established
    ends.turn()
    assert ends.layer.established
    ends.client.write(b"a request")
    ends.turn()
    assert ends.above.data == b"a request"
    ends.layer.write(b"an answer" * 10_000)
    ends.turn()
    assert ends.received == b"an answer" * 10_000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_last_answer_arrives_though_the_client_still_sends(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    """A refused body is read on and counted: closing over it would reset the connection, and the refusal be lost."""
    ends = ServedEnds(certificates, version)
    ends.turn()
    ends.client.write(b"the beginning of a body")
    ends.turn()
    ends.layer.write(b"no")
    ends.layer.loseWriteConnection()
    ends.layer.write(b"nothing more")
    assert ends.wire.half_closed and not ends.wire.closed
    ends.client.write(b"more of it")
    ends.turn()
    assert ends.received == b"no" and ends.ended
    assert len(ends.above.data) > len(b"the beginning of a body"), "what comes is counted"
    ends.layer.loseConnection()
    assert ends.wire.closed


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x17\x03\x03\x00\x02xx", b"\0" * 100])
def test_what_is_no_tls_ends(certificates: Certificates, sent: bytes) -> None:
    """Nothing of it reaches the protocol above."""
    ends = ServedEnds(certificates)
    ends.wire.receive(sent)
    assert ends.wire.closed
    ends.wire.end()
    assert ends.above.told == ["made", "lost"] and not ends.above.data


@pytest.mark.parametrize("how", ["loseConnection", "loseWriteConnection", "abortConnection"])
def test_a_listener_that_closes_before_the_handshake(certificates: Certificates, how: str) -> None:
    """The limits of the protocol above hold meanwhile."""
    ends = ServedEnds(certificates)
    ends.layer.write(b"too early")
    getattr(ends.layer, how)()
    assert ends.wire.take() == b"" and (ends.wire.closed or ends.wire.half_closed)


def test_a_client_that_says_that_it_closes(certificates: Certificates) -> None:
    """It is gone, as one that closes its socket."""
    ends = ServedEnds(certificates)
    ends.turn()
    with contextlib.suppress(ssl.SSLWantReadError):
        ends.client.unwrap()
    ends.turn()
    assert ends.wire.closed
