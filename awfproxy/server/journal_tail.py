"""Reads the usage lines of a journal from where the ledger has them, in batches, as files grow and are rotated.

Blocking; for the ledger's thread.

Rules:
- A file is known by its first bytes (its first line holds a request's id), so that it is found again under any name,
  compressed or not, and a new file that got an old one's inode is not taken for it.
- `Tail.read` returns the next batch; whoever could not store it begins again, at the position that the ledger has.
- A position is one of the oldest file that may still grow: writers go on in a renamed file for a moment
  (`journal.ROTATION_CHECK`), so it is read for `LINGER` seconds more beside its successor.  After a restart the
  successor is then read again from its start, which costs time and nothing else: a request is one row.
- Where the file of a position is not there any more, all that are there are read.
- Only whole lines count; the last one of a file that grows no more is whole without its newline too.  A line that is no
  usage record of this schema is passed over and counted.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final, cast

import msgspec

from awfproxy.core.decoders import zstd
from awfproxy.core.records import RECORD_BYTES_MAX, timestamp
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.core.usage_line import UsageLine, decode_usage_line
from awfproxy.ledger.facts import Position
from awfproxy.ledger.interface import BATCH_ROWS
from awfproxy.ledger.rows import Row

#: bytes by which a file is known, or its first line where that is shorter: it has time and id of a request
KNOWN_BY: Final = 512
#: bytes read at once: a batch of usual lines
READ_BYTES: Final = BATCH_ROWS * 512
#: bytes of a line, while none was read
USUAL_LINE: Final = 500
#: seconds for which a renamed file is read on: far beyond the second within which its writers notice
LINGER: Final = 15.0

_OPENERS: Final[dict[str, Callable[[str], IO[bytes]]]] = {
    ".gz": lambda path: cast(IO[bytes], gzip.GzipFile(path)),
    ".zst": lambda path: cast(IO[bytes], zstd.ZstdFile(path)),
}
#: what reading a compressed file that is damaged or cut raises
_DAMAGED: Final = (EOFError, OSError, zlib.error, zstd.ZstdError)


class Batch(msgspec.Struct, frozen=True):
    """Rows, and where the journal stands behind them."""

    rows: list[Row]
    #: to be kept with the rows; None: no file has a line yet
    position: Position | None
    #: everything that was in the files when they were looked at has been read
    last: bool


class _File:
    """One file of the journal, read forwards."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._opener = _OPENERS.get(os.path.splitext(path)[1])
        self._stream = self._open()
        #: bytes that were read as lines
        self.offset = 0
        #: when it was found to be renamed; None: it is the journal
        self.left: float | None = None
        #: everything in it was read
        self.ended = False
        self._at = 0
        self._skipping = False
        self._name = ""
        #: the beginning, with the first line
        self.head = self._read(RECORD_BYTES_MAX)

    @property
    def grows(self) -> bool:
        return self._opener is None

    @property
    def name(self) -> str:
        """What it is known by; "": it has no line yet."""
        if not self._name:
            if len(self.head) < KNOWN_BY:
                self.head = self._from(0, RECORD_BYTES_MAX)
            line, newline, _ = self.head[:KNOWN_BY].partition(b"\n")
            if newline or len(line) == KNOWN_BY:
                self._name = hashlib.blake2b(line, digest_size=16).hexdigest()
        return self._name

    @property
    def time(self) -> str:
        """When the call of the first line that can be read ended, as the record says it; "": there is none among the
        first."""
        for line in self.head.split(b"\n"):
            with suppress(*UNDECODABLE):
                return decode_usage_line(line).timestamp
        return ""

    @property
    def since(self) -> str:
        """By which files are put in order: `time`, else when it was written last, which is before the next one was."""
        return self.time or timestamp(os.fstat(self._stream.fileno()).st_mtime)

    @property
    def identity(self) -> tuple[int, int]:
        facts = os.fstat(self._stream.fileno())
        return facts.st_dev, facts.st_ino

    def lines(self, complete: bool) -> tuple[list[bytes], int]:
        """The next whole lines, some `READ_BYTES` of them, and how many were passed over because they are too long.

        :param complete: nothing will be appended: what stands at the end is a line
        """
        if self.grows and os.fstat(self._stream.fileno()).st_size < self.offset:
            self.offset = 0  # somebody has cut it: what is there now is new
            self._name = ""
        data = self._from(self.offset, READ_BYTES)
        self.ended = len(data) < READ_BYTES
        end = len(data) if self.ended and complete else data.rfind(b"\n") + 1
        if not end:
            if self.ended:
                return [], 0
            self.offset += len(data)
            first, self._skipping = not self._skipping, True
            return [], int(first)
        self.offset += end
        lines = data[:end].removesuffix(b"\n").split(b"\n")
        if self._skipping:
            self._skipping = False
            del lines[0]
        return lines, 0

    def behind(self) -> int:
        """Bytes that were not read; 0 of a compressed one."""
        return max(0, os.fstat(self._stream.fileno()).st_size - self.offset) if self.grows else 0

    def close(self) -> None:
        self._stream.close()

    def _open(self) -> IO[bytes]:
        return open(self.path, "rb", buffering=0) if self._opener is None else self._opener(self.path)

    def _from(self, offset: int, count: int) -> bytes:
        if self._opener is None:
            self._stream.seek(offset)
        else:
            if offset < self._at:
                self._stream.close()
                self._stream = self._open()
                self._at = 0
            while self._at < offset and self._read(min(READ_BYTES, offset - self._at)):
                pass
        return self._read(count)

    def _read(self, count: int) -> bytes:
        parts = []
        # read1: of a file that is cut, read would throw away what it has already decompressed
        read = getattr(self._stream, "read1", self._stream.read)
        while count > 0:
            try:
                part = read(count)
            except _DAMAGED:
                if self.grows:
                    raise
                break  # what stands before the damage was read
            if not part:
                break
            parts.append(part)
            count -= len(part)
            self._at += len(part)
        return b"".join(parts)


