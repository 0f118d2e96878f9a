"""The file of the page: written whole, then renamed into its place, so that nobody opens a part of it."""

from __future__ import annotations

import os
import tempfile
from typing import Final

#: of a new file: pages are read by others than who made them, but tell what a team spends
MODE: Final = 0o640


def write(text: str, path: str) -> None:
    """Writes the file, with the mode of the one that was there.

    :raises OSError: it cannot be written; then the old one is as it was
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, a device
        with open(path, "wb") as pipe:
            pipe.write(text.encode())
        return
    folder = os.path.dirname(path)
    number, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:100]}.", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(text.encode())
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777 if os.path.exists(path) else MODE)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
