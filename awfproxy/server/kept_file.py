"""Small files of `state_dir` that are made once and kept: a key, an id.

They are never replaced.  Several processes that start at once agree on one: whoever links the file first has made it,
and a reader never sees half of it.
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


def _read(path: str, most: int) -> bytes:
    # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def _make(path: str, fresh: bytes) -> None:
    draft = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        os.write(fd, fresh)
        os.fsync(fd)  # the machine may lose power: half a key would end the next start
        with suppress(FileExistsError):  # another process has made one meanwhile
            os.link(draft, path)
    finally:
        os.close(fd)
        os.unlink(draft)
