"""A far end that a test scripts byte by byte: a provider, a CONNECT proxy, anything that accepts connections.

Each connection is served by a function in a thread of its own, with plain blocking sockets; `FarEnd` is a context
manager, and nothing of it is left when it ends.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

#: seconds that any one send or receive of a far end may take: longer than any test
PATIENCE = 90.0

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Serve = Callable[[Any], None]


class FarEnd:
    """A listener on the loopback; ``serve`` is called with each accepted socket, and the socket is closed after it.

    :param tls: the server's context; a failed handshake ends the connection and is noted in ``faults``
    :param buffers: bytes of kernel buffer for sending, where a test must fill it
    """

    def __init__(self, serve: Serve, *, tls: ssl.SSLContext | None = None, buffers: int | None = None) -> None:
        self._serve = serve
        self._tls = tls
        self._listening = socket.socket()
        if buffers is not None:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(1024)
        self.port: int = self._listening.getsockname()[1]
        #: connections accepted so far
        self.accepted = 0
        #: what went wrong on them, as the names of errors
        self.faults: list[str] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> FarEnd:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # closing alone does not wake accept()
        self._listening.close()
        with self._lock:
            for each in self._open:
                shut(each)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a far end's script does not end"

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            accepted.settimeout(PATIENCE)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            with self._lock:
                self._open.add(accepted)
            thread = threading.Thread(target=self._run, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, accepted: socket.socket) -> None:
        talking: socket.socket = accepted
        try:
            if self._tls is not None:
                talking = self._tls.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=True)
                with self._lock:
                    self._open.discard(accepted)
                    self._open.add(talking)
            self._serve(talking)
        except OSError as error:  # the peer left, or the test is over
            self.faults.append(type(error).__name__)
        finally:
            with self._lock:
                self._open.discard(accepted)
                self._open.discard(talking)
            talking.close()


def shut(each: socket.socket) -> None:
    """Wake whoever waits on a socket; it may be closed already."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(each, socket.SHUT_RDWR)


def read_request(talking: socket.socket, kept: bytes = b"") -> tuple[bytes, bytes, bytes] | None:
    """Head, body and what came after them of one request with a Content-Length; None: the peer closed before one."""
    data = kept
    while b"\r\n\r\n" not in data:
        piece = talking.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    length = int(found[1]) if found else 0
    while len(rest) < length:
        piece = talking.recv(262144)
        if not piece:
            return None
        rest += piece
    return head, rest[:length], rest[length:]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(reply: bytes) -> Serve:
    """Every request gets ``reply``, on as many as come."""

    def serve(talking: socket.socket) -> None:
        kept = b""
        while (request := read_request(talking, kept)) is not None:
            kept = request[2]
            talking.sendall(reply)

    return serve
