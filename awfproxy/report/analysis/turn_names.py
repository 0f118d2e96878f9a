"""Which turn a call is of, by the file that `awf logs turns` writes.

Rules: a row names its first calls (`turn_rows.REQUEST_IDS_MAX`); the others of a longer turn have no turn here.  At
most `CALLS_MAX` calls are known.  What is no such row is left out and counted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec

from awfproxy.report.escaping import short
from awfproxy.report.lines import Lines, find_files

#: how the names of such files begin
PREFIX: Final = "token-usage-by-turn"
#: calls whose turn is known: 60 MB
CALLS_MAX: Final = 500_000


class _Row(msgspec.Struct, gc=False):
    event: str | None = None
    session: str | None = None
    conversation: str | None = None
    turn: int | None = None
    subagent: str | None = None
    request_ids: list[str] = msgspec.field(default_factory=list)


def files_of(paths: Sequence[str]) -> list[str]:
    """Those of the files, and of the files in folders, that are named as `awf logs turns` names them."""
    found = find_files(paths, PREFIX, "\0")
    return [path for path in found if os.path.basename(path).startswith(PREFIX)]


class TurnNames:
    """The turns of calls.

    :param files: what `awf logs turns` wrote
    """

    def __init__(self, files: Sequence[str] = ()) -> None:
        self._turns: dict[int, str] = {}
        #: lines that are none of turns
        self.skipped = 0
        self.troubles: list[str] = []
        #: calls that were too many
        self.overflowed = 0
        lines = Lines(files)
        for line in lines:
            self._take(line)
        self.skipped += lines.too_long
        self.troubles += lines.troubles

    def __bool__(self) -> bool:
        return bool(self._turns)

    def of(self, request_id: str | None) -> str | None:
        """``session/2``, with a sub-agent ``session/2/name``."""
        return None if request_id is None else self._turns.get(hash(request_id))

    def _take(self, line: bytes) -> None:
        if line.isspace():
            return
        try:
            row = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.skipped += 1
            return
        if row.event != "turn" or row.turn is None:
            self.skipped += row.event != "unmatched"
            return
        parts = (row.session or row.conversation or "?", str(row.turn), row.subagent)
        name = short("/".join(part for part in parts if part is not None))
        for request_id in row.request_ids:
            if len(self._turns) >= CALLS_MAX:
                self.overflowed += 1
                return
            self._turns[hash(request_id)] = name


_decode: Final = msgspec.json.Decoder(_Row).decode
