"""How an answer is to misbehave: read from ``x-sim-…`` request headers, or from marks in the model's name.

Headers pass through a proxy as ordinary ones do, so that a test behind the proxy can still choose.  Where only the
model can be chosen, ``gpt-4o+sim-pace=10+sim-cut=3`` says the same as ``x-sim-pace: 10`` and ``x-sim-cut: 3``; the
answer then names the model with its marks.  An unknown or unreadable mode is an error (400), never ignored: a test
must not pass because its mode was misspelt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

#: What a header's name begins with.
HEADER_PREFIX = b"x-sim-"
#: What sets one mark in a model's name apart from the next.
MODEL_MARK = "+sim-"
#: Largest single number in a mode: a test that asks for more than a billion of anything is mistaken.
MOST = 1_000_000_000


class ModeError(Exception):
    """A mode that does not exist or cannot be read; the text says which."""


class Mode(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """One request's wishes.  Times are milliseconds, sizes bytes unless said; None: as the real provider does."""

    #: milliseconds between two events
    pace: float = 0
    #: words of the answer, one an event
    events: int | None = None
    #: milliseconds before the first byte
    first_byte: float = 0
    #: bytes of payload in one chunk and one write (each write in a reactor turn of its own)
    split: int | None = None
    #: the same for the raw bytes on the wire, head and chunk sizes included
    split_wire: int | None = None
    #: gzip, deflate, raw-deflate, br, zstd, identity, or a chain ("gzip, br"); None: as Accept-Encoding allows
    encoding: str | None = None
    #: leave the Content-Encoding header out though the body is compressed
    hide_encoding: bool = False
    #: answer with this status, in the provider's error shape (200 with a body for 2xx but 204; none for 204 and 304)
    status: int | None = None
    #: Retry-After on that answer, in seconds
    retry_after: int | None = None
    #: an error event inside the 200 stream after that many events; nothing follows it
    error_event: int | None = None
    #: close after that many events; "before": without a byte of an answer
    cut: str | None = None
    #: how to cut: fin or rst
    cut_how: str = "fin"
    #: go silent after that many events; "before": without a byte of an answer
    stall: str | None = None
    #: Content-Length larger (+n) or smaller (-n) than the body
    length: int = 0
    #: length, chunked or close (neither: the body ends with the connection)
    framing: str | None = None
    #: answer before the body was read; then "read" the rest, or "close"
    early: str | None = None
    #: close the idle connection that many milliseconds after the answer, without having said so
    idle_close: float | None = None
    #: answer this request, but drop the connection unanswered when the next one arrives: fin or rst
    next: str | None = None
    #: do not read the request's body for so many milliseconds
    read_delay: float = 0
    #: interim answers first, e.g. "100, 103"
    interim: str = ""
    #: trailer fields after the last chunk
    trailers: bool = False
    #: an SSE event whose one line is that many MiB, usage after it
    big_line: int = 0
    #: that many MiB of text inside one JSON body, usage after it
    big_body: int = 0
    #: a stream that never ends
    endless: bool = False
    #: "absent": never say what was used; "always": say it in every chunk, growing
    usage: str | None = None
    #: an older server: 400 when the request has stream_options
    refuse_stream_options: bool = False
    #: leave the stream's last event ([DONE], message_stop) out
    no_end: bool = False
    #: line ends of the event stream: lf, crlf, cr
    lines: str | None = None
    #: a comment line (": …") before every event, as gateways keep connections alive
    comments: bool = False
    #: the Content-Type to claim
    content_type: str | None = None
    #: answers that show work in the background unfinished
    polls: int | None = None
    #: the response or interaction ends as failed, without usage
    fails: bool = False
    #: tokens that were thought, not shown
    reasoning: int | None = None
    #: tokens to report as read from the cache
    cached: int | None = None
    #: tokens to report as written to the cache
    cache_written: int | None = None
    #: "remember": the prompt's tools weigh too, and what was sent before is read from the cache
    cache: str | None = None
    #: the call of a tool to answer with, as JSON: ["name", {arguments}]; "none": a text, whatever is offered
    tool: str | None = None


_ONE_OF = {
    "cut-how": ("fin", "rst"),
    "next": ("fin", "rst"),
    "framing": ("length", "chunked", "close"),
    "early": ("read", "close"),
    "usage": ("absent", "always"),
    "lines": ("lf", "crlf", "cr"),
    "cache": ("remember",),
}
NO_TOOL = "none"
_COUNT_OR_BEFORE = ("cut", "stall")


def read(headers: Iterable[tuple[bytes, bytes]], model: str = "") -> Mode:
    """The mode that a request's headers (lower-case names) and model ask for; the model's marks come last.

    :raises ModeError: unknown name, or a value that is not of its kind
    """
    wishes: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(HEADER_PREFIX):
            wishes[name[len(HEADER_PREFIX) :].decode("latin-1")] = value.decode("latin-1").strip()
    for mark in model.split(MODEL_MARK)[1:]:
        wish, _, value_text = mark.partition("=")
        wishes[wish] = value_text or "1"
    for wish, value in wishes.items():
        if wish in _ONE_OF and value not in _ONE_OF[wish]:
            raise ModeError(f"x-sim-{wish}: {value!r} is none of {', '.join(_ONE_OF[wish])}")
        if wish in _COUNT_OR_BEFORE and value != "before" and not value.isdecimal():
            raise ModeError(f"x-sim-{wish}: {value!r} is neither a number of events nor 'before'")
        if wish == "tool" and value != NO_TOOL:
            tool_call(value)
    try:
        mode = msgspec.convert(wishes, Mode, strict=False)
    except msgspec.ValidationError as error:
        raise ModeError(f"x-sim: {error}") from None
    for field in mode.__struct_fields__:
        number = getattr(mode, field)
        if isinstance(number, (int, float)) and not -MOST <= number <= MOST:
            raise ModeError(f"x-sim-{field.replace('_', '-')}: {number} is too much")
    return mode


def tool_call(value: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments in a mode's ``tool``.

    :raises ModeError: there are none
    """
    try:
        return msgspec.json.decode(value, type=tuple[str, dict[str, Any]])
    except msgspec.DecodeError as error:
        raise ModeError(f"x-sim-tool: {error}") from None


def after(count: str | None) -> int | None:
    """The number of events after which to cut or stall; None: not asked, or before the answer."""
    return int(count) if count is not None and count != "before" else None
