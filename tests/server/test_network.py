"""What the byte path asks of a network, asked of both: the loop's own transports (on uvloop only) and Twisted's.

The far end is a plain socket that the test reads and writes without blocking.
"""

from __future__ import annotations

import errno
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from awfproxy.server.loop_network import LoopNetwork
from awfproxy.server.network import WRITE_HIGH, WRITE_LOW, Listener, Network, Transport
from awfproxy.server.reactor_network import ReactorNetwork
from tests.conftest import LoggedFailures

#: turns of a millisecond that anything may take
TURNS = 3000
KIB = 1024


def networks() -> list[str]:
    """Those that this reactor has."""
    loop = getattr(reactor, "_asyncioEventloop", None)
    on_uvloop = loop is not None and type(loop).__module__.startswith("uvloop")
    return ["loop", "reactor"] if on_uvloop else ["reactor"]


@pytest.fixture(params=networks())
def network(request: pytest.FixtureRequest) -> Network:
    """One of the two."""
    loop: Any = getattr(reactor, "_asyncioEventloop", None)
    return LoopNetwork(loop) if request.param == "loop" else ReactorNetwork(reactor)


async def turn(times: int = 1) -> None:
    """Let the reactor do what it has to."""
    for _ in range(times):
        await deferLater(reactor, 0.001)


async def until(true: Callable[[], object]) -> None:
    """Turn until something is so."""
    for _ in range(TURNS):
        if true():
            return
        await turn()
    raise AssertionError("it does not come to pass")


class Near(Protocol):
    """Our end: writes down what it is told.

    :param produces: it is paused and resumed
    """

    def __init__(self, produces: bool = True) -> None:
        self._produces = produces
        self.told: list[str] = []
        self.data = b""
        self.reason: Failure | None = None
        self.held = False

    @property
    def wire(self) -> Transport:
        """The transport, as the byte path sees it."""
        assert self.transport is not None
        return self.transport  # type: ignore[return-value]

    def connectionMade(self) -> None:
        self.told.append("made")
        if self._produces:
            self.wire.registerProducer(self, True)  # type: ignore[arg-type]

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append("lost")
        self.reason = reason

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.held = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.held = False

    def stopProducing(self) -> None:
        """As Twisted says that the transport is gone."""


class Far:
    """The other end."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        raw.setblocking(False)
        self.data = b""
        #: how it ended: None not yet, "" in order, else the error's name
        self.end: str | None = None

    def read(self) -> bool:
        """Read what is there; whether it has ended."""
        try:
            while self.end is None:
                piece = self.raw.recv(256 * KIB)
                self.data += piece
                if not piece:
                    self.end = ""
        except BlockingIOError:
            pass
        except OSError as error:
            self.end = errno.errorcode[error.errno or 0]
        return self.end is not None


Both = Callable[..., Awaitable[tuple[Near, Far]]]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listening socket of the loopback."""
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        yield raw


@pytest.fixture
def dialled(network: Network, listening: socket.socket) -> Iterator[Both]:
    """Makes a connection that the network dialled; both ends are closed after the test."""
    ends: list[tuple[Near, Far]] = []

    async def make(produces: bool = True) -> tuple[Near, Far]:
        near = Near(produces)
        host, port = listening.getsockname()
        connecting = network.connect(host, port, near)
        assert near.told == [], "nothing may be called back before connect returns"
        await connecting
        assert near.told == ["made"]
        raw, _ = listening.accept()
        ends.append((near, Far(raw)))
        return ends[-1]

    yield make
    for near, far in ends:
        far.raw.close()
        if "lost" not in near.told:
            near.wire.abortConnection()
    pytest_twisted.blockon(Deferred.fromCoroutine(turn(5)))


def with_reactor(test: Callable[..., Awaitable[None]]) -> Any:
    """A coroutine function as a test."""
    return pytest_twisted.ensureDeferred(test)


@with_reactor
async def test_bytes_go_both_ways(dialled: Both) -> None:
    """What is written arrives in the same turn, in order."""
    near, far = await dialled()
    near.wire.write(b"one ")
    near.wire.write(b"two")
    far.read()
    assert far.data == b"one two", "a write waits for a later turn"
    far.raw.send(b"three")
    await until(lambda: near.data == b"three")


@with_reactor
async def test_accepted_connections(network: Network) -> None:
    """The same from the listening side; closing the listener leaves what was accepted."""
    raw = socket.socket()
    raw.bind(("127.0.0.1", 0))
    raw.listen()
    address = raw.getsockname()
    made: list[Near] = []

    def build() -> Near:
        made.append(Near())
        return made[-1]

    listener: Listener = network.listen(raw, build)
    far = Far(socket.create_connection(address))
    await until(lambda: made and made[0].told == ["made"])
    listener.close()
    await turn(5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)
    far.raw.send(b"still here")
    await until(lambda: made[0].data == b"still here")
    made[0].wire.write(b"and here")
    await until(lambda: far.read() or far.data == b"and here")
    made[0].wire.loseConnection()
    await until(far.read)
    far.raw.close()
    await until(lambda: made[0].told == ["made", "lost"])


