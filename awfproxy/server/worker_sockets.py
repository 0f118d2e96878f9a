"""The listening sockets of several workers: bound by their supervisor, kept by it, handed on to every worker.

A TCP port, with TLS or without, has a socket for each worker (SO_REUSEPORT: the kernel spreads connections over them by
a hash of the addresses).  All workers inherit all of them, so that another one can serve a dead one's; and because the
supervisor keeps them, connections that wait in one outlive its worker.  A Unix socket, and one of systemd's, is one for
all.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from awfproxy.core.endpoints import TCP, parse_endpoint
from awfproxy.server.sockets import ListenError, join, open_listening


def open_for_workers(endpoint: str, workers: int, beside: Iterable[socket.socket] = ()) -> list[socket.socket]:
    """A listening socket for each worker; the same one in each place where it can only be shared.

    :param beside: as `open_listening` has it
    :raises ListenError: the address cannot be bound, or only Twisted knows how to
    """
    first = open_listening(endpoint, several=True, beside=beside)
    if first is None:
        raise ListenError(
            f"`{endpoint}`: workers cannot share this kind of listener; take tcp, ssl, unix or systemd, or workers = 1"
        )
    parsed = parse_endpoint(endpoint)
    assert not isinstance(parsed, str), "open_listening has refused what cannot be parsed"
    if parsed.kind not in TCP:
        return [first] * workers
    opened = [first]
    try:
        opened += (join(first, endpoint) for _ in range(workers - 1))
    except ListenError:
        for each in opened:
            each.close()
        raise
    return opened
