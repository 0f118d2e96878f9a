"""A file of whole lines, whatever the disk does."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.logfile import LogFile
from awfproxy.server.shared_logfile import SharedLogFile


class Disk:
    """Plays ``os.write``: takes the bytes of each step, an error where a step is negative, all when no step is left."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def write(self, fd: int, data: bytes) -> int:
        """Like ``os.write``."""
        step = self.steps.pop(0) if self.steps else len(data)
        if step < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(fd, data[: max(1, step)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be, in a folder that is not there yet."""
    return tmp_path / "logs" / "x.jsonl"


def opened(path: Path, steps: list[int] | None = None) -> LogFile:
    """An open file on a disk that behaves as told."""
    file = LogFile(str(path), Disk(steps or []).write)
    file.open()
    return file


def test_file_and_folder_are_made_with_their_modes(path: Path) -> None:
    """Group may read, others nothing, whatever the umask (twistd's daemon has 077)."""
    before = os.umask(0o077)
    try:
        opened(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda raw: b'"' + raw.hex().encode() + b'"\n'), min_size=1, max_size=8),
    steps=st.lists(st.one_of(st.just(-1), st.integers(1, 40)), max_size=12),
)
def test_every_line_is_there_once_whatever_the_disk_does(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], steps: list[int]
) -> None:
    """Short writes and errors in any order: each line stands whole, once, in order; what is torn is no whole line."""
    path = tmp_path_factory.mktemp("disk") / "x.jsonl"
    file = opened(path, steps)
    for line in lines:
        file.owe(line)
        while file.owed:
            try:
                file.flush()
            except OSError:
                continue
    file.close()
    content = path.read_bytes()
    assert content.endswith(b"\n")
    whole = [line for line in content.splitlines(keepends=True) if line in lines]
    torn = [line for line in content.splitlines(keepends=True) if line not in lines]
    assert whole == lines
    assert all(any(line.startswith(piece.rstrip(b"\n")) for line in lines) for piece in torn)


def test_an_error_names_the_file(path: Path) -> None:
    """Health shows it."""
    file = opened(path, [-1])
    file.owe(b"1\n")
    with pytest.raises(OSError, match=r"x\.jsonl"):
        file.flush()
    file.close()


def test_a_torn_line_of_a_crash_is_closed_and_kept(path: Path) -> None:
    """Never truncated: what is there may be somebody's evidence."""
    path.parent.mkdir()
    path.write_bytes(b"1\n2")
    file = LogFile(str(path))
    assert file.open() is True
    file.owe(b"3\n")
    file.flush()
    file.close()
    assert path.read_bytes() == b"1\n2\n3\n"
    assert LogFile(str(path)).open() is False


def test_renamed_and_removed_files_are_noticed(path: Path) -> None:
    """logrotate renames, people remove."""
    file = opened(path)
    assert file.moved() is False
    path.rename(path.with_suffix(".1"))
    assert file.moved() is True
    assert file.writable() is True
    path.with_suffix(".1").unlink()
    assert file.writable() is False
    file.open()
    assert file.moved() is False
    file.close()
    assert file.moved() is True


def test_what_is_no_regular_file_is_refused_at_once(path: Path) -> None:
    """A FIFO would block the start until somebody reads it; a device would lose the records."""
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        LogFile(str(path)).open()


def test_a_failed_open_leaves_the_open_file_as_it_was(path: Path) -> None:
    """Out of descriptors at a rotation: lines still go to the renamed file, which somebody has."""
    file = opened(path)
    renamed = path.with_suffix(".1")
    path.rename(renamed)
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        file.open()
    file.owe(b"1\n")
    file.flush()
    file.close()
    assert renamed.read_bytes() == b"1\n"


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
def test_lines_that_went_to_a_removed_file_are_owed_still(path: Path, kind: type[LogFile]) -> None:
    """Nobody could find them there; after the name was opened anew they are written again."""
    file = kind(str(path))
    file.open()
    file.owe(b'{"a":1}\n{"a":2}\n')
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.jsonl"):
        file.flush()
    assert file.owed == b'{"a":1}\n{"a":2}\n'
    file.open()
    file.flush()
    file.close()
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n'


