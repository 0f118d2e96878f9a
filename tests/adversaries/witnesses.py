"""Other parsers of HTTP/1.1, which read what the proxy wrote: all of them must read the same.

h11 (what httpx and uvicorn have), the standard library's, and Node's llhttp with its strict settings, where there is a
`node`.  Each is given the bytes of a whole connection.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock

import h11

#: method, target, fields in lower case and in order, body
ReadRequest = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]
#: status, fields, body
ReadAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]

#: how many fields a head may have is the proxy's to say here
_PATIENT = mock.patch.object(http.client, "_MAXHEADERS", 1000)

NODE = shutil.which("node")


def requests_by_h11(data: bytes) -> list[ReadRequest]:
    """As h11's server reads a connection.

    :raises h11.RemoteProtocolError: it does not take it
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    connection.receive_data(b"")
    found: list[ReadRequest] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.ConnectionClosed):
            return found
        assert isinstance(event, h11.Request), event
        body = b""
        while isinstance(piece := connection.next_event(), h11.Data):
            body += bytes(piece.data)
        assert isinstance(piece, h11.EndOfMessage) and not list(piece.headers)
        found.append((event.method, event.target, list(event.headers), body))
        connection.send(h11.Response(status_code=200, headers=[(b"Content-Length", b"0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()


class _Reader(BaseHTTPRequestHandler):
    """The standard library's server, made to write down what it reads."""

    found: list[ReadRequest]

    def __init__(self, data: bytes) -> None:
        self.found = []
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.client_address = ("", 0)
        self.close_connection = False
        while not self.close_connection:
            self.handle_one_request()

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._take

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        self.found.append((self.command.encode(), self.path.encode(), fields, body))

    def send_error(self, code: int, *_: object) -> None:
        raise AssertionError(f"the standard library refuses it with {code}")


def requests_by_standard_library(data: bytes) -> list[ReadRequest]:
    """As `http.server` reads a connection."""
    with _PATIENT:
        return _Reader(data).found


def answer_by_h11(data: bytes, method: bytes) -> ReadAnswer | None:
    """As h11's client reads the first answer; None: it is cut.

    :raises h11.RemoteProtocolError: it does not take it
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Response), event
    body = b""
    while isinstance(piece := connection.next_event(), h11.Data):
        body += bytes(piece.data)
    if piece is h11.NEED_DATA:
        return None
    assert isinstance(piece, h11.EndOfMessage)
    assert connection.trailing_data[0] == b"", "something follows that nobody asked for"
    return event.status_code, list(event.headers), body


class _Bytes:
    """What the standard library's client takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def answer_by_standard_library(data: bytes, method: bytes) -> ReadAnswer | None:
    """As `http.client` reads the first answer; None: it is cut.

    :raises http.client.HTTPException: it does not take it
    """
    answer = http.client.HTTPResponse(_Bytes(data), method=method.decode())  # type: ignore[arg-type]
    with _PATIENT:
        answer.begin()
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
    try:
        return answer.status, fields, answer.read()
    except http.client.IncompleteRead:
        return None


_NODE_PROGRAM = Path(__file__).with_name("witness.js")


def by_node(kind: str, messages: Sequence[bytes]) -> list[Any]:
    """What Node reads of each of many connections: lists of messages, or a text, why it takes no more.

    :param kind: `requests` or `answers`
    """
    assert NODE is not None
    asked = json.dumps({"kind": kind, "messages": [base64.b64encode(each).decode() for each in messages]})
    done = subprocess.run(
        [NODE, str(_NODE_PROGRAM)], input=asked, capture_output=True, text=True, timeout=120, check=True
    )
    read: list[Any] = json.loads(done.stdout)
    return read
