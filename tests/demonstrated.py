"""``awf demo`` as a person runs it, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from awfproxy.simulator.demo.reports import awf_command

#: seconds that it may take on a machine that does other things too
TIMEOUT = 120.0


class Demonstrated(msgspec.Struct, frozen=True):
    """What came of it."""

    #: has ``logs``, ``agents`` and ``awfproxy.toml``
    folder: Path
    page: Path
    status: int
    printed: str
    seconds: float

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def told(self, *arguments: str) -> dict[str, Any]:
        """What ``awf`` says of its records as JSON."""
        done = awf(*arguments, "--format", "json", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def demonstrate(folder: Path) -> Demonstrated:
    """Run it into a folder."""
    into, page = folder / "demo", folder / "pages" / "report.html"
    begun = time.monotonic()
    done = awf("demo", "--into", str(into), "--report", str(page), cwd=folder)
    return Demonstrated(into, page, done.returncode, done.stdout + done.stderr, time.monotonic() - begun)


def awf(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``awf``, with standard output in a pipe."""
    command = [*awf_command(), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment_of(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def environment_of(more: Mapping[str, str] | None = None, before_path: Sequence[str] = ()) -> dict[str, str]:
    """A small environment in which ``awf`` and ``twistd`` are those of this interpreter.

    :param before_path: folders that are looked into before all others
    """
    path = os.pathsep.join([*before_path, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return kept | {"PATH": path} | dict(more or {})
