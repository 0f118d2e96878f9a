"""Watching the files of records: what they end with, and what comes.

Rules: of a folder two files are followed, and a request is shown with its usage.  Usage is written before its request,
so requests are read first and usage then: the usage of every request that was read is there.  Lines that are no records
are counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from awfproxy.report.calls import Calls
from awfproxy.report.escaping import write_out
from awfproxy.report.follow import Followed

#: seconds between two looks
PAUSE: Final = 0.25
#: calls that end at once: their requests and their usage may stand in different orders
AT_ONCE: Final = 1_000
#: the files of a folder
REQUESTS, USAGE = "requests.jsonl", "token-usage.jsonl"


class Watch:
    """What is watched.

    :param paths: files and folders
    :param count: calls from before that are shown of each
    :param width: tells how many columns the terminal has; None: there is none
    """

    def __init__(self, paths: Sequence[str], count: int, width: Callable[[], int | None]) -> None:
        self._watched = [_watched(path, count, Calls(width)) for path in paths]

    @property
    def skipped(self) -> int:
        """Lines that are no records of calls."""
        return sum(watched.skipped for watched in self._watched)

    def run(self, follow: bool) -> bool:
        """Shows what is there, and if asked for what comes, until interrupted or left; whether there was anything."""
        found = False
        try:
            while True:
                shown = [line for watched in self._watched for line in watched.shown(time.monotonic())]
                found = found or bool(shown)
                if shown and not write_out(f"{line}\n" for line in shown):
                    return True  # nobody reads it any more
                if not follow:
                    return found
                time.sleep(PAUSE)
        except KeyboardInterrupt:
            return True
        finally:
            for watched in self._watched:
                watched.close()


def _watched(path: str, count: int, calls: Calls) -> _File | _Folder:
    if not os.path.isdir(path):
        return _File(path, count, calls)
    usage = os.path.join(path, USAGE)
    # AWF writes no file of requests.
    if os.path.exists(usage) and not os.path.exists(os.path.join(path, REQUESTS)):
        return _File(usage, count, calls)
    return _Folder(path, count, calls)


class _File:
    """One file, whatever records it has."""

    def __init__(self, path: str, count: int, calls: Calls) -> None:
        self._followed = Followed(path, count)
        self._calls = calls
        self._bad = 0

    @property
    def skipped(self) -> int:
        return self._bad + self._followed.too_long

    def shown(self, now: float) -> list[str]:
        lines = [self._calls.line(line) for line in self._followed.lines(now) if line.strip()]
        self._bad += lines.count(None)
        return [line for line in lines if line is not None]

    def close(self) -> None:
        self._followed.close()


class _Folder:
    """The two files of a folder of logs."""

    def __init__(self, path: str, count: int, calls: Calls) -> None:
        self._requests = Followed(os.path.join(path, REQUESTS), count)
        self._usage = Followed(os.path.join(path, USAGE), count and count + AT_ONCE)
        self._calls = calls
        self._bad = 0

    @property
    def skipped(self) -> int:
        return self._bad + self._requests.too_long + self._usage.too_long

    def shown(self, now: float) -> list[str]:
        requests = self._requests.lines(now)
        for line in self._usage.lines(now):
            self._bad += bool(line.strip()) and not self._calls.usage(line)
        lines = [self._calls.line(line) for line in requests if line.strip()]
        self._bad += lines.count(None)
        return [line for line in lines if line is not None]

    def close(self) -> None:
        self._requests.close()
        self._usage.close()
