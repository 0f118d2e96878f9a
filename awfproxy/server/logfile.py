"""A file that only grows: whole lines, one append each time, whatever happens to the file beneath.

Rules:
- What is put in `LogFile.owed` is whole lines.  One ``write(2)`` with O_APPEND puts them in the kernel, so that a
  ``kill -9`` right after loses nothing and several processes may share the file.
- A short write (a full disk, a signal) is completed.  If that fails too, the error is raised and the lines that did
  not fit whole stay owed: the next `flush` closes the torn line with a newline and writes that line again from its
  start.  Nothing is ever truncated, no line is lost; a reader skips the torn piece.
- Rotation by rename or removal is noticed (`moved`), and the name opened again.
- Lines that went to a file without a name are nowhere: after each append the file is asked whether it still has one,
  which costs a microsecond.  If not, the lines stay owed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final

#: owner writes, group reads (log shippers), nobody else: the records name users and models
FILE_MODE: Final = 0o640
#: likewise for the directory, where it has to be made
DIRECTORY_MODE: Final = 0o750


class LogFile:
    """One append-only file of lines, opened by `open`, never before (the process may fork until then)."""

    __slots__ = ("_fd", "_identity", "_torn", "_write", "owed", "path")

    #: `open` closes a torn last line; not where another process may be about to complete it
    mends = True

    def __init__(self, path: str, write: Callable[[int, bytes], int] = os.write) -> None:
        self.path = path
        #: whole lines that the next `flush` appends
        self.owed = b""
        self._write = write
        self._fd = -1
        self._identity = (0, 0)
        self._torn = False

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

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
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self._fd = fd
        self._identity = (facts.st_dev, facts.st_ino)
        self._torn = False
        return torn

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
        except FileNotFoundError:
            return True
        except OSError:
            return False  # a directory that cannot be searched now: the open file still takes lines
        return (facts.st_dev, facts.st_ino) != self._identity

    def writable(self) -> bool:
        """Whether what is appended now could still be found by somebody: open, and with a name left."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink > 0

    def flush(self) -> None:
        """Append the lines that are owed.  Returns when the kernel has them all.

        :raises OSError: it has not; `owed` holds those that did not fit whole, for the next attempt
        """
        lines = self.owed
        data = b"\n" + lines if self._torn else lines
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
        self._expect_a_name(lines)

    def _expect_a_name(self, lines: bytes) -> None:
        """After an append of ``lines``: they are owed still if the file was removed before.

        :raises FileNotFoundError: it was
        """
        if not os.fstat(self._fd).st_nlink:
            self.owed = lines
            raise FileNotFoundError(errno.ENOENT, "was removed", self.path)


def _open(path: str) -> int:
    # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait for its reader.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(path, flags | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return os.open(path, flags, FILE_MODE)
    os.fchmod(fd, FILE_MODE)  # twistd's daemon runs with a umask of 077, which would shut out log shippers
    return fd
