"""The key of the hashes: made once, kept, and never half."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from awfproxy.core.keyed import KEY_BYTES
from awfproxy.server.hint_key import NAME, HintKeyError, hint_key


def test_made_once_and_kept(tmp_path: Path) -> None:
    """The folder too; only its owner can read it, whatever the umask is, and no draft is left."""
    folder = tmp_path / "a" / "state"
    before = os.umask(0)
    try:
        key = hint_key(str(folder))
    finally:
        os.umask(before)
    assert len(key) == KEY_BYTES
    assert hint_key(str(folder)) == key
    assert [each.name for each in folder.iterdir()] == [NAME]
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert hint_key(str(tmp_path)) != key


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    """Whoever is first has made it."""
    keys: list[bytes] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        keys.append(hint_key(str(tmp_path)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"k" * (KEY_BYTES - 1), b"k" * (KEY_BYTES + 1)])
def test_what_is_no_key_ends_the_start(tmp_path: Path, content: bytes) -> None:
    """It is not replaced: hashes of before would not compare."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(HintKeyError, match=f"{NAME} is not a key of 32 bytes"):
        hint_key(str(tmp_path))
    assert (tmp_path / NAME).read_bytes() == content


def test_a_fifo_does_not_stop_the_start(tmp_path: Path) -> None:
    """Nobody writes into it: it is empty, and so no key."""
    os.mkfifo(tmp_path / NAME)

    def waited(*_: object) -> None:
        raise TimeoutError("opening it waits")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(5)
    try:
        with pytest.raises(HintKeyError, match=f"{NAME} is not a key"):
            hint_key(str(tmp_path))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file for a folder, a folder for the file."""
    (tmp_path / "file").touch()
    with pytest.raises(HintKeyError, match=r"state_dir cannot be used: Not a directory: .*file"):
        hint_key(str(tmp_path / "file"))
    (tmp_path / NAME).mkdir()
    with pytest.raises(HintKeyError, match=f"state_dir cannot be used: Is a directory: .*{NAME}"):
        hint_key(str(tmp_path))
