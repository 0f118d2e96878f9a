"""Streams whose every event has the usage so far: read by the end of each event's line, without decoding it.

Gemini writes ``"usageMetadata":{...},"modelVersion":"...","responseId":"..."}`` there.  This is exact: the line's last
bracket closes the document, so that what stands before it with its own brackets paired is at the document's top; and
its first quote, after no backslash, begins a string, because quotes from there to the end are paired too.  An event
that looks otherwise in any way (several lines, a finish reason, other members, numbers that are no counts) is left to
whole decoding.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .fields import USAGE_LIMIT

#: How an event begins whose only line is its data.
_BEGINS = (b"data: {", b"data:{")
_BEFORE = b'"usage'


class Snapshot(NamedTuple):
    """How the events of one API end."""

    #: from the usage's name to the blank line; the usage is its first group
    tail: re.Pattern[bytes]
    #: members that make an event worth decoding, until the model has finished
    finish: tuple[bytes, ...]


_COUNT = rb'"\w+"[ \t]*:[ \t]*(?:0|[1-9]\d{0,14})'
_PAIR = rb'"\w+"[ \t]*:[ \t]*(?:0|[1-9]\d{0,14}|"\w*")'
_MODALITY = rb"\{[ \t]*%b(?:[ \t]*,[ \t]*%b)*[ \t]*\}" % (_PAIR, _PAIR)
_MODALITIES = rb'"\w+"[ \t]*:[ \t]*\[[ \t]*%b(?:[ \t]*,[ \t]*%b)*[ \t]*\]' % (_MODALITY, _MODALITY)
_USAGE = rb"\{[ \t]*%b(?:[ \t]*,[ \t]*(?:%b|%b))*[ \t]*\}" % (_COUNT, _PAIR, _MODALITIES)
_NAMES = rb'(?:[ \t]*,[ \t]*"(?:modelVersion|createTime|responseId)"[ \t]*:[ \t]*"[^"\\\r\n]*")*'
_END = rb"[ \t]*\}[ \t]*(?:\r\n\r\n|\n\n)"

GEMINI_SNAPSHOT = Snapshot(
    re.compile(rb'(?<!\\)"usageMetadata"[ \t]*:[ \t]*(%b)%b%b' % (_USAGE, _NAMES, _END)),
    (b'"finishReason"', b'"blockReason"'),
)


def pass_over(
    buffer: bytes | bytearray, at: int, end: int, snapshot: Snapshot, finished: bool
) -> tuple[int, bytes | None]:
    """Where the first event from `at` on begins that must be decoded, and the usage of the last one before it.

    ``buffer[at:end]`` is whole events; `finished`: the model is known to have finished.
    """
    finish = () if finished else snapshot.finish
    last = None
    while buffer.startswith(_BEGINS, at):
        usage = buffer.find(_BEFORE, at, end)
        if usage < 0 or buffer.find(b"\n", at, usage) >= 0 or buffer.find(b"\r", at, usage) >= 0:
            break
        for name in finish:
            if buffer.find(name, at, usage) >= 0:
                break
        else:
            found = snapshot.tail.match(buffer, usage, end)
            if found is not None and found.end(1) - usage <= USAGE_LIMIT:
                last = found
                at = found.end()
                continue
        break
    return at, None if last is None else last[1]
