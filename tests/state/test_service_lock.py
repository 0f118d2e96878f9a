"""The lock on a state folder, within one process: who has it, and what the other is told."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from awfproxy.state.service_lock import NAME, WAIT_SECONDS, ServiceLock, ServiceLockError


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


def test_a_file_system_without_locks_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOLCK (flock(2): NFS without its lock service) is not taken for another service; nothing stays open."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ServiceLockError, match=r"state_dir cannot be locked: No locks available: .*service\.lock"):
        ServiceLock(str(tmp_path)).take()
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceLockError, match=r"state_dir cannot be used: .*file"):
        ServiceLock(str(tmp_path / "file")).take()


def test_a_lock_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """A command may store a budget just when the service starts."""
    first, second = ServiceLock(str(tmp_path)), ServiceLock(str(tmp_path))
    first.take()
    timer = threading.Timer(WAIT_SECONDS / 5, first.release)
    timer.start()
    second.take()
    timer.join()
    second.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever owns the folder does not choose what root writes."""
    (tmp_path / "target").write_text("as it was")
    (tmp_path / NAME).symlink_to(tmp_path / "target")
    with pytest.raises(ServiceLockError, match="state_dir cannot be used"):
        ServiceLock(str(tmp_path)).take()
    assert (tmp_path / "target").read_text() == "as it was"
