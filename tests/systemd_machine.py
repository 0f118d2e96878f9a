"""A systemd of one's own, for tests: the real one, as process 1 of namespaces that are thrown away.

It sees the machine's own files, with folders of memory over those that it writes to (/run, /opt, /var/lib, /var/log) and
over /etc, a control group of its own, and no units but those that it is given.  The network is the machine's.  Python, what
is installed for it and the checkout are bound to /opt, because units with ProtectHome= do not see where they really are.

It takes root, and a kernel that allows all this: `why_not` says what is missing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import awfproxy

SYSTEMD = "/lib/systemd/systemd"
NAMESPACES = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--mount-proc", "--kill-child")
PATIENCE = 60.0
LOOK_EVERY = 0.02

#: what units order themselves by; empty here
_MILESTONES = ("sysinit", "basic", "sockets", "network-online", "network", "shutdown", "multi-user", "machine")

_COMMAND = """#!/bin/sh
export PYTHONPATH=/opt/source:/opt/packages LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/{python} -c 'import sys; sys.argv[0] = "{name}"; from {module} import {function} as run; run()' "$@"
"""

#: run by a shell as the first process of the namespaces, which becomes systemd
_SETUP = """set -e
mount --make-rprivate /
for folder in /run /opt /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mkdir /run/etc /run/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work overlay /etc
mkdir -p /opt/python /opt/packages /opt/source /opt/awfproxy/bin
mount --bind {prefix} /opt/python
mount --bind {packages} /opt/packages
mount --bind {source} /opt/source
cp {bin}/* /opt/awfproxy/bin/
cp -r {etc} /etc/awfproxy
chown -R root:root /etc/awfproxy
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --make-rshared /
exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin container=test SYSTEMD_UNIT_PATH={units} {systemd} --system \\
    --unit=machine.target --log-target=null --show-status=no
"""


def _cgroups() -> Path | None:
    """Where the control groups of version 2 are."""
    for folder in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (folder / "cgroup.controllers").exists() and os.access(folder, os.W_OK):
            return folder
    return None


@functools.cache
def why_not() -> str:
    """Why there cannot be one here; "": there can."""
    if os.geteuid() != 0:
        return "a systemd of one's own takes root"
    for program in ("unshare", "nsenter", "systemctl"):
        if shutil.which(program) is None:
            return f"{program} is not on this machine"
    if not Path(SYSTEMD).exists():
        return "systemd is not on this machine"
    if _cgroups() is None:
        return "this machine has no control groups of version 2 that may be written"
    tried = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/a /run/b && mount -t overlay -o " \
            "lowerdir=/etc,upperdir=/run/a,workdir=/run/b overlay /etc && umount -R /sys/fs/cgroup && " \
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup"  # fmt: skip
    done = subprocess.run(["unshare", *NAMESPACES, "sh", "-c", tried], capture_output=True, text=True, check=False)
    return f"this machine allows no systemd of one's own: {done.stderr.strip()}" if done.returncode else ""


class Machine:
    """One that runs; see `machine`."""

    def __init__(self, pid: int, output: Path) -> None:
        #: of its process 1, as seen from outside
        self.pid = pid
        self._output = output

    @property
    def output(self) -> str:
        """What services printed."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in there, with all rights.

        :raises AssertionError: it failed, unless that is asked for
        """
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--cgroup", "--uts", "--ipc", *command],
            capture_output=True, text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{shlex.join(command)}: {done.stdout}{done.stderr}\n{self.output}"
        return done

    def systemctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`systemctl`."""
        return self.run("systemctl", "--no-pager", *words, check=check)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", f"--property={name}", "--value", unit).stdout.strip()

    def outside(self, unit: str) -> int:
        """The process id of a unit's main process, as seen from outside."""
        inside = self.show(unit, "MainPID")
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                found = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                ids = found.get("NSpid", "").split()
                if len(ids) == 2 and ids[1] == inside and _namespace(ids[0]) == _namespace(str(self.pid)):
                    return int(ids[0])
        raise AssertionError(f"{unit} has no process")


def _namespace(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


@contextmanager
def machine(directory: Path, units: Mapping[str, str], etc: Mapping[str, str]) -> Iterator[Machine]:
    """A systemd with these units, which nothing has started yet.

    :param units: by file name, drop-ins as ``NAME.d/FILE``
    :param etc: files of /etc/awfproxy by name, readable for all but those under ``keys/``
    """
    made = {f"{name}.target": "[Unit]\nDefaultDependencies=no\n" for name in _MILESTONES} | dict(units)
    output = directory / "output"
    made["service.d/output.conf"] = f"[Service]\nStandardOutput=append:{output}\nStandardError=append:{output}\n"
    for folder, files in (("units", made), ("etc", etc)):
        for name, text in files.items():
            path = directory / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600 if "keys" in path.parts else 0o644)
    _write_commands(directory / "bin")
    cgroup = _cgroups()
    assert cgroup is not None
    own = cgroup / f"awfproxy-test-{os.getpid()}-{time.monotonic_ns()}"
    own.mkdir()
    setup = _SETUP.format(
        prefix=shlex.quote(sys.base_prefix), packages=shlex.quote(site.getsitepackages()[0]),
        source=shlex.quote(str(Path(awfproxy.__file__).parents[1])), bin=directory / "bin", etc=directory / "etc",
        units=directory / "units", systemd=SYSTEMD,
    )  # fmt: skip
    # in its control group before the namespaces are made: that group is then all that is seen of the tree
    enter = f"echo $$ > {own}/cgroup.procs; exec unshare {' '.join(NAMESPACES)} sh -c {shlex.quote(setup)}"
    with (directory / "setup").open("wb") as said:
        outer = subprocess.Popen(
            ["sh", "-c", enter], stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        made_machine = Machine(_first(outer, directory), output)
        _wait_until_up(made_machine, outer, directory)
        yield made_machine
    finally:
        outer.send_signal(signal.SIGKILL)  # and with it its child, and with that everything in there
        outer.wait()
        print(f"--- services\n{output.read_text()[-6000:] if output.exists() else ''}")
        _remove(own)


def _write_commands(folder: Path) -> None:
    folder.mkdir()
    python = Path(os.path.realpath(sys.executable)).name
    for name, module, function in (("twistd", "twisted.scripts.twistd", "run"), ("awf", "awfproxy.cli", "main")):
        path = folder / name
        path.write_text(_COMMAND.format(python=python, name=name, module=module, function=function))
        path.chmod(0o755)


def _first(outer: subprocess.Popen[bytes], directory: Path) -> int:
    """The process that becomes systemd."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        if children:
            return int(children[0])
        assert outer.poll() is None, (directory / "setup").read_text()
        time.sleep(LOOK_EVERY)
    raise TimeoutError((directory / "setup").read_text())


def _wait_until_up(made: Machine, outer: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert outer.poll() is None, (directory / "setup").read_text()
        if Path(f"/proc/{made.pid}/comm").read_text().strip() == "systemd":
            done = made.systemctl("is-active", "machine.target", check=False)
            if done.stdout.strip() == "active":
                return
        time.sleep(LOOK_EVERY)
    raise TimeoutError((directory / "setup").read_text())


def _remove(cgroup: Path) -> None:
    """A tree of control groups, once the last process has left it."""
    deadline = time.monotonic() + PATIENCE
    for folder in [*sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True), cgroup]:
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_EVERY)
