"""Small files of `state_dir`: those that are made once and kept (a key, an id), and those that are written whole again
and again (what was last seen, what was told).

The former are never replaced.  Several processes that start at once agree on one: whoever links the file first has made
it.  The latter have one writer, who has the service's lock.  A reader never sees half of either.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import Final

#: nobody but the proxy's user
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


class KeptFileError(Exception):
    """What is kept cannot be had; the text is for the person who started the service."""


def kept(path: str, fresh: bytes, most: int) -> bytes:
    """What the file holds, at most ``most`` bytes of it; where there is none, it is made with ``fresh`` in it.

    :raises OSError: it cannot be read or made
    """
    try:
        return _read(path, most)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)
        _make(path, fresh)
        return _read(path, most)


def found(path: str, most: int) -> bytes | None:
    """What the file holds, at most ``most`` bytes of it; None: there is none.

    :raises OSError: it cannot be read
    """
    try:
        return _read(path, most)
    except FileNotFoundError:
        return None


def replace(path: str, content: bytes) -> None:
    """Put ``content`` in the place of what the file holds: all of it, or nothing is changed.

    :raises OSError: it cannot be written
    """
    os.makedirs(os.path.dirname(path), DIRECTORY_MODE, exist_ok=True)
    draft = f"{path}.new"  # always the same, so that what a kill left is not left for good
    _write(draft, content, os.O_TRUNC)
    try:
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _read(path: str, most: int) -> bytes:
    # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while most > 0 and (part := os.read(fd, most)):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _make(path: str, fresh: bytes) -> None:
    draft = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    _write(draft, fresh, os.O_EXCL)
    try:
        with suppress(FileExistsError):  # another process has made one meanwhile
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _write(draft: str, content: bytes, how: int) -> None:
    """A file that is whole and on the disk: the machine may lose power, and half a key would end the next start."""
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, FILE_MODE)
    try:
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        os.unlink(draft)
        raise
