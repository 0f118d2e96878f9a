"""What a process holds of budgets, in a file that outlives it: ``state_dir/holdings/NUMBER``.

Each process that spends budgets has a file of its own, named by a number that is its holder's in the ledger, and keeps
a lock on it (``flock``, which the kernel drops at any death).  So whoever can lock a file has found a dead process, and
settles its leases by what the file says, to the last write before the death.

Rules:
- A file is whole, and locked, before it has its name.
- It grows by a segment where more windows are held, and does not shrink: most processes need one of `SEGMENT_PLACES`,
  and none may have more than `core.holdings.PLACES` in all (8 MiB).
- A place is one window: the figures of `core.holdings`, and the window itself as JSON, so that the file is understood
  whatever the settings are by then.
- What was mapped survives the death of processes, not of the machine: a file from before the last boot may be older
  than what its process told the ledger, and is not believed (`Dead.helds` is None).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from typing import Final

import msgspec

from awfproxy.core.holdings import PLACES, WORDS, Holding, read
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.ledger.facts import Held, Window

FOLDER: Final = "holdings"
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
#: places that are made at once: 1 MiB
SEGMENT_PLACES: Final = 512
#: bytes of a place: its figures, and JSON of a window, of which the names have 256 bytes and twice that escaped
PLACE_BYTES: Final = 2048

_MAGIC: Final = b"awfproxy-holdings-1\n"
#: bytes before the first place: the magic and the boot's id
_HEADER: Final = 128
_SEGMENT: Final = SEGMENT_PLACES * PLACE_BYTES
_FIGURES: Final = 8 * WORDS
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
#: holders' numbers fit a signed 32-bit column
_NUMBERS: Final = 2**31


class HoldingsFull(Exception):
    """All `core.holdings.PLACES` are in use."""


class HoldingsFile:
    """The file of this process; made, and locked, by the constructor.

    :param state_dir: made where it is missing
    :raises OSError: the file cannot be made
    """

    def __init__(self, state_dir: str) -> None:
        folder = os.path.join(state_dir, FOLDER)
        os.makedirs(folder, DIRECTORY_MODE, exist_ok=True)
        draft = os.path.join(folder, f"draft.{os.getpid()}.{secrets.token_hex(4)}")
        self._fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._fd, _MAGIC + boot_id(), 0)
            self._segments: list[mmap.mmap] = []
            self._free: list[int] = []
            self._grow()
            #: the holder's in the ledger
            self.number, self.path = _link(draft, folder)
        except BaseException:
            os.close(self._fd)
            raise
        finally:
            os.unlink(draft)

    def _grow(self) -> None:
        """
        :raises OSError: there is no room on the disk
        """
        number = len(self._segments)
        begin = _HEADER + number * _SEGMENT
        try:
            # a mapped hole that a full disk cannot fill would kill the process
            os.posix_fallocate(self._fd, begin, _SEGMENT)
        except OSError:
            os.ftruncate(self._fd, begin)
            raise
        # from the page on in which it begins
        self._segments.append(mmap.mmap(self._fd, _HEADER + _SEGMENT, offset=begin - _HEADER))
        first = number * SEGMENT_PLACES
        self._free += range(first + SEGMENT_PLACES - 1, first - 1, -1)

    def holding(self, window: Window) -> Holding:
        """A new holding, of nothing yet.

        :raises HoldingsFull: there is no place left
        :raises OSError: nor room on the disk for more
        :raises ValueError: the window's names are too long for a place
        """
        text = msgspec.json.encode(window)
        if len(text) > PLACE_BYTES - _FIGURES - 1:
            raise ValueError(f"the names of {window.scope} are too long")
        if not self._free:
            if len(self._segments) * SEGMENT_PLACES >= PLACES:
                raise HoldingsFull(f"all {PLACES} places for windows of budgets are in use")
            self._grow()
        place = self._free.pop()
        segment = self._segments[place // SEGMENT_PLACES]
        begin = _HEADER + place % SEGMENT_PLACES * PLACE_BYTES
        segment[begin + _FIGURES : begin + _FIGURES + len(text) + 1] = text + b"\n"
        return Holding(memoryview(segment)[begin : begin + _FIGURES].cast("q"), place, window.start)

    def close_holding(self, holding: Holding) -> None:
        """Its place is free again; the ledger must have taken back what was lent.

        :raises ValueError: calls still run on it
        """
        holding.close()
        self._free.append(holding.scope)

    def close(self) -> None:
        """Let go of the file.  Where a holding is left in it, the next start settles that."""
        if len(self._free) == len(self._segments) * SEGMENT_PLACES:
            os.unlink(self.path)
        # The mapping has a descriptor of its own, and goes with the last holding: the lock must not wait for that.
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


class Dead:
    """The file of a process that is no more, locked against others who settle.

    :raises OSError: it cannot be read
    """

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd
        self.number = int(os.path.basename(path))
        #: its last figures; None: they cannot be believed
        self.helds = _read(fd)

    def settled(self) -> None:
        """The ledger has taken them: the file goes."""
        os.unlink(self._path)

    def close(self) -> None:
        """Let go of the file; what is not settled is found again."""
        os.close(self._fd)


def dead(state_dir: str) -> Iterator[Dead]:
    """The files whose processes are dead, each for the caller to close before the next one is looked for: a lock that
    is kept would be taken for a process that lives.

    :raises OSError: the folder, or a file in it, cannot be read
    """
    folder = os.path.join(state_dir, FOLDER)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if name.isdecimal() and (found := _if_dead(os.path.join(folder, name))) is not None:
            yield found


def _if_dead(path: str) -> Dead | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return Dead(path, fd)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)  # its process lives, or another has settled it between the two
    return None


def boot_id() -> bytes:
    """Tells boots of the machine apart; b"": it cannot be told, and files are believed."""
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(64)
    except OSError:
        return b""


def _link(draft: str, folder: str) -> tuple[int, str]:
    while True:
        number = secrets.randbelow(_NUMBERS)
        path = os.path.join(folder, str(number))
        try:
            os.link(draft, path)
        except FileExistsError:
            continue
        return number, path


def _read(fd: int) -> list[Held] | None:
    header = os.pread(fd, _HEADER, 0)
    segments, rest = divmod(os.fstat(fd).st_size - _HEADER, _SEGMENT)
    if segments < 1 or rest or not header.startswith(_MAGIC):
        return None
    if header.removeprefix(_MAGIC).rstrip(b"\0") != boot_id():
        return None
    helds = []
    for place in range(segments * SEGMENT_PLACES):
        data = os.pread(fd, PLACE_BYTES, _HEADER + place * PLACE_BYTES)
        figures = read(memoryview(data[:_FIGURES]).cast("q"))
        if figures is None:
            continue
        try:
            window = msgspec.json.decode(data[_FIGURES:].partition(b"\n")[0], type=Window)
        except UNDECODABLE:
            return None
        agreed = figures.expires > 0
        helds.append(Held(window, figures.granted, figures.spent, figures.reserved, agreed=agreed))
    return helds
