"""One end of the channel between a supervisor and a worker, in the reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from awfproxy.server.control_messages import FromSupervisor, FromWorker, Incoming, Message, encode


@implementer(IFileDescriptorReceiver)
class ControlChannel(Protocol):
    """Sends messages and says which have come; descriptors go with them, in order and never later.

    :param to_worker: what comes here are a supervisor's messages
    :param lost: the other end is gone, or `close` was called
    :param descriptors: that have come before, for messages that have not
    """

    transport: Any

    def __init__(
        self,
        to_worker: bool,
        received: Callable[[FromSupervisor | FromWorker], None],
        lost: Callable[[], None],
        descriptors: Sequence[int] = (),
    ) -> None:
        self._incoming = Incoming(to_worker)
        self._received = received
        self._lost = lost
        self._open = False
        #: that have come, and nobody has taken
        self._descriptors = list(descriptors)

    def connectionMade(self) -> None:
        """Messages can be sent."""
        self._open = True

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        for message in self._incoming.feed(data):
            self._received(message)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """One has come, for a message that comes now or next."""
        self._descriptors.append(descriptor)

    def take(self, count: int) -> list[int]:
        """The descriptors of a message that has come; the caller's to close."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        self._open = False
        self._lost()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message; nobody hears it where the other end has gone.

        :param descriptors: fewer than the message has bytes; open until it is answered
        """
        if self._open:
            for each in descriptors:
                self.transport.sendFileDescriptor(each)
            self.transport.write(encode(message))

    def close(self) -> bool:
        """Send what is queued, and let go, which ``lost`` will tell; False: it was lost before."""
        if self._open:
            self.transport.loseConnection()
        return self._open


class OutputLines(Protocol):
    """What a process prints, line by line."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._rest = b""

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The process has ended."""
        if self._rest:
            self._line(self._rest.decode("utf-8", "replace"))


def adopt(reactor: Any, connected: socket.socket, protocol: Protocol) -> None:
    """Give a connected Unix socket to the reactor; it is closed here."""
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    connected.setblocking(False)
    reactor.adoptStreamConnection(connected.fileno(), connected.family, factory)
    connected.close()