A, B, C = b'{"a":1}\n', b'{"a":2}\n', b'{"a":3}\n'


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
@pytest.mark.parametrize("room", [4, len(A) - 1, len(A), len(A) + 4, len(A + B) - 1])
@pytest.mark.parametrize("late", [False, True])
def test_lines_that_went_whole_to_a_removed_file_before_an_error_are_owed_still(
    path: Path, kind: type[LogFile], room: int, late: bool
) -> None:
    """Of a write that ended short: whether the file was removed before it, or before the next attempt."""
    file = kind(str(path), Disk([room, -1]).write)
    file.open()
    file.owe(A + B + C)
    if not late:
        path.unlink()
    with pytest.raises(OSError, match="No space"):
        file.flush()
    if late:
        path.unlink()
    assert file.moved()
    file.open()
    file.flush()
    file.close()
    assert path.read_bytes() == A + B + C


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
def test_lines_of_two_attempts_that_went_to_a_removed_file_are_owed_still(path: Path, kind: type[LogFile]) -> None:
    """Nobody looked at the name in between."""
    file = kind(str(path), Disk([len(A), -1]).write)
    file.open()
    file.owe(A + B)
    with pytest.raises(OSError, match="No space"):
        file.flush()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.flush()
    file.open()
    file.flush()
    file.close()
    assert path.read_bytes() == A + B


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
@pytest.mark.parametrize("more", [b"", B])
def test_a_line_that_lacked_its_newline_at_a_rotation_stands_once(path: Path, kind: type[LogFile], more: bytes) -> None:
    """In the renamed file, which gets the newline; the new one begins with a line, not with that newline."""
    file = kind(str(path), Disk([len(A) - 1, -1]).write)
    file.open()
    file.owe(A + more)
    with pytest.raises(OSError, match="No space"):
        file.flush()
    renamed = path.with_suffix(".1")
    path.rename(renamed)
    file.open()
    file.flush()
    file.close()
    assert (renamed.read_bytes(), path.read_bytes()) == (A, more)


def test_a_renamed_file_that_is_still_full_keeps_its_line_without_a_newline(path: Path) -> None:
    """It is whole: no other process will continue it."""
    file = opened(path, [len(A) - 1, -1, -1])
    file.owe(A + B)
    with pytest.raises(OSError, match="No space"):
        file.flush()
    renamed = path.with_suffix(".1")
    path.rename(renamed)
    file.open()
    file.flush()
    file.close()
    assert (renamed.read_bytes(), path.read_bytes()) == (A[:-1], B)


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
def test_a_line_that_lacks_its_newline_gets_one_when_its_file_is_opened_again(path: Path, kind: type[LogFile]) -> None:
    """As SIGHUP does: one newline, no empty line."""
    file = kind(str(path), Disk([len(A) - 1, -1]).write)
    file.open()
    file.owe(A + B)
    with pytest.raises(OSError, match="No space"):
        file.flush()
    file.open()
    file.flush()
    file.close()
    assert path.read_bytes() == A + B


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
def test_nothing_owed_is_nothing_done(path: Path, kind: type[LogFile]) -> None:
    """Not even an error, where there is no file."""
    kind(str(path)).flush()


@pytest.mark.parametrize("loop", [False, True])
def test_a_file_or_a_loop_of_links_in_place_of_the_folder_is_noticed(path: Path, loop: bool) -> None:
    """The lines go on into the moved folder, and opening the name tells that."""
    file = opened(path)
    folder = path.parent
    moved = folder.with_suffix(".old")
    folder.rename(moved)
    if loop:
        folder.symlink_to(folder)
    else:
        folder.touch()
    assert file.moved() is True
    with pytest.raises(OSError, match="logs"):
        file.open()
    assert file.writable()
    file.owe(A)
    file.flush()
    file.close()
    assert (moved / path.name).read_bytes() == A


def test_a_folder_that_cannot_be_searched_leaves_the_file_in_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell whether the name was given to another."""
    file = opened(path)

    def refuse(_path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "stat", refuse)
    moved = file.moved()
    monkeypatch.undo()
    file.close()
    assert moved is False


@pytest.mark.parametrize("kind", [LogFile, SharedLogFile])
@pytest.mark.parametrize("torn", [False, True])
def test_a_file_that_somebody_truncates_is_appended_to_from_its_start(
    path: Path, kind: type[LogFile], torn: bool
) -> None:
    """As ``copytruncate`` does: no hole of zeros, and no line that comes later is spoilt."""
    file = kind(str(path), Disk([100, 3, -1] if torn else []).write)
    file.open()
    file.owe(b'{"a":1}\n')
    file.flush()
    if torn:
        file.owe(b'{"a":2}\n')
        with pytest.raises(OSError, match="No space"):
            file.flush()
    os.truncate(path, 0)
    file.owe(b'{"a":3}\n')
    file.flush()
    file.close()
    lines = [line for line in path.read_bytes().splitlines() if line]
    assert lines == ([b'{"a":2}', b'{"a":3}'] if torn else [b'{"a":3}'])
