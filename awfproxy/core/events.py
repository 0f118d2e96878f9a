"""Where server-sent events end and what their data is, in bytes at hand.

Rules of https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in LF, CR or CRLF, mixed as they
like; a blank line ends an event.  A blank line is there exactly where LF LF, LF CR or CR CR stand: CRLF CRLF has the
second of these in its middle.  JSON has no line ends inside its strings, so each one is the stream's own.
"""

from __future__ import annotations

import re

_BLANK = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR, _LF = b"\r\n"


def next_blank(data: bytes | bytearray, start: int, end: int, has_cr: bool) -> int:
    """Where the first blank line that begins at `start` or after ends; -1: none up to `end`.

    `has_cr`: the data may have a CR, which is slower to look through.
    """
    if has_cr:
        found = _BLANK.search(data, start, end)
        return found.end() if found else -1
    at = data.find(b"\n\n", start, end)
    return at + 2 if at >= 0 else -1


def last_blank(data: bytes | bytearray, start: int, end: int) -> int:
    """Where the last blank line that begins at `start` or after ends; -1: none up to `end`."""
    at = data.rfind(b"\n\n", start, end)
    if data.find(b"\r", start, end) >= 0:
        at = max(at, data.rfind(b"\n\r", start, end), data.rfind(b"\r\r", start, end))
        return _with_lf(data, at + 2, end) if at >= 0 else -1
    return at + 2 if at >= 0 else -1


def _with_lf(data: bytes | bytearray, at: int, end: int) -> int:
    """A blank line that seems to end in CR ends in CRLF when LF follows."""
    return at + 1 if at < end and data[at - 1] == _CR and data[at] == _LF else at


def event_data(event: bytes) -> bytes:
    """The data of an event, its ``data`` lines joined by LF; surrounding white space may be left on it."""
    start = 0 if event.startswith(b"data:") else event.find(b"\ndata:") + 1
    if (start or event.startswith(b"data:")) and event.find(b"\ndata", start + 5) < 0:
        end = event.find(b"\n", start)
        if end < 0:
            end = len(event)
        # A CR without LF would be a line end of its own.
        if event.find(b"\r") < 0 or event.count(b"\r") == event.count(b"\r\n"):
            return event[start + 5 : end]
    values = []
    for line in _LINE_END.split(event):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values)
