"""A file of lines to which several processes append.

Appends do not mix: the kernel holds the file's lock for the whole of a ``write(2)`` with O_APPEND.  But one that ends
short (a full disk, a process killed in its middle) leaves a torn line, and what another process appends next continues
it.  So everybody looks, after each write of its own, at where it went: if that was not at the beginning of a line, its
first line is unreadable and is written again.  A torn line is closed with a newline and written again by its owner.

No lock is held, so no process waits for another one that is slow or stopped.  It costs one ``lseek`` a write, and one
``pread`` where another process has appended in between.  What is left of torn lines are beginnings of objects, with
each other or with a whole one behind them: they have a brace too many that nothing closes, so they are never valid JSON
and a reader passes over them.

A line that lacks only its newline is whole, unless another process continues it: one that has not noticed a rotation
may do so for a while.  So a renamed file is not left before that newline is in it.  Where that fails for want of room,
which a new file on the same disk would want too, the renamed one is kept; where it fails otherwise, the line is written
again: twice, rather than never.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from awfproxy.server.logfile import LogFile

#: what a write to another file on the same disk would meet as well
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class SharedLogFile(LogFile):
    """As `LogFile`; the lines of others may come between one's own, but never into one."""

    __slots__ = ("_bare", "_end")

    #: what looks torn may be a line that another process is writing
    mends = False

    def __init__(self, path: str, write: Callable[[int, bytes], int] = os.write) -> None:
        super().__init__(path, write)
        #: where our last write ended
        self._end = -1
        #: the line at its end, if that lacks only its newline: whole, unless another process has continued it
        self._bare = b""

    def open(self) -> bool:
        """See `LogFile.open`.

        :raises OSError: also where the open file cannot be left yet
        """
        torn = super().open()
        self._bare, self._end = b"", -1
        return torn

    def _leave(self, facts: os.stat_result) -> None:
        if self._bare and self.writable():
            owed, self.owed = self.owed, b""
            try:
                self._append(b"\n")
            except OSError as error:
                if error.errno in _NO_ROOM and facts.st_dev == self._identity[0]:
                    raise
                self.owed, self._bare = self._bare, b""
            finally:
                self.owed += owed
        super()._leave(facts)

    def flush(self) -> None:
        """See `LogFile.flush`."""
        if not self.owed and not self._bare:
            return
        while self.owed or self._bare:
            self._append(b"\n" + self.owed if self._torn else self.owed)
        self._expect_a_name()

    def _append(self, data: bytes) -> None:
        """One write, and what is owed after it."""
        try:
            taken = self._write(self._fd, data)
            if not taken:
                raise OSError(errno.EIO, "nothing was written", self.path)
        except OSError as error:
            error.filename = error.filename or self.path
            raise
        self._look_after(data, taken)

    def _look_after(self, data: bytes, taken: int) -> None:
        """What of ``data``, whose first ``taken`` bytes were written, is still owed."""
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        start, before, self._end = end - taken, self._end, end
        again = b""
        if self._bare and os.pread(self._fd, 1, before) != b"\n":
            again = self._bare
        spoilt = not self._torn and start not in (0, before) and os.pread(self._fd, 1, start - 1) != b"\n"
        if spoilt:
            again += data[: data.find(b"\n", 0, taken) + 1]  # nothing of it, if it is torn besides
        whole = data.rfind(b"\n", 0, taken) + 1
        self._torn = whole < taken
        if self._torn and data[taken : taken + 1] == b"\n" and not (spoilt and not whole):
            self._bare = data[whole : taken + 1]
            self.owed = again + data[taken + 1 :]
        else:
            self._bare = b""
            self.owed = again + data[whole:]
