"""The service manager's socket: one datagram of `NAME=value` lines for each thing told (sd_notify(3)).

The environment says where it is.  Its variables are taken out of it, so that no child speaks for the service; where
there are none nobody listens, and nothing is told.  A datagram is handed over at once or not at all: nobody waits here.
One socket is kept for all of them: when descriptors run out the service is alive, and must be able to say so.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Final

import msgspec

#: systemd's variables: the address; microseconds of the watchdog, and the process that it is meant for
NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_USEC: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"

MICROSECONDS: Final = 1_000_000


class NotifySocket(msgspec.Struct, frozen=True):
    """Where the service manager listens, and what it wants to hear.

    :param address: a path, or a name in the abstract namespace, which begins with ``@``
    :param watchdog: seconds without a word after which it takes the service for dead; None: it never does
    """

    address: str
    watchdog: float | None = None

    def open(self) -> Notifier:
        """What talks to it, until it is closed."""
        return Notifier(self.address)


class Notifier:
    """Hands datagrams over.

    :param address: as that of `NotifySocket`
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        with suppress(OSError):
            self._speaking()

    def _speaking(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        return self._socket

    def send(self, told: Mapping[str, str]) -> bool:
        """Hand one datagram over; False: it was not taken, and may be repeated.

        :param told: lines by name; a value's control characters become spaces, because a line end would begin another
        """
        lines = "\n".join(f"{name}={one_line(value)}" for name, value in told.items())
        try:
            self._speaking().sendto(lines.encode(errors="replace"), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def take_notify_socket(environ: MutableMapping[str, str], pid: int) -> NotifySocket | None:
    """What the environment says of the socket, taken out of it; None: the service was not started by one who listens.

    :param pid: this process: a watchdog that is meant for another one is none of ours
    """
    address = environ.pop(NOTIFY_SOCKET, "")
    wanted = environ.pop(WATCHDOG_USEC, "")
    meant_for = environ.pop(WATCHDOG_PID, "") or str(pid)
    if not address.startswith(("/", "@")) or len(address) == 1:
        return None  # sd_notify(3): unset, or of a family that the kernel has for nothing but virtual machines
    ours = meant_for == str(pid) and wanted.isascii() and wanted.isdigit() and int(wanted) > 0
    return NotifySocket(address, int(wanted) / MICROSECONDS if ours else None)


def one_line(text: str) -> str:
    """A text without what ends a line."""
    return "".join(character if character.isprintable() else " " for character in text)
