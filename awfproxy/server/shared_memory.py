"""Memory that all workers of a supervisor map: made by it without a name, handed on as a descriptor.

It outlives every worker and goes with the last process that has it.  Who writes what is agreed by those who use it;
`Area.lock` is for those who all write.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager


class Area:
    """So many bytes, zeros at first.

    :param fd: of an area made by another process; None: make one
    """

    def __init__(self, name: str, size: int, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create(f"awfproxy-{name}", os.MFD_CLOEXEC)
            os.ftruncate(fd, size)
        self.fd = fd
        self.bytes = mmap.mmap(fd, size)

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
            if os.fstat(self.fd).st_size < size:
                os.ftruncate(self.fd, size)
            self.bytes = mmap.mmap(self.fd, size)

    def close(self) -> None:
        """Let go of it."""
        self.bytes.close()
        os.close(self.fd)
