"""Memory that all workers of a supervisor map: made by it without a name, handed on as a descriptor.

It has room for more than was asked for, by powers of two, so that it seldom has to be mapped anew: what was made of a
mapping keeps that for good.  It outlives every worker and goes with the last process that has it.  Who writes what is
agreed by those who use it; `Area.lock` is for those who all write.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: bytes of the smallest: a few regions of rates, which are the largest
_SMALLEST: Final = 64 * 1024


class Area:
    """So many bytes or more, zeros at first.

    :param fd: of an area made by another process; None: make one
    """

    def __init__(self, name: str, size: int, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create(f"awfproxy-{name}", os.MFD_CLOEXEC)
            os.ftruncate(fd, _room(size))
        self.fd = fd
        self.bytes = mmap.mmap(fd, _room(size))

    @contextmanager
    def lock(self, start: int, length: int) -> Iterator[None]:
        """Keep other processes out of a part.  Not for long: they wait.

        The kernel gives it back if this process dies in between.  Threads of one process are not kept apart.
        """
        fcntl.lockf(self.fd, fcntl.LOCK_EX, length, start)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, length, start)

    def grow(self, size: int) -> None:
        """Have so many bytes, new ones zeros.  Another process sees them once it has grown its own.

        What was made of the bytes before stays theirs: it is the same memory.
        """
        if size > len(self.bytes):
            room = _room(size)
            if os.fstat(self.fd).st_size < room:
                os.ftruncate(self.fd, room)
            self.bytes = mmap.mmap(self.fd, room)

    def close(self) -> None:
        """Let go of it."""
        self.bytes.close()
        os.close(self.fd)


def _room(size: int) -> int:
    return max(_SMALLEST, 1 << (size - 1).bit_length())
