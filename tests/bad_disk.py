"""A disk that stalls or is full, for the journals of real processes, as whoever may run the tests.

`BadDisk` puts a `sitecustomize` on the path of the process and of all that it starts.  There `os.write`, by which the
journal appends, looks at a file that the test writes: what is done to it happens to every append to a ``.jsonl`` file.
A stalled write waits without the interpreter's lock, as one in the kernel does.
"""

from __future__ import annotations

import os
from pathlib import Path

from awfproxy.simulator.processes import PACKAGE_PARENT

_CODE = '''
import errno, os, time
_write = os.write
_told = os.environ["BAD_DISK"]

def write(fd, data):
    while True:
        try:
            with open(_told) as file:
                how = file.read()
        except FileNotFoundError:
            return _write(fd, data)
        if not how or not os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
            return _write(fd, data)
        if how == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(0.01)

os.write = write
'''


class BadDisk:
    """Well at first; for all processes that have `environment`."""

    def __init__(self, directory: Path) -> None:
        folder = directory / "bad disk"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_CODE)
        self._told = folder / "how"
        self.environment = {
            "PYTHONPATH": os.pathsep.join((str(folder), str(PACKAGE_PARENT))),
            "BAD_DISK": str(self._told),
        }

    def stall(self) -> None:
        """No write returns."""
        self._say("stall")

    def fill(self) -> None:
        """There is no space, and what hung fails."""
        self._say("full")

    def heal(self) -> None:
        """All is well; what hung is written."""
        self._say("")

    def _say(self, how: str) -> None:
        whole = self._told.with_suffix(".new")
        whole.write_text(how)
        whole.replace(self._told)
