"""The calls of several files in the order of time, without holding them.

Rules: files are nearly in order, since a record is appended when its call ends: within one, a call may be `WINDOW`
places late, and between files those go first that ended first.  A file is opened when its first call's time has come,
so that a year of rotated files needs one at a time.  The order of the files that are given never shows.  What still is
out of order is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import IO, Final

from awfproxy.report.analysis.steps import Reader, Step, ended
from awfproxy.report.lines import STDIN, Lines, size_of
from awfproxy.report.reading import Remarks
from awfproxy.report.rows import OTHER

#: places by which a record may stand too late in its file: half a second of a busy proxy; twice as many are held, 4 MB
WINDOW: Final = 512
#: files that are read side by side; beyond it, as with the artifacts of many hosts, the next ones wait for the first
OPEN_MAX: Final = 128

#: calls by which it is told where a file begins
PEEKED: Final = 64
#: how a line of requests.jsonl begins
_REQUEST: Final = b'{"_schema":"requests/'

#: end, id, line, place of the file, number of the call in it: different for any two calls
_Sorted = tuple[str, str, bytes, int, int, Step]


class InOrder:
    """All calls of all files, one pass.

    :param files: paths of files, or "-"
    :param stdin: what "-" means
    :param remarks: takes what was left out
    :param other: takes lines of records of other kinds, in no order
    :param progress: told now and then how many bytes of the files have been read
    """

    def __init__(
        self,
        files: Sequence[str],
        reader: Reader,
        remarks: Remarks,
        *,
        stdin: IO[bytes] | None = None,
        other: Callable[[bytes], bool] = lambda line: False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._files = list(dict.fromkeys(files))
        self._reader = reader
        self._remarks = remarks
        self._stdin = stdin
        self._other = other
        self._progress = progress
        self._done = 0
        #: calls that ended before one that was told already
        self.out_of_order = 0

    def __iter__(self) -> Iterator[Step]:
        alone = len(self._files) == 1
        merged = self._calls(self._files[0], 0, self._progress) if alone else self._merged()
        last = ("", "")
        for found in merged:
            step = found[-1]
            if step.key < last:
                self.out_of_order += 1
            last = step.key
            yield step

    def _merged(self) -> Iterator[_Sorted]:
        # Standard input cannot be opened twice; all others wait for their turn.
        waiting = [(self._first(path), place, path) for place, path in enumerate(self._files) if path != STDIN]
        heapify(waiting)
        running: list[tuple[_Sorted, Iterator[_Sorted]]] = []
        if STDIN in self._files:
            self._push(running, self._calls(STDIN, -1))
        while True:
            while waiting and (not running or (waiting[0][0] <= running[0][0][0] and len(running) < OPEN_MAX)):
                _, place, path = heappop(waiting)
                self._push(running, self._calls(path, place))
            if not running:
                return
            found, rest = heappop(running)
            yield found
            self._push(running, rest)

    def _push(self, running: list[tuple[_Sorted, Iterator[_Sorted]]], calls: Iterator[_Sorted]) -> None:
        following = next(calls, None)
        if following is not None:
            heappush(running, (following, calls))

    def _calls(
        self, path: str, place: int, progress: Callable[[int], None] | None = None
    ) -> Iterator[_Sorted]:
        """The calls of one file, each with what it is sorted by."""
        lines = Lines([path], self._stdin, progress)
        waiting: list[_Sorted] = []
        number = 0
        for line in lines:
            if line.startswith(_REQUEST):
                self._other(line)
                continue
            step = self._reader.step(line)
            if not isinstance(step, Step):
                if step is not None and not line.isspace() and not (step == OTHER and self._other(line)):
                    self._remarks.count(step)
                continue
            number += 1
            found = (*step.key, line, place, number, step)
            waiting.append(found)
            if len(waiting) == 2 * WINDOW:
                # Sorting what is nearly sorted costs least.
                waiting.sort()
                yield from waiting[:WINDOW]
                del waiting[:WINDOW]
        self._remarks.too_long += lines.too_long
        self._remarks.troubles += lines.troubles
        if self._progress is not None and progress is None:
            self._done += size_of([path])
            self._progress(self._done)
        waiting.sort()
        yield from waiting

    def _first(self, path: str) -> str:
        """When the first calls of the file ended; "": it has none."""
        ends: list[str] = []
        for line in Lines([path], self._stdin):
            if line.startswith(_REQUEST):
                break
            end = ended(line)
            if end is not None:
                ends.append(end)
                if len(ends) >= PEEKED:
                    break
        return min(ends, default="")
