"""An answer before it is put on the wire: status, headers, and the body as a document or as events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from awfproxy.simulator.asking import Ask
from awfproxy.simulator.modes import after
from awfproxy.simulator.tokens import Figures

Headers = tuple[tuple[str, str], ...]

#: One mebibyte, the unit of the big modes.
MIB = 1 << 20
#: Bytes of one piece of a big body: small enough that the simulator's own memory stays flat.
BIG_PIECE = 1 << 16


class Answer:
    """What the wire is to carry.  ``pieces`` is read once, as slowly as the client reads."""

    __slots__ = ("api", "content_type", "figures", "headers", "model", "pieces", "reported", "status", "streaming")

    def __init__(
        self,
        status: int,
        content_type: str,
        pieces: Iterable[bytes],
        *,
        streaming: bool = False,
        headers: Headers = (),
        api: str = "",
        model: str = "",
        figures: Figures | None = None,
        reported: bool = False,
    ) -> None:
        self.status = status
        self.content_type = content_type
        self.pieces = pieces
        #: the body's length is not known beforehand
        self.streaming = streaming
        self.headers = headers
        self.api = api
        self.model = model
        #: what the call used; None: no call of a model
        self.figures = figures
        #: the answer, read to its end, tells these figures
        self.reported = reported


def document(value: Any, *, indent: int = 0, status: int = 200, headers: Headers = ()) -> Answer:
    """A JSON body that is no call of a model."""
    return Answer(status, "application/json", (as_json(value, indent),), headers=headers)


def as_json(value: Any, indent: int = 0) -> bytes:
    """``value`` as JSON, compact or indented as Google's servers write it."""
    data = msgspec.json.encode(value)
    return msgspec.json.format(data, indent=indent) + b"\n" if indent else data


def sse(value: Any, name: str | None = None, line_end: bytes = b"\n") -> bytes:
    """One event of an event stream (html.spec.whatwg.org, 9.2.6), named where the API names its events."""
    head = b"event: " + name.encode() + line_end if name is not None else b""
    return head + b"data: " + as_json(value) + line_end + line_end


def big_pieces(before: bytes, mebibytes: int, behind: bytes) -> Iterator[bytes]:
    """``before``, that many MiB of plain letters, ``behind``: one line, in pieces, never whole in memory."""
    yield before
    piece = b"lighthouse-keeper" * (BIG_PIECE // 17 + 1)
    for _ in range(mebibytes * MIB // BIG_PIECE):
        yield piece[:BIG_PIECE]
    yield behind


def with_big_text(value: Any, mebibytes: int) -> Iterator[bytes]:
    """``value`` as JSON in pieces, with the text ``@BIG@`` inside it grown to that many MiB."""
    before, _, behind = as_json(value).partition(b"@BIG@")
    return big_pieces(before, mebibytes, behind)


def visible_text(ask: Ask, text: str) -> str:
    """``text``, or the mark that `with_big_text` replaces when the mode asks for one huge body."""
    return "@BIG@" if ask.mode.big_body else text


def shaped(events: Iterable[bytes], ask: Ask, error: bytes | None) -> Iterator[bytes]:
    """``events`` under the modes that change a stream: error event, line ends, comments.

    ``error`` is the provider's error event; it ends the stream.
    """
    stop = after(str(ask.mode.error_event)) if ask.mode.error_event is not None else None
    line_end = {"crlf": b"\r\n", "cr": b"\r", "lf": b"\n", None: None}[ask.mode.lines]
    for index, event in enumerate(events):
        if index == stop:
            if error is not None:
                yield error
            return
        if ask.mode.comments:
            event = b": keep-alive\n\n" + event
        if line_end is not None:
            event = event.replace(b"\r\n", b"\n").replace(b"\n", line_end)
        yield event
