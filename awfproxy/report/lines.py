"""The lines of JSONL files, wherever they are: plain, gzip or zstd, files, folders, standard input.

Rules: a compressed file is known by its first bytes, not by its name; nothing is read whole, and no line longer than
`LINE_MAX` is held, whatever a compressed file unpacks to; what cannot be read is counted and told, and never stops the
rest.  A pipe or a device is read where it was named, never because it lies in a folder.
"""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final, TypeVar, cast

#: Bytes of the longest line that is read: records have at most some tens of KB.
LINE_MAX: Final = 1024 * 1024
#: Bytes read at once: a larger piece is no faster, and falls out of the processor's cache.
BUFFER: Final = 64 * 1024
#: The largest window of a zstd file, as RFC 8878 section 3.1.1.1.2 recommends for decoders; `zstd` goes beyond it with
#: --ultra and --long only.
WINDOW_LOG_MAX: Final = 23
#: Lines, and blocks of them, between two calls of `progress`.
PROGRESS_LINES: Final = 8192
PROGRESS_BLOCKS: Final = 128

#: Standard input, as a path.
STDIN: Final = "-"

T = TypeVar("T")

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: What some editors and spreadsheets put before UTF-8.
_MARK: Final = b"\xef\xbb\xbf"


class Unread(str):
    """A path in a folder that is not read."""

    __slots__ = ("why",)
    why: str

    def __new__(cls, path: str, why: str) -> "Unread":
        made = super().__new__(cls, path)
        made.why = why
        return made


class Lines:
    """All lines of all sources, one pass; afterwards the counts say what was left out."""

    def __init__(
        self,
        files: Sequence[str],
        stdin: IO[bytes] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """
        :param files: paths of files, or "-".
        :param stdin: what "-" means; the process's own standard input if None.
        :param progress: told now and then how many bytes of the files have been read, as they are on the disk
        """
        self._files = files
        self._stdin = stdin
        self._progress = progress
        #: bytes of the files that have been read to their end
        self._done = 0
        #: lines longer than `LINE_MAX`
        self.too_long = 0
        #: whole sentences about files that could not be read, or not to their end
        self.troubles: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        return self._through(self._lines_of)

    def blocks(self) -> Iterator[list[bytes]]:
        """The same lines, some tens at once: a reader that does each step for all of them is faster.  Only the last
        line of a file may lack its newline."""
        return self._through(self._blocks_of)

    def _through(self, read: Callable[[IO[bytes]], Iterator[T]]) -> Iterator[T]:
        for path in self._files:
            if isinstance(path, Unread):
                self.troubles.append(f"{path}: not read: {path.why}.")
                continue
            how = "not read"
            try:
                if path == STDIN:
                    how = "not read to its end"
                    yield from read(self._stdin or sys.stdin.buffer)
                else:
                    with open(path, "rb", buffering=BUFFER) as file:
                        how = "not read to its end"
                        yield from read(file)
                        self._done += file.tell() if file.seekable() else 0
            except broken_file_errors() as error:
                # A live file's compression ends in the middle; everything before has been read.
                self.troubles.append(f"{called(path)}: {how}: {reason_of(error)}.")

    def _lines_of(self, file: IO[bytes]) -> Iterator[bytes]:
        readline = decompressed(file).readline
        most = LINE_MAX + 1
        count = 0
        while line := readline(most):
            if len(line) == most:
                self.too_long += 1
                while line and not line.endswith(b"\n"):
                    line = readline(most)
                continue
            yield line
            count += 1
            if not count % PROGRESS_LINES:
                self._tell(file)

    def _blocks_of(self, file: IO[bytes]) -> Iterator[list[bytes]]:
        # One read of the file at a time: what was read before it breaks off must not be lost.
        read = cast("io.BufferedReader", decompressed(file)).read1
        # the beginning of a line whose end is not read yet; None: it was too long, and goes on
        begun: bytes | None = b""
        count = 0
        while block := read(BUFFER):
            count += 1
            if not count % PROGRESS_BLOCKS:
                self._tell(file)
            # Twice as fast as `split`.
            lines = io.BytesIO(block).readlines()
            if begun is None:
                begun = b""
                if not lines.pop(0).endswith(b"\n"):
                    begun = None
                    continue
            elif len(begun) + len(lines[0]) > LINE_MAX:
                self.too_long += 1
                begun = b"" if lines.pop(0).endswith(b"\n") else None
            else:
                lines[0] = begun + lines[0]
                begun = b""
            if lines and not lines[-1].endswith(b"\n"):
                begun = lines.pop()
            if lines:
                yield lines
        if begun:
            yield [begun]

    def _tell(self, file: IO[bytes]) -> None:
        if self._progress is not None and file.seekable():
            self._progress(self._done + file.tell())


def called(path: str) -> str:
    """What a file is called in sentences."""
    return "stdin" if path == STDIN else str(path)


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
        found += files_in(path, lambda name: name.startswith(prefix) and not name.startswith(but) and ".jsonl" in name)
    return found


def files_in(path: str, wanted: Callable[[str], bool]) -> list[str]:
    """The files of a folder, and of the folders within, with wanted names; what cannot be read, or what only waits
    (a pipe, a device), is an `Unread`."""
    found: list[str] = []

    def unreadable(error: OSError) -> None:
        found.append(Unread(error.filename, reason_of(error)))

    for folder, folders, names in os.walk(path, onerror=unreadable):
        folders.sort()
        for name in sorted(filter(wanted, names)):
            each = os.path.join(folder, name)
            found.append(each if _is_regular(each) else Unread(each, "it is no regular file"))
    return found


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # opening it tells what is wrong


def comes_once(path: str) -> bool:
    """Whether it can be read only once: standard input, a pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return path == STDIN
    return path == STDIN or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def size_of(files: Sequence[str]) -> int:
    """Bytes of all the files that have a size, as they are on the disk."""
    size = 0
    for path in files:
        try:
            size += os.path.getsize(path) if path != STDIN and os.path.isfile(path) else 0
        except OSError:
            continue  # gone between the two looks; reading it will tell
    return size


def broken_file_errors() -> tuple[type[BaseException], ...]:
    """What reading a file may raise that is no defect of ours, for an `except`."""
    return EOFError, OSError, zlib.error, _zstd_error()


def reason_of(error: BaseException) -> str:
    """Why a file could not be read, in words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """What is in a file, gzip or zstd or plain, by its first bytes; has `peek` and `read1`.

    Of a file that breaks off everything is given that can be decoded, then reading raises one of
    `broken_file_errors`.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file), BUFFER)
    start = buffered.peek(4)[:4]
    if start.startswith(_GZIP):
        return _as_it_comes(gzip.GzipFile(fileobj=buffered))
    if start == _ZSTD:
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
        return _as_it_comes(zstd.ZstdFile(buffered, options=options))
    return _unmarked(buffered)


def _unmarked(file: io.BufferedReader) -> IO[bytes]:
    if file.peek(len(_MARK)).startswith(_MARK):
        file.read(len(_MARK))
    return file


class _Pieces(io.RawIOBase):
    """What a decompressing file gives at one look.

    Its `readinto` would go on until the buffer is full, and where the file breaks off before, throw away what is in it.
    """

    def __init__(self, file: Any) -> None:
        #: has `read1`
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._file.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _as_it_comes(file: Any) -> IO[bytes]:
    return _unmarked(io.BufferedReader(_Pieces(file), BUFFER))


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
