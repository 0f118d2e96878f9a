"""Small files that are kept, and those that are replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from awfproxy.state.kept_file import found, kept, replace


def test_what_is_kept_is_never_replaced(tmp_path: Path) -> None:
    """The first to make it wins."""
    path = str(tmp_path / "state" / "key")
    assert kept(path, b"first", 100) == b"first"
    assert kept(path, b"second", 100) == b"first"
    assert kept(path, b"second", 3) == b"fir"
    assert os.listdir(tmp_path / "state") == ["key"]


def test_what_is_replaced_is_whole(tmp_path: Path) -> None:
    """In a folder that is made with it, for its owner alone; nothing else is left there."""
    path = str(tmp_path / "state" / "seen")
    assert found(path, 100) is None
    content = os.urandom(3_000_000)
    for each in (content, b"", b"short"):
        replace(path, each)
        assert found(path, 10_000_000) == each
    assert os.listdir(tmp_path / "state") == ["seen"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "state").st_mode) == 0o700


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a rename that fails; and a draft that a kill left is written over."""
    path = str(tmp_path / "seen")
    replace(path, b"old")
    (tmp_path / "seen.new").write_bytes(b"half of someth")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            replace(path, b"new")
    assert found(path, 100) == b"old"
    assert os.listdir(tmp_path) == ["seen"]
    (tmp_path / "seen.new").write_bytes(b"half of someth")
    replace(path, b"new")
    assert (found(path, 100), os.listdir(tmp_path)) == (b"new", ["seen"])
