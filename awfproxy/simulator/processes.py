"""The simulator and the proxy as real processes, for the demo and for tests that memory cannot stand in for.

Output goes to files, so that no pipe fills up; a process is always stopped by its own pid; nothing of the caller's
environment reaches a child but what it needs to run.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: ports that `free_ports` chooses from: above those of well-known services, below those that Linux gives by itself
_CHOSEN = range(10_240, 32_768)
#: of the system's: a test may have seeded the other
_dice = random.SystemRandom()

#: Seconds that a process may take until it serves.
START_TIMEOUT = 20.0
#: Seconds that a process may take to end after SIGTERM, before it is killed.
STOP_TIMEOUT = 40.0
#: Seconds between two looks at something waited for.
LOOK_EVERY = 0.02

#: The folder that holds the package, so that children find it though it is not installed.
PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


class ProcessError(Exception):
    """A process that did not start, or ended when it should not have; the text holds its last output."""


class Process:
    """One child process, and what it printed.

    :param directory: where its output files go; must exist
    :param environment: added to the few variables that are passed on
    """

    def __init__(self, name: str, arguments: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._out = directory / f"{name}.out"
        inherited = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        paths = [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
        inherited["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        with self._out.open("ab") as output:
            self._child = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=inherited | dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit status; None: still running."""
        return self._child.poll()

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return self._out.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self._child.poll() is None:
            self._child.send_signal(number)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """The exit status, once the process has ended.

        :raises subprocess.TimeoutExpired: it has not
        """
        return self._child.wait(timeout)

    def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """SIGTERM, then, after ``timeout`` seconds, SIGKILL; the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    @contextmanager
    def _stopped_on_failure(self) -> Iterator[None]:
        """A constructor that fails, or is interrupted, leaves no process behind that nobody can stop."""
        try:
            yield
        except BaseException:
            self.stop(1)
            raise

    def expect_running(self) -> None:
        """:raises ProcessError: if it has ended"""
        if self._child.poll() is not None:
            raise ProcessError(f"{self.name} ended with status {self._child.returncode}:\n{self.output[-4000:]}")


class SimulatorProcess(Process):
    """``python -m awfproxy.simulator``; ``ports`` by listener name."""

    def __init__(self, directory: Path, listen: Mapping[str, str], options: Sequence[str] = ()) -> None:
        arguments = [sys.executable, "-m", "awfproxy.simulator", *options]
        for name, endpoint in listen.items():
            arguments += ["--listen", f"{name}={endpoint}"]
        super().__init__("simulator", arguments, directory, {})
        with self._stopped_on_failure():
            self.ports = self._read_ports()

    def _read_ports(self) -> dict[str, int]:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            for line in self.output.splitlines(keepends=True):
                if line.startswith('{"listening"') and line.endswith("\n"):
                    ports: dict[str, int] = json.loads(line)["listening"]
                    return ports
            self.expect_running()
            time.sleep(LOOK_EVERY)
        raise ProcessError(f"the simulator did not listen within {START_TIMEOUT:.0f} s:\n{self.output[-4000:]}")

    def calls(self) -> list[dict[str, Any]]:
        """The ledger: see `awfproxy.simulator.ledger.Call`."""
        status, body = get(next(iter(self.ports.values())), "/_sim/calls")
        if status != 200:
            raise ProcessError(f"the simulator's ledger answered {status}")
        calls: list[dict[str, Any]] = json.loads(body)
        return calls


class ProxyProcess(Process):
    """``twistd -n awfproxy --config FILE``, ready to take calls.

    :param admin_port: where the file has the admin listener
    :param twistd: more options of twistd, e.g. ``("--reactor=epoll",)``
    """

    def __init__(
        self,
        directory: Path,
        config: Path,
        admin_port: int,
        environment: Mapping[str, str],
        twistd: Sequence[str] = (),
    ) -> None:
        arguments = [*twistd_command(), "-n", "--pidfile=", *twistd, "awfproxy", "--config", str(config)]
        super().__init__("proxy", arguments, directory, environment)
        self.admin_port = admin_port
        with self._stopped_on_failure():
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            self.expect_running()
            try:
                status, _ = get(self.admin_port, "/ready")
            except OSError:
                status = 0
            if status == 200:
                return
            time.sleep(LOOK_EVERY)
        raise ProcessError(f"the proxy was not ready within {START_TIMEOUT:.0f} s:\n{self.output[-4000:]}")


def twistd_command() -> list[str]:
    """How to run twistd with this interpreter."""
    script = Path(sys.executable).parent / "twistd"
    return [str(script)] if script.exists() else [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback that were free a moment ago; all different.

    None that the kernel gives to those who connect or ask for any, or one of these may have it before it is listened
    on, and again while who listens there is started anew.
    """
    found: list[int] = []
    while len(found) < count:
        port = _dice.choice(_CHOSEN)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def get(port: int, path: str, timeout: float = 5.0) -> tuple[int, bytes]:
    """Status and body of one GET on the loopback.

    :raises OSError: nobody answers
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
