"""Listening sockets, bound before anything else starts.

A taken port must end the start with its reason, and a service that runs on, deaf, is the one thing that must not
happen; so binding is done here, in the thread that starts, and only then is a socket given to a network.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Protocol

from awfproxy.core.endpoints import TCP, WILDCARDS, parse_endpoint
from awfproxy.server.certificates import CertificateError, Certificates
from awfproxy.server.network import BACKLOG
from awfproxy.server.tls import TlsServer


class ListenError(Exception):
    """A listener cannot be opened; the text says which, why, and what to do."""


def open_listening(endpoint: str, several: bool = False, beside: Iterable[socket.socket] = ()) -> socket.socket | None:
    """A bound, listening socket for a server endpoint string; None for a kind that only Twisted can open.

    :param several: others of this process are going to `join` it, if it is TCP
    :param beside: sockets of this process that are about to be closed: they do not stand in the way
    :raises ListenError: the address is taken, not allowed, or not there, or its certificates cannot be read
    """
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, str):
        raise ListenError(f"`{endpoint}` {parsed}")
    certificates_of(endpoint, time.monotonic)  # that they can be read is known before it is bound
    try:
        if parsed.kind in TCP and parsed.port is not None:
            return _tcp(parsed.interface, parsed.port, several, beside=beside)
        if parsed.kind == "unix":
            return _unix(parsed.path, parsed.mode)
        if parsed.kind == "systemd":
            return _passed(endpoint)
    except OSError as error:
        raise ListenError(explain(endpoint, error)) from error
    return None


def certificates_of(endpoint: str, monotonic: Callable[[], float]) -> Certificates | None:
    """What is shown to clients there; None: it is not encrypted.

    :raises ListenError: they cannot be read
    """
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, str) or parsed.tls is None:
        return None
    try:
        return Certificates(parsed.tls, monotonic)
    except (OSError, CertificateError) as error:
        raise ListenError(explain(endpoint, error)) from error


def encrypted(certificates: Certificates | None, build: Callable[[], Protocol]) -> Callable[[], Protocol]:
    """What makes the protocol of an accepted connection: ``build`` itself, or TLS under it."""
    return build if certificates is None else lambda: TlsServer(build(), certificates.context())


def join(first: socket.socket, endpoint: str) -> socket.socket:
    """A further listening socket on the address of one that was opened for ``several``.

    :raises ListenError: it cannot be bound
    """
    interface, port = first.getsockname()[:2]
    try:
        return _tcp(interface, port, several=True, joins=True)
    except OSError as error:
        raise ListenError(explain(endpoint, error)) from error


def _gives_way(beside: Iterable[socket.socket], interface: str, port: int) -> bool:
    """Let a socket be bound though these are still there; whether there are any that stand in its way."""
    there = [each for each in beside if each.family != socket.AF_UNIX and _overlap(each, interface, port)]
    for each in there:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return bool(there)


def _overlap(bound: socket.socket, interface: str, port: int) -> bool:
    there = bound.getsockname()
    anywhere = interface in WILDCARDS or there[0] in WILDCARDS
    return bool(there[1] == port and (anywhere or there[0] == interface))


def _tcp(
    interface: str, port: int, several: bool = False, joins: bool = False, beside: Iterable[socket.socket] = ()
) -> socket.socket:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # accepted sockets inherit it: an event must not wait for the acknowledgement of the one before
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not joins:
            # without SO_REUSEPORT as yet: with it, a second proxy on the same port would not be refused but share it
            try:
                listening.bind((interface, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not _gives_way(beside, interface, port):
                    raise
                joins = True
        if several or joins:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if joins:
            listening.bind((interface, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _unix(path: str, mode: int | None) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listening.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _left_behind(path):
                raise
            os.unlink(path)
            listening.bind(path)
        if mode is not None:
            os.chmod(path, mode)  # before anybody can connect
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _left_behind(path: str) -> bool:
    """Whether ``path`` is the socket of a process that is gone: nobody answers."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def _passed(endpoint: str) -> socket.socket:
    # Twisted takes systemd's variables out of the environment when its endpoints are imported: only it can be asked.
    try:
        adopted = serverFromString(None, endpoint)
    except KeyError:
        name = next((part[5:] for part in endpoint.split(":") if part.startswith("name=")), "")
        raise ListenError(
            f"`{endpoint}`: systemd passed no socket named `{name}`; the .socket unit needs FileDescriptorName={name}"
        ) from None
    return socket.socket(fileno=os.dup(adopted.fileno))


def explain(endpoint: str, error: BaseException | None) -> str:
    """Why ``endpoint`` cannot be opened, and what to do; Twisted's errors and those of its parsers too."""
    if isinstance(error, CannotListenError):
        error = error.socketError
    if not isinstance(error, OSError):
        return f"`{endpoint}`: {error}"
    if error.errno == errno.EADDRINUSE:
        return f"`{endpoint}`: the address is taken by another process; stop that one or choose another port"
    if error.errno == errno.EACCES:
        return f"`{endpoint}`: not allowed; ports under 1024 and others' folders need rights that this user lacks"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"`{endpoint}`: this host has no such address"
    reason = error.strerror or str(error)
    file = error.filename if isinstance(error.filename, str) and os.path.isabs(error.filename) else None
    return f"`{endpoint}`: {reason}: {file}" if file else f"`{endpoint}`: {reason}"
