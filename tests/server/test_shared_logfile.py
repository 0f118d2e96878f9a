"""A file of lines to which several processes append, whatever the disk does to each."""

import errno
import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.shared_logfile import SharedLogFile


class Disk:
    """Plays ``os.write`` of one process: takes the bytes of each step, fails where it is negative."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def write(self, fd: int, data: bytes) -> int:
        """Like ``os.write``."""
        step = self.steps.pop(0) if self.steps else len(data)
        if step < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(fd, data[: max(1, step)])


def readable(path: Path) -> list[str]:
    """The lines that a reader can use, by the name in each."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            decoded = json.loads(line)
        except ValueError:
            continue
        found.append(decoded["name"])
    return found


def line(name: str) -> bytes:
    """A line as records are: an object, with strings and brackets in it."""
    return json.dumps({"name": name, "text": '}{"\\', "more": {"a": [1, "x"]}}).encode() + b"\n"


LENGTH = len(line("0-0"))


@given(
    batches=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=12),
    steps=st.lists(
        st.lists(st.one_of(st.just(-1), st.integers(1, LENGTH * 2 + 5)), max_size=8), min_size=3, max_size=3
    ),
)
def test_every_line_stands_whole_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, int]], steps: list[list[int]]
) -> None:
    """Three processes in any order, with short writes and errors in any of them: each line can be read, once."""
    path = tmp_path_factory.mktemp("shared") / "x.jsonl"
    files = [SharedLogFile(str(path), Disk(each).write) for each in steps]
    for file in files:
        file.open()
    wanted: list[str] = []
    for number, (who, count) in enumerate(batches):
        names = [f"{number}-{index}" for index in range(count)]
        wanted += names
        files[who].owe(b"".join(map(line, names)))
        try:
            files[who].flush()
        except OSError:
            continue  # owed still; others go on
    for _ in range(10):
        for file in files:
            try:
                file.flush()
            except OSError:
                continue
    for file in files:
        assert file.owed == b""
        file.close()
    assert sorted(readable(path)) == sorted(wanted)


Step = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("look"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("rotate"), st.just(0), st.just(0)),
)


@given(
    plan=st.lists(Step, min_size=1, max_size=16),
    steps=st.lists(
        st.lists(st.one_of(st.just(-1), st.integers(1, LENGTH * 2 + 5), st.just(LENGTH - 1)), max_size=8),
        min_size=3,
        max_size=3,
    ),
)
def test_every_line_stands_whole_once_through_rotations(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, int, int]], steps: list[list[int]]
) -> None:
    """As above, with renames that each process notices when it looks: each line is in one of the files, once."""
    path = tmp_path_factory.mktemp("rotated") / "x.jsonl"
    files = [SharedLogFile(str(path), Disk(each).write) for each in steps]
    for file in files:
        file.open()
    wanted: list[str] = []

    def go_on(file: SharedLogFile, look: bool) -> None:
        with suppress(OSError):
            if look and file.moved():
                file.open()
        with suppress(OSError):
            file.flush()

    for number, (what, who, count) in enumerate(plan):
        if what == "rotate" and path.exists():
            path.rename(path.with_suffix(f".{number}"))
        names = [f"{number}-{index}" for index in range(count)]
        wanted += names
        files[who].owe(b"".join(map(line, names)))
        go_on(files[who], what == "look")
    for _ in range(10):
        for file in files:
            go_on(file, look=True)
    for file in files:
        assert file.owed == b""
        file.close()
    assert sorted(name for each in path.parent.iterdir() for name in readable(each)) == sorted(wanted)


def without_newline(path: Path, steps: list[int]) -> SharedLogFile:
    """A file with a line that lacks only its newline, renamed."""
    file = SharedLogFile(str(path), Disk([len(line("a")) - 1, -1, *steps]).write)
    file.open()
    file.owe(line("a"))
    with pytest.raises(OSError, match="No space"):
        file.flush()
    path.rename(path.with_suffix(".1"))
    return file


def test_a_full_renamed_file_is_kept_until_its_line_has_its_newline(tmp_path: Path) -> None:
    """A process that has not noticed the rotation might continue it: then it is written again."""
    path = tmp_path / "x.jsonl"
    other = SharedLogFile(str(path))
    other.open()
    file = without_newline(path, [-1])
    with pytest.raises(OSError, match="No space"):
        file.open()
    other.owe(line("b"))
    other.flush()
    other.close()
    file.open()
    file.flush()
    file.close()
    assert sorted(readable(path.with_suffix(".1")) + readable(path)) == ["a", "b"]


def test_a_full_file_that_was_removed_is_left_at_once(tmp_path: Path) -> None:
    """Its line is nowhere: nothing is gained by a newline there."""
    path = tmp_path / "x.jsonl"
    file = without_newline(path, [-1])
    path.with_suffix(".1").unlink()
    with suppress(OSError):
        file.open()
    assert file.moved() is False
    for _ in range(2):
        with suppress(OSError):
            file.flush()
    file.close()
    assert path.read_bytes() == line("a")


def test_a_line_whose_newline_cannot_be_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For another reason than room: twice, rather than never, and the renamed file is not stuck to."""
    path = tmp_path / "x.jsonl"
    file = without_newline(path, [-1])
    monkeypatch.setattr("awfproxy.server.shared_logfile._NO_ROOM", ())
    file.open()
    file.flush()
    file.close()
    assert readable(path.with_suffix(".1")) + readable(path) == ["a", "a"]


def test_what_a_dead_process_left_torn_costs_nobody_else_a_line(tmp_path: Path) -> None:
    """Its piece and the line that continued it are one unreadable line; that line stands again after it."""
    path = tmp_path / "x.jsonl"
    file = SharedLogFile(str(path))
    file.open()
    with path.open("ab") as dead:
        dead.write(line("lost")[:20])
    file.owe(line("a") + line("b"))
    file.flush()
    file.close()
    assert readable(path) == ["b", "a"]


def test_opening_does_not_touch_what_looks_torn(tmp_path: Path) -> None:
    """Another process may be about to complete it."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"name":')
    file = SharedLogFile(str(path))
    assert file.open() is False
    file.close()
    assert path.read_bytes() == b'{"name":'


def test_processes_that_are_killed_while_they_write(tmp_path: Path) -> None:
    """Of six, four die at any moment; each line whose write had returned can be read, exactly once."""
    path = tmp_path / "x.jsonl"
    told = [tmp_path / f"{child}.told" for child in range(6)]
    children = []
    for child in range(6):
        pid = os.fork()
        if not pid:
            try:
                _write_on(path, told[child], child)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children[:4]:
        time.sleep(random.uniform(0.02, 0.08))
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    for pid in children[4:]:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    found = readable(path)
    assert len(found) == len(set(found))
    for child in range(6):
        text = told[child].read_text().split() if told[child].exists() else []
        assert set(text) <= set(found)
    assert len(found) > 100


def _write_on(path: Path, told: Path, child: int) -> None:
    file = SharedLogFile(str(path))
    file.open()
    with told.open("a", buffering=1) as note:
        for number in range(1_000_000):
            names = [f"{child}-{number}-{index}" for index in range(50)]
            file.owe(b"".join(map(line, names)))
            file.flush()
            note.write(" ".join(names) + "\n")