@with_reactor
async def test_a_connection_that_was_accepted_elsewhere(network: Network, listening: socket.socket) -> None:
    """It is served as any other, with what it has sent before."""
    near = Near()
    with socket.create_connection(listening.getsockname()) as client:
        client.sendall(b"early")
        network.adopt(listening.accept()[0], lambda: near)
        await until(lambda: near.data == b"early")
        near.wire.write(b"answer")
        far = Far(client)
        await until(lambda: far.read() or far.data == b"answer")
        near.wire.loseConnection()
        await until(far.read)
        assert far.end == "" and far.data == b"answer"


@with_reactor
async def test_a_protocol_that_cannot_be_made(network: Network, logged_failures: LoggedFailures) -> None:
    """Its connection is cut, and the next one is accepted: a listener is never deaf."""
    raw = socket.socket()
    raw.bind(("127.0.0.1", 0))
    raw.listen()
    address = raw.getsockname()
    made: list[Near] = []
    broken = True

    def build() -> Near:
        if broken:
            raise ValueError("no certificate")
        made.append(Near())
        return made[-1]

    listener = network.listen(raw, build)
    for _ in range(3):
        far = Far(socket.create_connection(address))
        await until(far.read)
        far.raw.close()
    broken = False
    far = Far(socket.create_connection(address))
    await until(lambda: made and made[0].told == ["made"])
    far.raw.close()
    await until(lambda: made[0].told == ["made", "lost"])
    listener.close()
    await turn(5)
    assert len(logged_failures.flush(ValueError)) == 3


@with_reactor
async def test_a_listener_that_is_closed_at_once(network: Network) -> None:
    """Before it was up, and after: no error, and nobody listens."""
    raw = socket.socket()
    raw.bind(("127.0.0.1", 0))
    raw.listen()
    address = raw.getsockname()
    listener = network.listen(raw, Near)
    listener.close()
    await turn(5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)


@with_reactor
async def test_a_connection_that_is_lost_is_gone(network: Network, listening: socket.socket) -> None:
    """With its protocol, and without the garbage collector: it would come late, and what waits for it is memory."""
    made: list[weakref.ref[Near]] = []

    def build() -> Near:
        near = Near()
        made.append(weakref.ref(near))
        return near

    listener = network.listen(listening.dup(), build)
    gc.disable()
    try:
        for end in ("client closes", "we close", "we abort"):
            far = Far(socket.create_connection(listening.getsockname()))
            await until(lambda: made and (near := made[0]()) is not None and near.told == ["made"])
            near = made[0]()
            assert near is not None
            if end == "we close":
                near.wire.loseConnection()
            elif end == "we abort":
                near.wire.abortConnection()
            del near
            far.raw.close()
            await until(lambda: made.pop()() is None if made[0]() is None else False)
    finally:
        gc.enable()
        listener.close()
        await turn(5)


@with_reactor
async def test_a_socket_of_the_file_system(network: Network, tmp_path: Path) -> None:
    """AF_UNIX listeners work like any other."""
    raw = socket.socket(socket.AF_UNIX)
    raw.bind(str(tmp_path / "s"))
    raw.listen()
    made: list[Near] = []

    def build() -> Near:
        made.append(Near())
        return made[-1]

    listener = network.listen(raw, build)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        far = Far(client)
        far.raw.send(b"hello")
        await until(lambda: made and made[0].data == b"hello")
        made[0].wire.write(b"there")
        await until(lambda: far.read() or far.data == b"there")
    await until(lambda: made[0].told == ["made", "lost"])
    listener.close()
    await turn(5)


