"""A proxy that sees file systems of its own: full ones, read-only ones.

It runs in user and mount namespaces, which an ordinary user may make on most machines; where not, `namespaces` skips
the test with the reason.  All mounts go with the process.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from awfproxy.simulator.processes import Process, ProxyProcess, twistd_command
from awfproxy.simulator.setting import Setting
from tests.processes import running

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


def _why_not() -> str | None:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "unshare and nsenter are not installed"
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return f"this machine lets nobody mount: {tried.stderr.strip()}" if tried.returncode else None


class _ProxyInside(ProxyProcess):
    def __init__(self, directory: Path, setting: Setting, script: str) -> None:
        command = [*twistd_command(), "-n", "--pidfile=", "awfproxy", "--config", str(setting.config)]
        arguments = [*_UNSHARE, "sh", "-ec", f'{script}\nexec "$@"', "sh", *command]
        Process.__init__(self, "proxy", arguments, directory, setting.environment)
        self.admin_port = setting.admin_port
        with self._stopped_on_failure():
            self._wait_until_ready()


@contextmanager
def proxy_inside(directory: Path, setting: Setting, script: str) -> Iterator[ProxyProcess]:
    """A proxy that is ready, in a namespace in which ``script`` ran before."""
    why = _why_not()
    if why is not None:
        pytest.skip(why)
    process = _ProxyInside(directory, setting, script)
    with running(process):
        yield process


def inside(process: ProxyProcess, path: Path) -> Path:
    """What the process has at an absolute path, to somebody outside."""
    return Path(f"/proc/{process.pid}/root") / path.relative_to("/")


def run_inside(process: ProxyProcess, *command: str) -> None:
    """Run a command where the process is."""
    entered = ("nsenter", "--target", str(process.pid), "--user", "--mount", "--preserve-credentials")
    subprocess.run([*entered, *command], check=True, timeout=10)
