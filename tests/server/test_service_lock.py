"""The lock on a state folder, within one process: who has it, and what the other is told."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from awfproxy.server.service_lock import NAME, ServiceLock, ServiceLockError


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    """With the process and the folder, and what to do; and once it is free, it is the second's."""
    folder = tmp_path / "state"
    first, second = ServiceLock(str(folder)), ServiceLock(str(folder))
    first.take()
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    with pytest.raises(ServiceLockError, match=rf"in use by another awfproxy \(process {os.getpid()}\): .*state; stop"):
        second.take()
    first.release()
    second.take()
    second.release()
    second.release()
    assert (folder / NAME).exists()


def test_a_child_does_not_keep_it(tmp_path: Path) -> None:
    """Workers outlive a supervisor that was killed, and the next service must not wait for them."""
    lock = ServiceLock(str(tmp_path))
    lock.take()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        again = ServiceLock(str(tmp_path))
        again.take()
        again.release()
    finally:
        child.communicate()


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"12\0"])
def test_what_stands_in_the_file_is_for_the_message_alone(tmp_path: Path, content: bytes) -> None:
    """A file of whatever content is locked, and one that is locked is in use."""
    (tmp_path / NAME).write_bytes(content)
    first, second = ServiceLock(str(tmp_path)), ServiceLock(str(tmp_path))
    first.take()
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ServiceLockError, match="in use by another awfproxy"):
        second.take()
    first.release()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceLockError, match=r"state_dir cannot be used: .*file"):
        ServiceLock(str(tmp_path / "file")).take()
