"""The proxy as twistd leaves it without ``-n``: forked twice, without a terminal, and nobody's child.

Its exit status is what tests want to know, and only a parent is told: Linux gives an orphan to the nearest process that
has asked for it (PR_SET_CHILD_SUBREAPER, prctl(2)), which these helpers do for as long as they need it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from awfproxy.simulator.processes import LOOK_EVERY, PACKAGE_PARENT, START_TIMEOUT, get, twistd_command
from awfproxy.simulator.setting import Setting

_PR_SET_CHILD_SUBREAPER = 36


class Ended(msgspec.Struct):
    """A start that did not come to anything."""

    status: int
    stdout: str
    stderr: str


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": str(PACKAGE_PARENT)} | dict(more)


def failed_start(
    directory: Path, config: Path, environment: Mapping[str, str], *, daemon: bool = False, twistd: Sequence[str] = ()
) -> Ended:
    """What ``twistd awfproxy`` prints and returns where it cannot start.

    :raises subprocess.TimeoutExpired: it runs on
    """
    if daemon:
        how = [f"--pidfile={directory / 'failed.pid'}", f"--logfile={directory / 'failed.log'}"]
    else:
        how = ["-n", "--pidfile="]
    done = subprocess.run(
        [*twistd_command(), *how, *twistd, "awfproxy", "--config", str(config)],
        cwd=directory, env=_environment(environment), capture_output=True, text=True, timeout=START_TIMEOUT, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


class Daemon:
    """A daemonised proxy that is ready; see `daemonised`."""

    def __init__(self, pid: int, logfile: Path, pidfile: Path) -> None:
        self.pid = pid
        self.logfile = logfile
        self.pidfile = pidfile
        self._status: int | None = None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal as `subprocess` has it; None: still running."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    @property
    def output(self) -> str:
        """Its log."""
        return self.logfile.read_text(errors="replace") if self.logfile.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """The exit status, once it has ended.

        :raises TimeoutError: it has not
        """
        deadline = time.monotonic() + timeout
        while (status := self.returncode) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the daemon still runs after {timeout} s")
            time.sleep(LOOK_EVERY)
        return status


@contextmanager
def daemonised(directory: Path, setting: Setting, twistd: Sequence[str] = ()) -> Iterator[Daemon]:
    """``twistd awfproxy`` without ``-n``; on the way out it is stopped, by its own pid."""
    pidfile, logfile = directory / "proxy.pid", directory / "proxy.log"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        command = [*twistd_command(), f"--pidfile={pidfile}", f"--logfile={logfile}", *twistd]
        subprocess.run(
            [*command, "awfproxy", "--config", str(setting.config)],
            cwd=directory, env=_environment(setting.environment), timeout=START_TIMEOUT, check=True,
            stdin=subprocess.DEVNULL, stdout=sys.__stdout__, stderr=sys.__stderr__,
        )  # fmt: skip
        daemon = Daemon(_pid(pidfile), logfile, pidfile)
        # the process between twistd and the daemon, which led the daemon's session and has ended, has come to us too
        with contextlib.suppress(ChildProcessError):
            os.waitpid(os.getsid(daemon.pid), 0)
        try:
            _wait_until_ready(daemon, setting.admin_port)
            yield daemon
        finally:
            daemon.signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except TimeoutError:
                daemon.signal(signal.SIGKILL)
                daemon.wait(10)
            print(f"--- daemon (status {daemon.returncode})\n{daemon.output[-8000:]}")
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _pid(pidfile: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if pidfile.exists() and (text := pidfile.read_text().strip()):
            return int(text)
        time.sleep(LOOK_EVERY)
    raise TimeoutError("twistd wrote no pid file")


def _wait_until_ready(daemon: Daemon, admin_port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        assert daemon.returncode is None, daemon.output[-4000:]
        try:
            if get(admin_port, "/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(LOOK_EVERY)
    raise TimeoutError(f"the daemon was not ready:\n{daemon.output[-4000:]}")
