"""Paths that are read more than once, although what some of them have comes only once.

Rules: what standard input, a pipe or a device has is kept in a file until the end; all other paths stay as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Self

from awfproxy.report.lines import STDIN, called, comes_once


class Kept(str):
    """The path of a file that is read in the place of what came once; `str` and sentences call it as that is called."""

    __slots__ = ("given",)
    given: str

    def __new__(cls, path: str, given: str) -> Kept:
        made = super().__new__(cls, path)
        made.given = given
        return made

    def __str__(self) -> str:
        return self.given

    def __format__(self, spec: str) -> str:
        return format(self.given, spec)


class Again:
    """The paths, for as long as they are read.

    :param paths: files and folders, or "-"
    :param stdin: what "-" means; the process's own standard input if None
    """

    def __init__(self, paths: Sequence[str], stdin: IO[bytes] | None = None) -> None:
        self._kept: list[str] = []
        self._stdin = stdin
        try:
            self.paths = [self._keep(path) if comes_once(path) else path for path in paths]
        except BaseException:
            self.close()
            raise

    def _keep(self, path: str) -> str:
        with tempfile.NamedTemporaryFile(prefix="awf-report-", delete=False) as kept:
            self._kept.append(kept.name)
            if path == STDIN:
                shutil.copyfileobj(self._stdin or sys.stdin.buffer, kept)
            else:
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, kept)
        return Kept(kept.name, called(path))

    def close(self) -> None:
        """Nothing is read any more."""
        while self._kept:
            os.unlink(self._kept.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
