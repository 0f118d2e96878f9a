"""One service for each `state_dir`: a lock on the folder, taken before anything in it is touched.

Two services with one folder would mend the journal under each other's hands, take each other's admin socket, and have
one installation's id in the ledger.

Rules:
- The lock is ``flock`` on ``state_dir/service.lock``.  The kernel drops it at any death, so nothing has to be cleaned
  up after one.
- A command that writes the ledger of a stopped service has the lock meanwhile, so that none starts beside it.  As that
  takes moments, whoever wants the lock waits for `WAIT_SECONDS`.
- It is the process's that was started: workers do not inherit it.  After a supervisor was killed, the next service may
  start while the workers of the last one finish their calls.
- The file stays.  What is in it, the holder's process id, is for the message alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Final

from awfproxy.state.kept_file import DIRECTORY_MODE, FILE_MODE, KeptFileError

NAME: Final = "service.lock"
#: bytes of a process id
_PID_MAX: Final = 20
#: seconds to wait for another's lock: a command that stores a budget has it for a tenth of that
WAIT_SECONDS: Final = 1.0
#: seconds between two looks for it
LOOK_SECONDS: Final = 0.02


class ServiceLockError(KeptFileError):
    """The lock cannot be had; the text is for the person who started the service."""


class StateDirInUse(ServiceLockError):
    """Another process has it."""


class ServiceLock:
    """The lock of one folder; `take` before the service starts, `release` once it has stopped."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._fd: int | None = None

    def take(self) -> None:
        """Have it, and make the folder where it is missing.

        :raises StateDirInUse: another process has it, and still after `WAIT_SECONDS`
        :raises ServiceLockError: the folder cannot be used
        """
        path = os.path.join(self._state_dir, NAME)
        try:
            os.makedirs(self._state_dir, DIRECTORY_MODE, exist_ok=True)
            # O_NONBLOCK: opening a FIFO that somebody put there must fail, not wait.  O_NOFOLLOW: root may run commands
            # in a folder of the service's user, who must not choose what is written
            how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            fd = os.open(path, how, FILE_MODE)
        except OSError as error:
            why = error.strerror or str(error)
            raise ServiceLockError(f"state_dir cannot be used: {why}: {error.filename or path}") from error
        try:
            _lock(fd)
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            taken = isinstance(error, BlockingIOError)
            pid = os.pread(fd, _PID_MAX, 0).strip() if taken else b""
            os.close(fd)
            if not taken:
                raise ServiceLockError(f"state_dir cannot be locked: {error.strerror or error}: {path}") from error
            whose = f"another awfproxy (process {pid.decode()})" if pid.isdigit() else "another awfproxy"
            raise StateDirInUse(
                f"state_dir is in use by {whose}: {self._state_dir}; stop that one, or choose another state_dir and"
                " log_dir"
            ) from None
        self._fd = fd

    def release(self) -> None:
        """Let go of it; harmless where it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _lock(fd: int) -> None:
    """Lock the file, waiting a little for another's lock; `BlockingIOError` if that stays."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOOK_SECONDS)
