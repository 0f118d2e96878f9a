"""What a case of the corpus is: bytes that somebody hostile sends, and all that may come of them.

Bytes are compared after three things were made alike that change from call to call: the proxy's request id, the upstream's
address in ``Host``, and where a chunked body is cut.
"""

from __future__ import annotations

import re

import msgspec

#: what the port of these tests adds
KEY = b"sk-real"
#: the upstream's base path: nothing may leave it
BASE = b"/base"
#: what the hospitable upstream answers to every request
ANSWER = b'{"ok":true}'

_CHANGING = re.compile(rb"(?m)^(X-Request-ID|Host): [^\r\n]*")


class Request(msgspec.Struct, frozen=True):
    """A hostile client.

    Rules of every case: what the upstream got are exactly these requests, one after the other; the client got these
    statuses; then its connection is closed, or (``open``) takes one more request as if nothing had been.
    """

    name: str
    #: section of an RFC, or the name under which the technique is known
    source: str
    sent: bytes
    #: whole requests as the upstream gets them, made alike
    upstream: tuple[bytes, ...] = ()
    #: statuses of the answers, interim ones included
    answers: tuple[int, ...] = ()
    #: the connection goes on
    open: bool = False
    #: it is no request as yet: the proxy waits for more, with no answer and no record
    waits: bool = False
    #: records that it leaves; answers that the proxy gives of itself leave none
    records: int = 0


class Answer(msgspec.Struct, frozen=True):
    """A hostile upstream.

    Rules of every case: the client gets ``got``, all of it, and can tell whether that is whole; what follows on the
    upstream's connection never reaches another call.
    """

    name: str
    source: str
    sent: bytes
    #: status line, fields and body as the client gets them, made alike, the body without framing
    got: bytes
    #: of the request that it answers
    method: bytes = b"GET"
    #: the upstream closes its end after what it sent
    ends: bool = False
    #: the client can tell that the answer is cut
    cut: bool = False
    #: the upstream's connection is used again
    kept: bool = False
    outcome: str = "complete"


def alike(message: bytes) -> bytes:
    """A message without what changes from call to call in its head."""
    head, end, body = message.partition(b"\r\n\r\n")
    return _CHANGING.sub(rb"\1: *", head) + end + body


# -- requests


def passes(
    name: str, source: str, sent: bytes, *upstream: bytes, interim: tuple[int, ...] = (), open: bool = True
) -> Request:
    """It goes upstream as exactly these requests, and the connection goes on."""
    return Request(name, source, sent, upstream, (*interim, *(200 for _ in upstream)), open, records=len(upstream))


def refused(name: str, source: str, sent: bytes, status: int = 400, *before: bytes, open: bool = False) -> Request:
    """Nothing of it goes upstream but the requests ``before``, and the connection is closed."""
    return Request(name, source, sent, before, (*(200 for _ in before), status), open, records=len(before) + 1)


def waits(name: str, source: str, sent: bytes, records: int = 0) -> Request:
    """It is no whole request: nothing is answered, nothing goes upstream.

    :param records: 1 if its head is whole, so that it is a call whose client may leave
    """
    return Request(name, source, sent, waits=True, records=records)


def up(line: bytes, *fields: bytes, body: bytes | None = None) -> bytes:
    """A request as the upstream gets it."""
    method, _, target = line.partition(b" ")
    length = () if body is None else (b"Content-Length: %d" % len(body),)
    lines = (
        method + b" " + BASE + target + b" HTTP/1.1", b"Host: *", b"Authorization: Bearer " + KEY, *fields,
        b"X-Request-ID: *", *length,
    )  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def asks(*fields: bytes, line: bytes = b"POST /a HTTP/1.1", body: bytes = b"", host: bool = True) -> bytes:
    """A request; ``fields`` without line ends."""
    return b"\r\n".join((line, *((b"Host: h",) if host else ()), *fields)) + b"\r\n\r\n" + body


# -- answers


def down(status: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """An answer as the client gets it: the status line's rest, fields, and the body without framing."""
    return b"\r\n".join((b"HTTP/1.1 " + status, *fields)) + b"\r\n\r\n" + body


def whole(
    name: str, source: str, sent: bytes, got: bytes, *, method: bytes = b"GET", ends: bool = False, kept: bool = True
) -> Answer:
    """It passes."""
    return Answer(name, source, sent, got, method, ends, kept=kept and not ends)


def bad(name: str, source: str, sent: bytes, *, method: bytes = b"GET", ends: bool = False) -> Answer:
    """The client gets 502 of the proxy's making, and nothing of it."""
    return Answer(name, source, sent, BAD_GATEWAY, method, ends, outcome="upstream_failed")


def cut(name: str, source: str, sent: bytes, got: bytes, *, method: bytes = b"GET", ends: bool = False) -> Answer:
    """What was right of it passes, and then the client is cut."""
    return Answer(name, source, sent, got, method, ends, cut=True, outcome="upstream_cut")


#: in place of the whole answer: the proxy's own
BAD_GATEWAY = b"502"
