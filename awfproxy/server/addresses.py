"""What becomes of an address, and of those who wait there, when listening sockets change places while calls run.

Rules:
- A socket goes with its address, whoever listens there next: nobody is refused meanwhile, and nobody else gets in.
- Before the last of a socket is closed who waits there is taken in: closing would reset them.  No more come to it then
  (`let_nobody_in`), so that none is between the last look and the end.
- A file of a Unix socket goes with its address too, and is removed where that is no longer wanted.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator

import txaio

from awfproxy.core.endpoints import TCP, Endpoint, parse_endpoint

txaio.use_twisted()
log = txaio.make_logger()

#: asm-generic/socket.h; the library has no name for it
_SO_ATTACH_FILTER = 26
#: (code, jump if true, jump if not, operand) of linux/filter.h, over a TCP segment: of the byte with the flags those of
#: SYN and ACK; SYN alone is dropped, anything else passes whole
_NO_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def same_socket(one: str, other: str) -> bool:
    """Whether what is bound for one endpoint string is what the other one asks for, whatever is done on it."""
    if one == other:
        return True
    first, second = parse_endpoint(one), parse_endpoint(other)
    if isinstance(first, str) or isinstance(second, str):
        return False
    if first.kind in TCP and second.kind in TCP:
        return bool(first.port) and (first.port, first.interface) == (second.port, second.interface)
    return bool(_path(first)) and _path(first) == _path(second)


def identity(descriptor: int) -> tuple[int, int]:
    """The same for all descriptors of one socket, in all processes."""
    seen = os.fstat(descriptor)
    return seen.st_dev, seen.st_ino


def let_nobody_in(listening: socket.socket) -> None:
    """Have the kernel drop what would begin a connection there: its sender tries again within a second, and comes to
    whoever listens then.  For a socket that is about to be closed; elsewhere than on Linux nothing is done.
    """
    if not sys.platform.startswith("linux") or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    where = struct.pack("HP", len(_NO_SYN), ctypes.addressof(program))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
    except OSError as error:  # a kernel without it: those who come within the next moment may be reset
        log.debug("no filter for a listener that is left: {why}", why=error.strerror)


def waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Those who wait there, accepted; the caller's to close."""
    listening.setblocking(False)
    while True:
        try:
            yield listening.accept()[0]
        except BlockingIOError:
            return
        except ConnectionError:
            continue  # gone while it waited: there may be others behind it
        except OSError as error:
            log.error("who waited at a listener that is left is reset: {why}", why=error.strerror)
            return


def allow(endpoint: str) -> None:
    """Give the file of a Unix socket that was bound for another string the permissions that this one asks for."""
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, str) or not _path(parsed):
        return
    mode = parsed.mode
    if mode is None:  # as a new one would have them
        mask = os.umask(0o077)
        os.umask(mask)
        mode = 0o777 & ~mask
    try:
        os.chmod(parsed.path, mode)
    except OSError as error:
        log.error("{path}: its mode stays as it was: {why}", path=parsed.path, why=error.strerror)


def remove_file(endpoint: str) -> None:
    """Remove the file of a Unix socket that nobody listens on any more."""
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, str) or not _path(parsed):
        return
    try:
        if stat.S_ISSOCK(os.lstat(parsed.path).st_mode):
            os.unlink(parsed.path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warn("{path} stays behind: {why}", path=parsed.path, why=error.strerror)


def _path(endpoint: Endpoint) -> str:
    return endpoint.path if endpoint.kind == "unix" else ""