@with_reactor
async def test_what_the_peer_does_not_take_is_queued_and_its_source_paused(dialled: Both) -> None:
    """Paused over the high mark, resumed under the low one, not a byte lost or moved."""
    near, far = await dialled()
    block = bytes(range(256)) * 64
    sent = 0
    while not near.held:
        near.wire.write(block)
        sent += len(block)
        assert sent < 64 * KIB * KIB, "the producer is never paused"
    assert near.wire.unsent() >= WRITE_HIGH
    assert near.wire.unsent() < WRITE_HIGH + 2 * len(block)
    await until(lambda: far.read() or not near.held)
    assert near.wire.unsent() <= WRITE_LOW
    assert near.told == ["made", "pause", "resume"]
    await until(lambda: far.read() or len(far.data) == sent)
    assert far.data == block * (sent // len(block))
    assert near.wire.unsent() == 0


@with_reactor
async def test_a_large_write(dialled: Both) -> None:
    """More than any buffer takes, in one piece."""
    near, far = await dialled()
    body = bytes(range(256)) * (64 * KIB)
    near.wire.write(b"head")
    near.wire.write(body)
    near.wire.write(b"tail")
    await until(lambda: far.read() or len(far.data) == len(body) + 8)
    assert far.data == b"head" + body + b"tail"


@with_reactor
async def test_losing_a_connection_sends_what_is_queued(dialled: Both) -> None:
    """The end comes after the last byte, and is one in order."""
    near, far = await dialled()
    body = b"x" * (8 * KIB * KIB)
    near.wire.write(body)
    near.wire.loseConnection()
    near.wire.write(b"too late")
    await until(far.read)
    assert (len(far.data), far.end) == (len(body), "")
    await until(lambda: near.told[-1] == "lost")
    assert near.told.count("lost") == 1


@with_reactor
async def test_closing_half_of_a_connection_sends_what_is_queued(dialled: Both) -> None:
    """The same for one half; the other is still heard, and what is written after it goes nowhere."""
    near, far = await dialled()
    body = b"x" * (8 * KIB * KIB)
    near.wire.write(body)
    near.wire.loseWriteConnection()
    near.wire.write(b"too late")
    await until(far.read)
    assert (len(far.data), far.end) == (len(body), "")
    far.raw.send(b"thanks")
    await until(lambda: near.data == b"thanks")


@with_reactor
async def test_aborting_a_connection_is_seen_as_a_reset(dialled: Both) -> None:
    """With bytes unsent: an answer that ends with its connection must not look whole."""
    near, far = await dialled()
    near.wire.write(b"x" * (8 * KIB * KIB))
    near.wire.abortConnection()
    await until(far.read)
    assert far.end == "ECONNRESET"
    await until(lambda: near.told[-1] == "lost")
    assert near.told.count("lost") == 1


@with_reactor
async def test_aborting_an_idle_connection(dialled: Both) -> None:
    """With nothing unsent it is a reset too."""
    near, far = await dialled()
    near.wire.write(b"some of an answer")
    await until(lambda: far.read() or far.data)
    near.wire.abortConnection()
    await until(far.read)
    assert far.end == "ECONNRESET"


@with_reactor
async def test_closing_our_half(dialled: Both) -> None:
    """The peer sees the end, we still hear it."""
    near, far = await dialled()
    near.wire.write(b"bye")
    near.wire.loseWriteConnection()
    await until(far.read)
    assert (far.data, far.end) == (b"bye", "")
    far.raw.send(b"one more thing")
    await until(lambda: near.data == b"one more thing")
    far.raw.close()
    await until(lambda: near.told[-1] == "lost")


@with_reactor
async def test_the_peer_closes(dialled: Both) -> None:
    """In order: told once, as ConnectionDone; nothing that is asked later is an error."""
    near, far = await dialled()
    wire = near.wire
    far.raw.send(b"bye")
    far.raw.close()
    await until(lambda: near.told[-1] == "lost")
    assert near.data == b"bye"
    assert near.reason is not None
    assert near.reason.check(ConnectionDone)
    wire.write(b"nobody reads this")
    wire.pauseProducing()
    wire.resumeProducing()
    wire.loseWriteConnection()
    wire.loseConnection()
    wire.abortConnection()
    wire.unsent()
    await turn(5)
    assert near.told.count("lost") == 1


@with_reactor
async def test_what_was_not_read_yet(dialled: Both) -> None:
    """The kernel is asked, before the reactor turns: for bytes, and for the end."""
    near, far = await dialled()
    assert not near.wire.unread()
    far.raw.send(b"unasked")
    assert near.wire.unread()
    await until(lambda: near.data)
    assert not near.wire.unread()
    far.raw.close()
    assert near.wire.unread()
    await until(lambda: near.reason)
    assert near.wire.unread(), "nothing can be sent there any more"


@with_reactor
async def test_the_peer_resets(dialled: Both) -> None:
    """Not in order, and told so."""
    near, far = await dialled()
    far.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.raw.close()
    await until(lambda: near.told[-1] == "lost")
    assert near.reason is not None
    assert not near.reason.check(ConnectionDone)


@with_reactor
async def test_writing_to_a_peer_that_has_reset(dialled: Both) -> None:
    """Before its reset was noticed: no exception, and then the loss is told."""
    near, far = await dialled()
    near.wire.pauseProducing()
    far.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.raw.close()
    for _ in range(10):
        near.wire.write(b"x" * 1000)
        await turn()
    near.wire.resumeProducing()
    await until(lambda: near.told[-1] == "lost")


@with_reactor
async def test_reading_stops_and_goes_on(dialled: Both) -> None:
    """While paused nothing comes, twice is like once, and nothing is lost."""
    near, far = await dialled()
    near.wire.pauseProducing()
    near.wire.pauseProducing()
    far.raw.send(b"held")
    await turn(20)
    assert near.data == b""
    near.wire.resumeProducing()
    near.wire.resumeProducing()
    await until(lambda: near.data == b"held")
    near.wire.pauseProducing()
    far.raw.send(b" again")
    far.raw.close()
    await turn(20)
    assert near.told == ["made"], "the end is not noticed while nothing is read"
    near.wire.resumeProducing()
    await until(lambda: near.told[-1] == "lost")
    assert near.data == b"held again"


@with_reactor
async def test_another_protocol_takes_over(dialled: Both) -> None:
    """From the switch on it is told everything, the end too."""
    near, far = await dialled(produces=False)
    second = Near()
    far.raw.send(b"first")
    await until(lambda: near.data == b"first")
    wire = near.wire
    wire.switchProtocol(second)
    second.makeConnection(wire)
    far.raw.send(b"second")
    await until(lambda: second.data == b"second")
    wire.write(b"back")
    await until(lambda: far.read() or far.data == b"back")
    far.raw.close()
    await until(lambda: second.told[-1] == "lost")
    assert (near.data, near.told) == (b"first", ["made"])
    near.told.append("lost")


@with_reactor
async def test_a_switch_within_a_read(dialled: Both) -> None:
    """A tunnel changes protocols while it is being told of data."""
    near, far = await dialled(produces=False)
    second = Near()

    def switch(data: bytes) -> None:
        near.wire.switchProtocol(second)
        second.makeConnection(near.wire)

    near.dataReceived = switch  # type: ignore[method-assign]
    near.wire.switchProtocol(near)
    far.raw.send(b"to the first")
    await until(lambda: second.told == ["made"])
    far.raw.send(b"to the second")
    await until(lambda: second.data == b"to the second")
    second.wire.loseConnection()
    await until(lambda: second.told[-1] == "lost")
    near.told.append("lost")


@with_reactor
async def test_nobody_listens(network: Network) -> None:
    """Told as OSError, with the system's number."""
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        port = raw.getsockname()[1]
        near = Near()
        with pytest.raises(ConnectionRefusedError) as caught:
            await network.connect("127.0.0.1", port, near)
    assert caught.value.errno == errno.ECONNREFUSED
    assert near.told == []


@with_reactor
async def test_a_name_that_does_not_exist(network: Network) -> None:
    """RFC 6761 section 6.4: ``.invalid`` never does."""
    near = Near()
    with pytest.raises(socket.gaierror):
        await network.connect("nowhere.invalid", 80, near)
    assert near.told == []


@with_reactor
async def test_the_second_address_of_a_name(network: Network, listening: socket.socket) -> None:
    """``localhost`` may be ::1 too, where nobody listens: 127.0.0.1 is tried as well."""
    near = Near()
    await network.connect("localhost", listening.getsockname()[1], near)
    assert near.told == ["made"]
    raw, _ = listening.accept()
    raw.close()
    await until(lambda: near.told[-1] == "lost")


@with_reactor
async def test_an_attempt_that_is_given_up(network: Network) -> None:
    """To an address that does not answer: cancelled, nothing is called back, no socket is left (the fixture looks)."""
    near = Near()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(3):  # the queue is full: further attempts hang
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        connecting = network.connect("127.0.0.1", full.getsockname()[1], near)
        await turn(20)
        connecting.cancel()
        with pytest.raises((CancelledError, OSError, BaseException)):
            await connecting
        for filler in fillers:
            filler.close()
    await turn(20)
    assert near.told == []


@pytest_twisted.ensureDeferred
async def test_the_file_of_a_unix_socket_is_left_alone(network: Network, tmp_path: Path) -> None:
    """Who may connect was decided by whoever bound it, and others may still accept on it at the end."""
    path = tmp_path / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(10)
    nears: list[Near] = []

    def build() -> Near:
        nears.append(Near())
        return nears[-1]

    kept = listening.dup()
    listener = network.listen(listening, build)
    with kept, socket.socket(socket.AF_UNIX) as far:
        far.connect(str(path))
        await until(lambda: nears)
        assert path.stat().st_mode & 0o777 == 0o600
        listener.close()
        await turn(5)
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))  # whoever has the socket too may accept it
    await until(lambda: nears[0].reason)
