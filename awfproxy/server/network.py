"""What the byte path asks of the network, and the two ways it is given.

The path's protocols are Twisted `Protocol`s; under them are transports of our own choosing with Twisted's names.  They
are the event loop's own (`loop_network`, uvloop) or Twisted's with direct send (`reactor_network`).  Both keep:

- ``write`` never blocks and never raises; what the kernel does not take is queued, and the registered streaming
  producer is paused at `WRITE_HIGH` queued bytes and resumed at `WRITE_LOW`
- ``loseConnection`` sends what is queued first, ``abortConnection`` does not
- ``pauseProducing`` stops reading, and with it any notice that the peer has gone
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol

#: bytes queued towards a peer at which its source is paused: one full read more than this is the most a stream holds
WRITE_HIGH = 64 * 1024
#: bytes at which the source goes on
WRITE_LOW = 16 * 1024
#: connections that wait to be accepted; the kernel caps it at net.core.somaxconn
BACKLOG = 4096
#: the protocol of a transport whose connection is lost: the one that it had and it hold each other, and would
#: wait for the garbage collector with whatever they keep
GONE = Protocol()


class Transport(Interface):
    """One connection, as the byte path sees it (the names are Twisted's)."""

    @property
    def established(self) -> bool:
        """Bytes can pass: its TLS handshake, where it has one, is over."""

    def write(self, data: bytes) -> None:
        """Send, or queue."""

    def loseConnection(self) -> None:
        """Send what is queued, then close."""

    def loseWriteConnection(self) -> None:
        """Send what is queued, then close our half."""

    def abortConnection(self) -> None:
        """Close at once; the peer sees a reset if anything was unsent or unread."""

    def pauseProducing(self) -> None:
        """Stop reading.  May be called again, and after the end."""

    def resumeProducing(self) -> None:
        """Read again.  May be called again, and after the end."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Name who is paused while too much is queued."""

    def unsent(self) -> int:
        """Bytes queued here, not yet in the kernel."""

    def unread(self) -> bool:
        """Whether the kernel holds something that was not read yet: bytes, or the end of the connection."""

    def switchProtocol(self, protocol: Protocol) -> None:
        """From now on another protocol is told what arrives."""


class Listener(Interface):
    """A listening socket at work."""

    def close(self) -> None:
        """Accept nothing more.  Accepted connections stay."""


class Network(Interface):
    """How connections come to be."""

    #: shown in `/health` and the log: which transports these are
    name: str

    def listen(self, listening: socket.socket, build: Callable[[], Protocol]) -> Listener:
        """Accept on a bound, listening socket; it belongs to the listener now."""

    def adopt(self, accepted: socket.socket, build: Callable[[], Protocol]) -> None:
        """Serve a connection that was accepted elsewhere; it belongs to its transport now."""

    def connect(self, host: str, port: int, protocol: Protocol) -> Deferred[None]:
        """Connect to a TCP port, trying the name's addresses with a head start each (RFC 8305).

        Fires when ``protocol.makeConnection`` was called; fails with `OSError`; may be cancelled, and has no timeout.
        Nothing is called back before this returns.
        """


def holds_unread(descriptor: int) -> bool:
    """Whether a socket has something to be read now, its end included.  One system call."""
    asking = select.poll()  # not select(), which stops at descriptor 1023
    asking.register(descriptor, select.POLLIN)
    return bool(asking.poll(0))
