"""The key of the hashes in `hints`: made at the first start, kept in `state_dir`, the same after every restart.

Without the key nobody can try out what a hash is of; with another one, hashes of before and after do not compare.  So
it is never replaced: a file that is there and cannot be used ends the start.  Several processes that start at once
agree on one key: whoever links the file first has made it, and a reader never sees half of it.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import Final

from awfproxy.core.keyed import KEY_BYTES

NAME: Final = "hints.key"
#: nobody but the proxy's user
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


class HintKeyError(Exception):
    """The key cannot be had; the text is for the person who started the service."""


def hint_key(state_dir: str) -> bytes:
    """The key kept in ``state_dir``, which is made where it is missing, like the key.

    :raises HintKeyError: it cannot be read or made, or is not a key
    """
    path = os.path.join(state_dir, NAME)
    try:
        try:
            key = _read(path)
        except FileNotFoundError:
            os.makedirs(state_dir, DIRECTORY_MODE, exist_ok=True)
            _make(path)
            key = _read(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise HintKeyError(f"state_dir cannot be used: {why}: {error.filename or path}") from error
    if len(key) != KEY_BYTES:
        raise HintKeyError(f"{path} is not a key of {KEY_BYTES} bytes; remove it to have a new one made")
    return key


def _read(path: str) -> bytes:
    # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, KEY_BYTES + 1)
    finally:
        os.close(fd)


def _make(path: str) -> None:
    draft = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        os.write(fd, secrets.token_bytes(KEY_BYTES))
        os.fsync(fd)  # the machine may lose power: half a key would end the next start
        with suppress(FileExistsError):  # another process has made one meanwhile
            os.link(draft, path)
    finally:
        os.close(fd)
        os.unlink(draft)
