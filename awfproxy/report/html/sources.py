"""Which files are read, each of them twice: once for the figures, once for the findings.

Rules: what standard input has is kept in a file until the end, since it comes only once.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Self

from awfproxy.report.lines import STDIN
from awfproxy.report.summary import files_of as records_of
from awfproxy.report.turns.turn_file import TURNS, files_of


class Sources:
    """The files, while the page is made.

    :param paths: files and folders, or "-"
    :param turns: files of turns that were named; none: those among `paths`
    """

    def __init__(self, paths: Sequence[str], turns: Sequence[str]) -> None:
        self._kept: str | None = None
        if STDIN in paths:
            with tempfile.NamedTemporaryFile(prefix="awf-report-", delete=False) as kept:
                self._kept = kept.name
                shutil.copyfileobj(sys.stdin.buffer, kept)
        paths = [self._kept if path == STDIN and self._kept is not None else path for path in paths]
        #: requests and token usage
        self.records = [path for path in records_of(paths) if not os.path.basename(path).startswith(TURNS)]
        self.turns = list(turns) or files_of(paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._kept is not None:
            os.unlink(self._kept)
