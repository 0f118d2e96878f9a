"""The simulator and the proxy as real processes, for tests.

    with simulated(tmp_path) as (simulator, proxy, setting): ...

Both are stopped by pid on the way out; what they printed is shown when the test fails (it is on stdout).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from awfproxy.simulator.processes import Process, ProxyProcess, SimulatorProcess
from awfproxy.simulator.setting import PROVIDERS, Setting, write_setting
from tests.certificates import make_certificates

LOOPBACK = "tcp:0:interface=127.0.0.1"

#: for modules whose processes choose their reactors themselves: a second round on another one would show nothing
once = pytest.mark.skipif(
    os.environ.get("AWFPROXY_TEST_REACTOR") == "epoll", reason="starts processes on each reactor by itself"
)


def resident(pid: int) -> int:
    """Bytes of memory that a process has (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has used, in user and system mode: good to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """Stop the process on the way out, and print what it printed."""
    try:
        yield process
    finally:
        process.stop(10)
        print(f"--- {process.name} (status {process.returncode})\n{process.output[-8000:]}")


@contextmanager
def simulator_process(
    directory: Path, listen: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Iterator[SimulatorProcess]:
    """A simulator, by default with one listener for each provider that the proxy knows."""
    process = SimulatorProcess(directory, listen or dict.fromkeys(PROVIDERS, LOOPBACK), options)
    with running(process):
        yield process


@contextmanager
def proxy_process(directory: Path, setting: Setting, twistd: Sequence[str] = ()) -> Iterator[ProxyProcess]:
    """A proxy that is ready."""
    process = ProxyProcess(directory, setting.config, setting.admin_port, setting.environment, twistd)
    with running(process):
        yield process


@contextmanager
def simulated(
    directory: Path, twistd: Sequence[str] = (), *, tls: bool = False, **options: Any
) -> Iterator[tuple[SimulatorProcess, ProxyProcess, Setting]]:
    """Both, the proxy in front of the simulator; ``options`` are those of `write_setting`.

    :param tls: between proxy and simulator
    """
    listen = dict.fromkeys(options.get("providers", PROVIDERS), LOOPBACK)
    environment: dict[str, str] = {}
    if tls:
        certificates = make_certificates(directory)
        listen = dict.fromkeys(listen, certificates.endpoint())
        # The ledger is read over plain HTTP, from a listener of its own.
        listen = {"ledger": LOOPBACK} | listen
        environment["SSL_CERT_FILE"] = str(certificates.authority)
        options |= {"scheme": "https", "host": "localhost"}
    with simulator_process(directory, listen) as simulator:
        setting = write_setting(directory, simulator.ports, **options)
        setting.environment.update(environment)
        with proxy_process(directory, setting, twistd) as proxy:
            yield simulator, proxy, setting
