"""A file that only grows: whole lines, one append each time, whatever happens to the file beneath.

Rules:
- What `LogFile.owe` takes is whole lines.  One ``write(2)`` with O_APPEND puts them in the kernel, so that a
  ``kill -9`` right after loses nothing and several processes may share the file.
- A short write (a full disk, a signal) is completed.  If that fails too, the error is raised and the lines that did
  not fit whole stay owed: the next `flush` closes the torn line with a newline and writes that line again from its
  start.  Nothing is ever truncated, no line is lost; a reader skips the torn piece.
- Rotation by rename or removal is noticed (`moved`), and the name opened again.
- Lines that went to a file without a name are nowhere: after each append the file is asked whether it still has one,
  which costs a microsecond.  If not, all that came since the last `flush` that ended well is owed again, also what
  earlier attempts had written of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final

#: owner writes, group reads (log shippers), nobody else: the records name users and models
FILE_MODE: Final = 0o640
#: likewise for the directory, where it has to be made
DIRECTORY_MODE: Final = 0o750


class LogFile:
    """One append-only file of lines, opened by `open`, never before (the process may fork until then)."""

    __slots__ = ("_fd", "_identity", "_since", "_torn", "_write", "owed", "path")

    #: `open` closes a torn last line; not where another process may be about to complete it
    mends = True

    def __init__(self, path: str, write: Callable[[int, bytes], int] = os.write) -> None:
        self.path = path
        #: what the next `flush` appends: whole lines, and before them the newline of one that lacks only that
        self.owed = b""
        #: all lines since the last `flush` that ended well, written or not
        self._since = b""
        self._write = write
        self._fd = -1
        self._identity = (0, 0)
        self._torn = False

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def owe(self, lines: bytes) -> None:
        """Have the next `flush` append ``lines``, whole ones, after those that are owed already."""
        self.owed += lines
        self._since += lines

    def open(self) -> bool:
        """Open or make the file; True if its last line was torn (and has been closed with a newline).

        :raises OSError: the directory or the file cannot be made, or the name is not that of a regular file
        """
        directory = os.path.dirname(self.path)
        if directory:
            os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
        fd = _open(self.path)
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", self.path)
            torn = self.mends and facts.st_size > 0 and os.pread(fd, 1, facts.st_size - 1) != b"\n"
            if torn:
                os.write(fd, b"\n")
            self._leave(facts)
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self._fd = fd
        self._identity = (facts.st_dev, facts.st_ino)
        self._torn = False
        return torn

    def _leave(self, facts: os.stat_result) -> None:
        """The file ``facts`` comes next: what is owed to it."""
        if self._fd >= 0 and not self.writable():
            self.owed = self._since
        elif self.owed.startswith(b"\n"):
            # That line is whole where it is, with a newline or without: nobody will continue it.
            if (facts.st_dev, facts.st_ino) != self._identity:
                with suppress(OSError):
                    self._write(self._fd, b"\n")
            self.owed = self.owed[1:]

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def moved(self) -> bool:
        """Whether the name no longer leads to the open file (or nothing is open)."""
        if self._fd < 0:
            return True
        try:
            facts = os.stat(self.path)
        except PermissionError:
            return False  # a directory that cannot be searched now: the open file still takes lines
        except OSError:
            return True  # gone, or a file or a loop of links where its directory was: `open` tells
        return (facts.st_dev, facts.st_ino) != self._identity

    def writable(self) -> bool:
        """Whether what is appended now could still be found by somebody: open, and with a name left."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink > 0

    def flush(self) -> None:
        """Append the lines that are owed.  Returns when the kernel has them all.

        :raises OSError: it has not; `owed` holds those that did not fit whole, for the next attempt
        """
        if not self.owed:
            return
        data = b"\n" + self.owed if self._torn else self.owed
        done = 0
        try:
            while done < len(data):
                taken = self._write(self._fd, data[done:] if done else data)
                if not taken:
                    raise OSError(errno.EIO, "nothing was written", self.path)
                done += taken
        except OSError as error:
            error.filename = error.filename or self.path
            if done and data[done : done + 1] == b"\n":
                # Only a newline is missing: closing that line and writing it again would make two of it.
                self._torn = False
                self.owed = data[done:]
            elif done:
                whole = data.rfind(b"\n", 0, done) + 1
                self._torn = whole < done
                self.owed = data[whole:]
            raise
        self._torn = False
        self.owed = b""
        self._expect_a_name()

    def _expect_a_name(self) -> None:
        """After an append: all lines are owed still if the file was removed before.

        :raises FileNotFoundError: it was
        """
        if not os.fstat(self._fd).st_nlink:
            self.owed = self._since
            raise FileNotFoundError(errno.ENOENT, "was removed", self.path)
        self._since = b""


def _open(path: str) -> int:
    # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait for its reader.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(path, flags | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return os.open(path, flags, FILE_MODE)
    os.fchmod(fd, FILE_MODE)  # twistd's daemon runs with a umask of 077, which would shut out log shippers
    return fd
