"""The script of one answer: its bytes in the order and the portions in which they go on the wire, and where it stops.

Pure: a script is a list of steps that `playback` performs.  Nothing here repairs an inconsistency that a mode asks for:
a Content-Length that lies is sent as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from http import HTTPStatus

import msgspec

from awfproxy.simulator import encoders
from awfproxy.simulator.answers import Answer
from awfproxy.simulator.ledger import Call
from awfproxy.simulator.modes import Mode, after

#: Bytes handed over together when nothing paces or splits the answer.
PORTION = 1 << 16
#: Seconds between the last bytes and a cut, so that they are on the wire before it: a reset overtakes what is unsent.
BEFORE_CUT = 0.02

INTERIM = {"100": "Continue", "102": "Processing", "103": "Early Hints"}


class Pause(msgspec.Struct, frozen=True):
    """Wait that many seconds (0: until the reactor's next turn); what was written before is sent first."""

    seconds: float


class Stop(Enum):
    """How an answer stops short, or its connection with it."""

    FIN = "fin"
    RST = "rst"
    STALL = "stall"
    #: the answer is whole, and the connection ends as it said it would
    CLOSE = "close"


Step = bytes | Pause | Stop
TURN = Pause(0)


def script(
    answer: Answer, mode: Mode, encoding: str, method: str, keep_alive: bool, call: Call | None
) -> Iterator[Step]:
    """The steps of one answer.  ``call`` is told what was handed over.

    :param encoding: the coding to apply, see `encoders.encoder`
    :param keep_alive: the client would keep the connection
    """
    if mode.first_byte:
        yield Pause(mode.first_byte / 1000)
    if mode.cut == "before":
        yield from _cut(mode)
        return
    if mode.stall == "before":
        yield Stop.STALL
        return
    steps = _whole(answer, mode, encoding, method, keep_alive, call)
    yield from (_small_writes(steps, mode.split_wire) if mode.split_wire else _portions(steps))


def _cut(mode: Mode) -> Iterator[Step]:
    yield Pause(BEFORE_CUT)
    yield Stop.RST if mode.cut_how == "rst" else Stop.FIN


def _whole(
    answer: Answer, mode: Mode, encoding: str, method: str, keep_alive: bool, call: Call | None
) -> Iterator[Step]:
    for status in filter(None, (part.strip() for part in mode.interim.split(","))):
        link = "Link: </style.css>; rel=preload\r\n" if status == "103" else ""
        yield f"HTTP/1.1 {status} {INTERIM.get(status, 'Interim')}\r\n{link}\r\n".encode()
        yield TURN
    bodyless = answer.status in (204, 304)
    name, encoder = encoders.encoder("" if bodyless else encoding)
    framing = mode.framing or ("chunked" if answer.streaming or mode.big_body else "length")
    pieces = iter(answer.pieces)
    length: int | None = None
    if framing == "length" and not bodyless:
        # Its length must be known before its first byte: such a body is small, or the mode wants it held whole.
        body = b"".join(pieces)
        if encoder is not None:
            body = encoder.piece(body) + encoder.finish()
            encoder = None
        length = len(body)
        pieces = iter((body,))
    closing = framing == "close" or not keep_alive or mode.early == "close"
    yield _head(answer, mode, name, framing, length, closing, bodyless)
    if method != "HEAD" and not bodyless:
        yield from _body(pieces, mode, encoder, framing, call)
    if length is not None and mode.length > 0:
        yield from _cut(mode)  # fewer bytes came than were said to: the rest never comes
    elif closing:
        yield Stop.CLOSE


def _head(
    answer: Answer, mode: Mode, coding: str, framing: str, length: int | None, closing: bool, bodyless: bool
) -> bytes:
    reason = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else "Overloaded"
    lines = [f"HTTP/1.1 {answer.status} {reason}", "Server: simulated", f"Content-Type: {answer.content_type}"]
    if coding and not mode.hide_encoding:
        lines.append(f"Content-Encoding: {coding}")
    lines.extend(f"{name}: {value}" for name, value in answer.headers)
    if not bodyless:
        if framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            if mode.trailers:
                lines.append("Trailer: X-Sim-Trailer")
        elif length is not None:
            lines.append(f"Content-Length: {max(0, length + mode.length)}")
    if closing:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _body(
    pieces: Iterator[bytes], mode: Mode, encoder: encoders.Encoder | None, framing: str, call: Call | None
) -> Iterator[Step]:
    cut, stall = after(mode.cut), after(mode.stall)
    count = 0
    chunked = framing == "chunked"
    for piece in pieces:
        if count == cut:
            break
        if count == stall:
            yield Stop.STALL
            return
        if count and mode.pace:
            yield Pause(mode.pace / 1000)
        data = encoder.piece(piece) if encoder is not None else piece
        count += 1
        yield from _payload(data, mode.split, chunked)
        if call is not None:
            call.sent_events = count
            call.sent_bytes += len(data)
    if cut is not None and count <= cut:
        yield from _cut(mode)
        return
    if stall is not None and count <= stall:
        yield Stop.STALL
        return
    if encoder is not None:
        yield from _payload(encoder.finish(), mode.split, chunked)
    if chunked:
        yield b"0\r\nX-Sim-Trailer: end\r\n\r\n" if mode.trailers else b"0\r\n\r\n"


def _payload(data: bytes, split: int | None, chunked: bool) -> Iterator[Step]:
    if not data:
        return
    size = split or len(data)
    for start in range(0, len(data), size):
        if split and start:
            yield TURN
        part = data[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
    if split:
        yield TURN


def _small_writes(steps: Iterator[Step], size: int) -> Iterator[Step]:
    """The same bytes, ``size`` at a time, each in a turn of its own."""
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        for start in range(0, len(step), size):
            yield step[start : start + size]
            yield TURN


def _portions(steps: Iterator[Step]) -> Iterator[Step]:
    """The same bytes in fewer writes: what no pause sets apart goes together, up to `PORTION`."""
    waiting: list[bytes] = []
    held = 0
    for step in steps:
        if isinstance(step, bytes):
            waiting.append(step)
            held += len(step)
            if held < PORTION:
                continue
        if waiting:
            yield b"".join(waiting)
            waiting, held = [], 0
        if not isinstance(step, bytes):
            yield step
    if waiting:
        yield b"".join(waiting)
