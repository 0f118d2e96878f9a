"""After a restart: the work that goes on in the background and was not counted yet, told from ``requests.jsonl``.

The line of an answer that says "queued" has ``usage_reason`` "background" and the keyed hash of the work's id; the line
of the answer that showed its end has the hash and another reason, or none.  What was begun and not ended goes on.

Only the end of the file is read, and the end of the newest file that it was before a rotation: providers keep such work
for minutes or hours.  What cannot be read is left out: the worst is work that nobody counts, and the log says so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import msgspec
import txaio

from awfproxy.core.sources import BACKGROUND
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.server.recovery import COMPRESSED, rotated

log = txaio.make_logger()

#: bytes of the end of each file that are read: 100,000 requests, and a tenth of a second
TAIL_BYTES: Final = 64 * 1024 * 1024
#: what a line that matters holds, to tell it from the others at C speed
_MARK: Final = b'"response_id_hash":"'


class _Line(msgspec.Struct):
    port: str
    response_id_hash: str
    usage_reason: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


def unfinished(requests_path: str) -> dict[str, list[str]]:
    """The hashes of what goes on, oldest first, by port."""
    works: dict[str, dict[str, None]] = {}
    for path in (*rotated(requests_path)[:1], requests_path):
        if path.endswith(COMPRESSED):
            continue
        try:
            data = _tail(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warn("{name}: {why}: work in the background may go uncounted", name=path, why=error.strerror)
            continue
        for line in _lines(data):
            names = works.setdefault(line.port, {})
            names.pop(line.response_id_hash, None)
            if line.usage_reason == BACKGROUND:
                names[line.response_id_hash] = None
    return {port: list(names) for port, names in works.items() if names}


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read(TAIL_BYTES)


def _lines(data: bytes) -> list[_Line]:
    found = []
    at = data.find(_MARK)
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        with suppress(*UNDECODABLE):  # a torn line, or one of another program
            found.append(_decode(data[start:end]))
        at = data.find(_MARK, end)
    return found
