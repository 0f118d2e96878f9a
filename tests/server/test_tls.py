"""The TLS layer, in memory: a server without sockets on the other side, its bytes cut in every way."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from awfproxy.server.tls import TlsClient, TlsError, client_context
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
