"""A file that somebody else appends to: its last lines, and those that come.

Rules: only whole lines are given; one without its newline waits for it, up to `LINE_MAX`.  A file that is renamed is
read on, because writers notice it a moment later, until there is a new one of its name and nothing came for
`LATE_SECONDS`: then it has ended, and what is behind its last newline is a line.  Where the file has fewer lines than
are asked for, the others are the last of the one that it took the place of, if that is not compressed.  A file that has
become shorter is read from its beginning.  Time is an argument.
"""

from __future__ import annotations

import os
import re
from typing import IO, Final

from awfproxy.report.lines import LINE_MAX

#: seconds without a byte after which a renamed file has ended
LATE_SECONDS: Final = 5.0
#: bytes read at once
BLOCK: Final = 64 * 1024
#: bytes from its end on in which a file's last lines are looked for
BACK_MAX: Final = 64 * 1024 * 1024

#: what rotation puts behind a name: a number, or a date
_ROTATED: Final = re.compile(r"[.-]\d[\d-]*")


class Followed:
    """One file by its name, from its end on.

    :param count: lines from before that are given first
    """

    def __init__(self, path: str, count: int = 0) -> None:
        self._path = path
        self._count = count
        self._open: _Open | None = None
        #: renamed files, and when they end if nothing comes
        self._renamed: list[tuple[_Open, float]] = []
        #: lines that are longer than any record
        self.too_long = 0
        #: the file was there at the first look; a later one is read from its beginning
        self._looked = False

    def lines(self, now: float) -> list[bytes]:
        """All whole lines that have come since the last call.

        :param now: seconds that only grow
        """
        found = self._late(now)
        if self._open is not None:
            found += self._lines_of(self._open)
            if self._open.is_at(self._path):
                return found
            self._renamed.append((self._open, now + LATE_SECONDS))
            self._open = None
        for each in self._renamed:
            if each[0].is_at(self._path):  # it has its name back
                self._renamed.remove(each)
                self._open = each[0]
                return found + self._lines_of(self._open)
        first, self._looked = not self._looked, True
        try:
            self._open = _opened(self._path, self._count if first else None)
        except OSError:
            return found + (self._lines_before(self._count, now) if first else [])
        lines = self._lines_of(self._open)
        if first:
            found += self._lines_before(self._count - len(lines), now)
        return found + lines

    def _lines_before(self, count: int, now: float) -> list[bytes]:
        """The last lines of the file that had the name before; what still comes to it is read as of any renamed one."""
        path = _previous(self._path) if count > 0 else None
        if path is None or (self._open is not None and self._open.is_at(path)):
            return []
        try:
            old = _opened(path, count)
        except OSError:
            return []
        self._renamed.append((old, now + LATE_SECONDS))
        return self._lines_of(old)

    def _late(self, now: float) -> list[bytes]:
        """What came to renamed files, and the ends of those that have ended."""
        found: list[bytes] = []
        going = []
        for old, until in self._renamed:
            before = old.read
            found += self._lines_of(old)
            if old.read != before:
                until = now + LATE_SECONDS
            if now < until or self._open is None:
                going.append((old, until))
                continue
            found += old.end()
            old.close()
        self._renamed = going
        return found

    def _lines_of(self, file: _Open) -> list[bytes]:
        found = file.lines()
        self.too_long, file.too_long = self.too_long + file.too_long, 0
        return found

    def close(self) -> None:
        """Lets go of the files."""
        for old, _ in self._renamed:
            old.close()
        if self._open is not None:
            self._open.close()


class _Open:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        #: the beginning of a line whose end has not come
        self._rest = b""
        #: that line is longer than any record: the rest of it is passed over
        self._skips = False
        #: bytes that were read
        self.read = 0
        #: lines that are longer than any record
        self.too_long = 0

    def lines(self) -> list[bytes]:
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest, self._skips = b"", False
        found: list[bytes] = []
        while block := self._file.read(BLOCK):
            self.read += len(block)
            *whole, rest = (self._rest + block).split(b"\n")
            if whole and self._skips:
                del whole[0]
                self._skips = False
            found += whole
            if len(rest) > LINE_MAX:
                self.too_long += not self._skips
                self._skips = True
            self._rest = b"" if self._skips else rest
        return found

    def end(self) -> list[bytes]:
        """The last line, if it lacks its newline: nothing comes any more."""
        return [self._rest] if self._rest else []

    def is_at(self, path: str) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def close(self) -> None:
        self._file.close()


def _opened(path: str, count: int | None) -> _Open:
    """A file from its last so many whole lines on; None: from its beginning.

    :raises OSError: it cannot be read
    """
    file = open(path, "rb", buffering=0)  # noqa: SIM115  (it is kept)
    if count is not None:
        file.seek(_before(file, file.seek(0, os.SEEK_END), count))
    return _Open(file)


def _previous(path: str) -> str | None:
    """The youngest of the files that had this name before and are not compressed; None: there is none."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            found = [
                (entry.stat().st_mtime_ns, entry.path)
                for entry in entries
                if entry.name.startswith(name) and _ROTATED.fullmatch(entry.name, len(name)) and entry.is_file()
            ]
    except OSError:
        return None
    return max(found)[1] if found else None


def _before(file: IO[bytes], end: int, count: int) -> int:
    """Where the last so many whole lines before `end` begin."""
    place, wanted = end, count + 1
    least = max(end - BACK_MAX, 0)
    while place > least:
        size = min(BLOCK, place - least)
        file.seek(place - size)
        block = file.read(size)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if not wanted:
                return place - size + at + 1
        place -= size
    return least if count else end
