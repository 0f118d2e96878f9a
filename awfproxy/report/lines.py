"""The lines of JSONL files, wherever they are: plain, gzip or zstd, files, folders, standard input.

Rules: a compressed file is known by its first bytes, not by its name; nothing is read whole, and no line longer than
`LINE_MAX` is held; what cannot be read is counted and told, and never stops the rest.
"""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

#: Bytes of the longest line that is read: records have at most some tens of KB.
LINE_MAX = 1024 * 1024

#: Standard input, as a path.
STDIN = "-"

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class Lines:
    """All lines of all sources, one pass; afterwards the counts say what was left out."""

    def __init__(self, files: Sequence[str], stdin: IO[bytes] | None = None) -> None:
        """
        :param files: paths of files, or "-".
        :param stdin: what "-" means; the process's own standard input if None.
        """
        self._files = files
        self._stdin = stdin
        #: lines longer than `LINE_MAX`
        self.too_long = 0
        #: whole sentences about files that could not be read, or not to their end
        self.troubles: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        for path in self._files:
            try:
                if path == STDIN:
                    yield from self._of(self._stdin or sys.stdin.buffer)
                else:
                    with open(path, "rb") as file:
                        yield from self._of(file)
            except (EOFError, OSError, zlib.error, _zstd_error()) as error:
                # A live file's compression ends in the middle; everything before has been read.
                what = getattr(error, "strerror", None) or str(error) or type(error).__name__
                self.troubles.append(f"{path}: not read to its end: {what}.")

    def _of(self, file: IO[bytes]) -> Iterator[bytes]:
        stream = _decompressed(file)
        while line := stream.readline(LINE_MAX + 1):
            if len(line) <= LINE_MAX:
                yield line
                continue
            self.too_long += 1
            while line and not line.endswith(b"\n"):
                line = stream.readline(LINE_MAX)


def find_files(paths: Sequence[str], prefix: str, but: str) -> list[str]:
    """The files among `paths`, and in the folders among them (and in theirs) those whose names say what they are.

    :param prefix: how the names of wanted files in folders begin ("token-usage"): rotated and compressed ones too.
    :param but: how the names of others begin that begin so too.
    """
    found = []
    for path in paths:
        if path == STDIN or not os.path.isdir(path):
            found.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            wanted = (name for name in sorted(names) if name.startswith(prefix) and not name.startswith(but))
            found.extend(os.path.join(folder, name) for name in wanted if ".jsonl" in name)
    return found


def _decompressed(file: IO[bytes]) -> IO[bytes]:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    start = buffered.peek(4)[:4]
    if start.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=buffered))
    if start == _ZSTD:
        return cast("IO[bytes]", _zstd().ZstdFile(buffered))
    return buffered


def _zstd() -> Any:
    """The zstd module: of the standard library since Python 3.14, before that its backport; imported when needed."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _zstd_error() -> type[BaseException]:
    """zstd's error class, which nobody can have raised where the module was never imported."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    module = sys.modules.get(name)
    return cast("type[BaseException]", module.ZstdError) if module is not None else EOFError