class Tail:
    """The usage lines of one installation.

    :param path: of the journal's current file, which need not exist yet
    :param row_of: the row of a record; None: it has none
    :param monotonic: seconds that only grow
    """

    def __init__(
        self,
        path: str,
        instance: str,
        row_of: Callable[[UsageLine], Row | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._path = path
        self._instance = instance
        self._row_of = row_of
        self._monotonic = monotonic
        #: oldest first
        self._files: list[_File] = []
        #: what told when the folder had changed last
        self._folder: tuple[int, int] | None = None
        #: time and name of the last file that was read to its end and left
        self._over_with = ("", "")
        #: lines that were no usage records of this schema
        self.skipped = 0
        #: bytes and number of the lines that were, for `behind`
        self._bytes = 0
        self._lines = 0
        #: of the current file: inode, bytes read; bytes unread of the others; mean bytes of a line
        self._seen: tuple[int, int, int, int] | None = None

    def begin(self, position: Position | None) -> None:
        """Go on from what the ledger has.

        :raises OSError: the folder or a file cannot be read
        """
        self.close()
        self._follow()
        for number, file in enumerate(self._files):
            if position is not None and file.name == position.file:
                file.offset = position.offset
                self._drop(number)
                break

    def read(self) -> Batch:
        """The next lines.

        :raises OSError: a file cannot be read
        """
        self._follow()
        while self._files and self._over(self._files[0]):
            self._drop(1)
        rows: list[Row] = []
        last = True
        for file in self._files:
            before = file.offset
            lines, skipped = file.lines(self._complete(file))
            self.skipped += skipped
            if file.offset == before:
                continue
            rows = self._rows(lines)
            self._bytes += file.offset - before
            self._lines += len(lines)
            last = file.ended and file is self._files[-1]
            break
        self._see()
        return Batch(rows, self.position, last)

    @property
    def position(self) -> Position | None:
        for file in self._files:
            return Position(self._instance, file.name, file.offset) if file.name else None
        return None

    def behind(self) -> int | None:
        """About how many lines were not read: by their bytes, and the mean length of those that were.

        For any thread; None: nothing was looked at yet.
        """
        if self._seen is None:
            return None
        inode, offset, waiting, mean = self._seen
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        waiting += facts.st_size - (offset if facts.st_ino == inode else 0)
        return max(round(waiting / mean), 1) if waiting > 0 else 0

    def _see(self) -> None:
        """Keep what `behind` needs: it must not touch the files, which this thread may close."""
        if self._files:
            current = self._files[-1]
            waiting = sum(file.behind() for file in self._files[:-1])
            mean = self._bytes // self._lines if self._lines else USUAL_LINE
            self._seen = (current.identity[1], current.offset, waiting, mean)

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files.clear()
        self._folder = None
        self._over_with = ("", "")

    def _follow(self) -> None:
        """Open what is new: the journal's file, and those that it was in the meantime."""
        folder = _changed(os.path.dirname(self._path) or "."), _changed(self._path)
        if folder == self._folder:
            return
        known = {file.name for file in self._files}
        since, last = self._over_with
        for path in [*rotated_files(self._path), self._path]:
            with suppress(FileNotFoundError):  # rotated on meanwhile: the folder has changed again
                file = _File(path)
                unread = file.since >= since and file.name != last and file.name not in known
                if unread if file.name else path == self._path and not self._has(file):
                    self._files.append(file)
                else:
                    file.close()
        try:
            facts = os.stat(self._path)
            current = (facts.st_dev, facts.st_ino)
        except FileNotFoundError:
            current = (0, 0)
        for file in self._files:
            if file.left is None and (not file.grows or file.identity != current):
                file.left = self._monotonic()
        self._files.sort(key=lambda file: (file.left is None, file.since))
        self._folder = folder

    def _has(self, file: _File) -> bool:
        return any(each.grows and each.identity == file.identity for each in self._files)

    def _drop(self, count: int) -> None:
        """The oldest files are done with."""
        for file in self._files[:count]:
            self._over_with = (file.time or self._over_with[0], file.name)
            file.close()
        del self._files[:count]

    def _complete(self, file: _File) -> bool:
        """Whether nobody appends to it any more."""
        return file.left is not None and (not file.grows or self._monotonic() - file.left > LINGER)

    def _over(self, file: _File) -> bool:
        return self._complete(file) and file.ended and not file.behind()

    def _rows(self, lines: list[bytes]) -> list[Row]:
        rows = []
        for line in lines:
            try:
                record = decode_usage_line(line)
            except UNDECODABLE:
                self.skipped += 1
                continue
            row = self._row_of(record)
            if row is None:
                self.skipped += 1
            else:
                rows.append(row)
        return rows


def rotated_files(path: str) -> list[str]:
    """The files that ``path`` was before, by whatever names rotation gives them, in no order.

    :raises OSError: its folder cannot be read
    """
    folder, name = os.path.split(path)
    try:
        entries = list(os.scandir(folder or "."))
    except FileNotFoundError:
        return []
    return [entry.path for entry in entries if entry.name.startswith((f"{name}.", f"{name}-")) and entry.is_file()]


def _changed(path: str) -> int:
    """Changes with a folder's entries, or when a file is another one; 0: it is not there."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return 0
    return facts.st_mtime_ns if stat.S_ISDIR(facts.st_mode) else facts.st_ino
