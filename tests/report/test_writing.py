"""Files of reports: whole or not at all, links and pipes left what they are, nothing written over that was read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from awfproxy.report.writing import MODE, source_at, write
from tests.report.html.made import usage
from tests.report.html.made import write as write_records
from tests.test_cli import ROOT, run

#: each command that writes a file, before the name of the file
COMMANDS = {
    "report": ("report", "--no-findings", "--html"),
    "turns": ("logs", "turns", "--output"),
    "reprice": ("logs", "reprice", "--at", "now", "--output"),
}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of logs with a file of each kind."""
    folder = tmp_path / "logs"
    folder.mkdir()
    write_records(folder, "token-usage.jsonl", map(usage, range(3)))
    (folder / "requests.jsonl").write_text("")
    return folder


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """A failure in the middle leaves it as it was, and nothing beside it; modes are kept."""
    path = tmp_path / "x"
    write([b"old"], str(path))
    assert path.stat().st_mode & 0o777 == MODE
    path.chmod(0o600)

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write(parts(), str(path))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]
    write([b"new", b"er"], str(path))
    assert path.read_bytes() == b"newer" and path.stat().st_mode & 0o777 == 0o600


def test_a_name_of_the_greatest_length(tmp_path: Path) -> None:
    """The unfinished file's name has room too, also where characters are of several bytes."""
    for name in ("x" * 255, "ü" * 127):
        write([b"1"], str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == b"1"


def test_sources_by_other_names(tmp_path: Path) -> None:
    """Links of both kinds and other spellings are the same file; devices may be read and written."""
    one, soft, hard, other = (tmp_path / name for name in ("one", "soft", "hard", "other"))
    one.write_text("")
    other.write_text("")
    soft.symlink_to(one)
    hard.hardlink_to(one)
    for name in (one, soft, hard, tmp_path / "." / ".." / tmp_path.name / "one"):
        assert source_at(str(name), [str(other), str(one)]) == str(one)
    assert source_at(str(other), [str(one), str(tmp_path), str(tmp_path / "gone")]) is None
    assert source_at(str(tmp_path / "new"), [str(one), "-"]) is None
    assert source_at(os.devnull, [os.devnull]) is None


@pytest.mark.parametrize("command", COMMANDS)
def test_into_a_pipe(command: str, logs: Path, tmp_path: Path) -> None:
    """It is written into, and still a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    try:
        assert run(*COMMANDS[command], str(pipe), str(logs)).exit_code == 0
        text, _ = reader.communicate(timeout=30)
    finally:
        reader.kill()
    assert text.startswith(b"<!doctype html>" if command == "report" else b"{")
    assert pipe.is_fifo()


def test_into_a_pipe_whose_reader_leaves(tmp_path: Path) -> None:
    """No error: what was read was all that was asked for.  The pipe stays."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def parts() -> Iterator[bytes]:
        yield b"x"
        os.close(reader)
        yield b"y" * 1_000_000

    assert not write(parts(), str(pipe))
    assert pipe.is_fifo()
    assert write([b"x"], str(tmp_path / "file"))


@pytest.mark.parametrize("command", COMMANDS)
def test_through_a_link(command: str, logs: Path, tmp_path: Path) -> None:
    """What it leads to is replaced, and the link stays; also where nothing is there yet."""
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    link.symlink_to(target)
    for _ in range(2):
        assert run(*COMMANDS[command], str(link), str(logs)).exit_code == 0
        assert link.is_symlink() and target.is_file() and not target.is_symlink()
    assert target.stat().st_size and os.listdir(target.parent) == ["target"]


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output_by_its_name(command: str, logs: Path) -> None:
    """/dev/stdout is a link to a pipe that has no name."""
    arguments = [sys.executable, "-m", "awfproxy", *COMMANDS[command], "/dev/stdout", str(logs)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (b"<!doctype html>" if command == "report" else b'{"') in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["token-usage.jsonl", "requests.jsonl"])
def test_records_are_not_written_over(command: str, name: str, logs: Path) -> None:
    """Refused as a command that cannot be meant, with nothing printed and every file as it was."""
    before = {path.name: path.read_bytes() for path in logs.iterdir()}
    result = run(*COMMANDS[command], str(logs / name), str(logs))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is read here: write to another file" in result.stderr
    assert {path.name: path.read_bytes() for path in logs.iterdir()} == before


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_input_is_not_written_over(command: str, logs: Path) -> None:
    """A file that the shell opened is the same file."""
    path = logs / "token-usage.jsonl"
    before = path.read_bytes()
    arguments = [sys.executable, "-m", "awfproxy", *COMMANDS[command], str(path), "-"]
    with path.open("rb") as file:
        done = subprocess.run(arguments, cwd=ROOT, stdin=file, capture_output=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert path.read_bytes() == before


def test_agents_logs_are_not_written_over(logs: Path, tmp_path: Path) -> None:
    """One that was named, and one that was found in a folder and known for what it is."""
    log = tmp_path / "agent" / "session.jsonl"
    log.parent.mkdir()
    line = {"type": "user", "sessionId": "s", "message": {"role": "user", "content": "hello"}}
    log.write_text(json.dumps(line) + "\n")
    before = log.read_bytes()
    for named in (log, log.parent):
        result = run(*COMMANDS["turns"], str(log), "--agent-log", str(named), str(logs))
        assert (result.exit_code, result.stdout) == (2, "")
        assert log.read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("old", [None, b"old"])
def test_where_nothing_was_found_nothing_is_written(command: str, old: bytes | None, logs: Path, tmp_path: Path) -> None:
    """Neither a new file nor over an old one."""
    target = tmp_path / "target"
    if old is not None:
        target.write_bytes(old)
    assert run(*COMMANDS[command], str(target), "--run", "nobody's", str(logs)).exit_code == 1
    assert (target.read_bytes() if target.exists() else None) == old
