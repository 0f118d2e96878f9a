"""Which files are read, each of them twice: once for the figures, once for the findings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

from awfproxy.report.again import Again
from awfproxy.report.summary import files_of as records_of
from awfproxy.report.turns.turn_file import TURNS, files_of


class Sources:
    """The files, while the page is made.

    :param paths: files and folders, or "-"
    :param turns: files of turns that were named; none: those among `paths`
    """

    def __init__(self, paths: Sequence[str], turns: Sequence[str]) -> None:
        self._again = Again([*paths, *turns])
        paths, turns = self._again.paths[: len(paths)], self._again.paths[len(paths) :]
        #: requests and token usage
        self.records = [path for path in records_of(paths) if not os.path.basename(path).startswith(TURNS)]
        self.turns = turns or files_of(paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._again.close()
