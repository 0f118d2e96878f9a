"""Files that reports are written to.

Rules: a regular file is written whole, then renamed into its place, so that nobody opens a part of it; a link stays a
link, and what it leads to is replaced; what is no regular file (a pipe, a device) is written into and never replaced;
no file is written over from which the report was read.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from typing import Final

from awfproxy.report.lines import STDIN

#: of a new file: reports are read by others than who made them, but tell what a team spends
MODE: Final = 0o640
#: bytes of the name that the unfinished file has of the finished one's: most file systems allow 255 in all
NAME_KEPT: Final = 100


def write(parts: Iterable[bytes], path: str) -> bool:
    """Writes the file, with the mode of the one that was there; False: it is a pipe, and its reader has left.

    :raises OSError: it cannot be written; then the old one is as it was
    """
    # Asked before the links are followed: /dev/stdout leads to a name that only the kernel can open.
    if os.path.exists(path) and not os.path.isfile(path):
        try:
            with open(path, "wb") as pipe:
                pipe.writelines(parts)
        except BrokenPipeError:
            return False
        return True
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    prefix = os.fsdecode(os.fsencode(f".{name}")[:NAME_KEPT])
    number, draft = tempfile.mkstemp(prefix=f"{prefix}.", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.writelines(parts)
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777 if os.path.exists(path) else MODE)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return True


def source_at(path: str, read: Iterable[str]) -> str | None:
    """The first of the files that were read which is the one at `path`, by whatever name; None: it is none of them.

    :param path: where a report shall be written
    :param read: paths of files, or "-"; those that are not there are passed over
    """
    target = _stat(path)
    if target is None or not stat.S_ISREG(target.st_mode):
        return None
    for each in read:
        source = _stat(0 if each == STDIN else each)
        if source is not None and os.path.samestat(source, target):
            return each
    return None


def _stat(path: str | int) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None  # not there, or closed; writing tells what is wrong with a target
