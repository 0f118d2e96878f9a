"""A case played in memory: a staged port between a client and an upstream that are lists of bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec

from awfproxy.core.secret import Secret
from awfproxy.core.settings import Upstream
from tests.adversaries.cases import ANSWER, BASE, KEY, alike
from tests.server.stage import Stage, Wire
from tests.server.test_call import requests

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
#: bytes that the loops read at once, at the most
READ = 256 * 1024
#: one more request on a connection that goes on: what it gets tells where the proxy thinks that it is
AFTER = b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n"


class Seen(msgspec.Struct):
    """What came of some bytes."""

    #: whole requests that the upstream got, made alike
    upstream: list[bytes]
    #: of which it has got a part only
    part: bytes
    #: statuses that the client got
    answers: list[int]
    #: the client's connection is closed, or will take nothing more
    closed: bool
    #: a record for each call that is over
    records: list[dict[str, Any]]


def stage() -> Stage:
    """A port as the cases expect it."""
    return Stage(
        provider="generic", upstream=Upstream("http", "up.test", 80, BASE.decode()), credential=Secret(KEY.decode()),
        include_usage="off",
    )  # fmt: skip


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut there, and where a read of a socket ends at the latest."""
    edges = sorted({0, len(data), *range(0, len(data), READ), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(edges)]


def take_requests(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole requests at the beginning of what an upstream got, and the rest.

    Nothing is forgiven: the proxy writes heads of one form, and bodies with a length.
    """
    whole = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        assert b"\r\ntransfer-encoding:" not in head.lower(), head
        assert head.lower().count(b"\r\ncontent-length:") == len(_LENGTH.findall(head + b"\r\n")) <= 1, head
        found = _LENGTH.search(head + b"\r\n")
        length = int(found[1]) if found else 0
        if len(rest) < length:
            break
        whole.append(head + b"\r\n\r\n" + rest[:length])
        data = rest[length:]
    return whole, data


def answer_to(request: bytes) -> bytes:
    """What the hospitable upstream says."""
    body = b"" if request.startswith(b"HEAD ") else ANSWER
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + body


def statuses(data: bytes) -> list[int]:
    """Of the answers that a client got; the proxy's and the upstream's have no status line within."""
    return [int(each) for each in _STATUS.findall(data)]


class Play:
    """One client connection to a port whose upstream answers everything."""

    def __init__(self) -> None:
        self.stage = stage()
        self.client = self.stage.client()
        self._got: dict[Wire, bytes] = {}
        #: all that went over each upstream connection
        self.upstream: dict[Wire, bytes] = {}
        self._whole: list[bytes] = []
        self._answered = b""

    def send(self, data: bytes) -> None:
        """The client sends; the upstream answers what is whole."""
        if data and not self.client.closed:
            self.client.receive(data)
        self._settle()

    def _settle(self) -> None:
        busy = True
        while busy:
            busy = False
            self.stage.turn()
            for wire in self.stage.wires.dialled:
                fresh = wire.take()
                self.upstream[wire] = self.upstream.get(wire, b"") + fresh
                whole, rest = take_requests(self._got.get(wire, b"") + fresh)
                self._got[wire] = rest
                for each in whole:
                    busy = True
                    self._whole.append(each)
                    assert not wire.closed
                    wire.receive(answer_to(each))
            self._answered += self.client.take()

    def leave(self) -> None:
        """The client is gone."""
        if not self.client.closed:
            self.client.end()
        self._settle()

    def seen(self) -> Seen:
        """What came of it so far."""
        return Seen(
            [alike(each) for each in self._whole], b"".join(self._got.values()), statuses(self._answered),
            self.client.closed or self.client.half_closed, requests(self.stage),
        )  # fmt: skip


class Told(msgspec.Struct):
    """What a client got of an answer."""

    #: head and body, made alike, the body without framing; of a refusal of the proxy's the status alone
    got: bytes
    #: the message is whole, as far as its framing can tell
    whole: bool


def read_answer(data: bytes, method: bytes, closed: bool) -> Told:
    """The one answer that a client got; anything behind it is a failure of the proxy's.

    :param closed: the connection ended, in order
    """
    head, end, body = data.partition(b"\r\n\r\n")
    assert end, data[:200]
    status = int(head.split(b" ", 2)[1])
    lines = head.lower().split(b"\r\n")
    framed = [line for line in lines if line.startswith((b"content-length:", b"transfer-encoding:"))]
    assert len(framed) <= 1, framed
    if method == b"HEAD" or status in (204, 304):
        assert not body
        return Told(alike(head + end), True)
    assert len(framed) == 1, "the client is HTTP/1.1: it is always told"
    if framed[0] == b"transfer-encoding: chunked":
        plain, ended, rest = _dechunk(body)
        assert not rest
        return Told(alike(head + end) + plain, ended)
    length = int(framed[0].partition(b":")[2])
    assert len(body) <= length
    return Told(alike(head + end) + body, len(body) == length)


def _dechunk(body: bytes) -> tuple[bytes, bool, bytes]:
    """The bytes within, whether the end was there, and what followed it."""
    plain = b""
    while True:
        line, end, rest = body.partition(b"\r\n")
        if not end:
            assert not line
            return plain, False, b""
        size = int(line, 16)
        if not size:
            while not rest.startswith(b"\r\n"):
                trailer, end, rest = rest.partition(b"\r\n")
                assert end and trailer.lower().startswith(b"x-sum:"), "only what means nothing passes"
            return plain, True, rest[2:]
        assert len(rest) >= size + 2 and rest[size : size + 2] == b"\r\n"
        plain, body = plain + rest[:size], rest[size + 2 :]
