"""Starting, stopping and watching processes: CPU time and memory of a whole process tree, read from /proc (Linux)."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

START_SECONDS = 15.0  # until a program must listen
STOP_SECONDS = 15.0  # from SIGTERM until it is killed
TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
OUTPUT_TAIL = 600  # characters of a program's output that a failure quotes


class DidNotStart(Exception):
    """A program ended, or did not listen in time. The text holds the end of what it printed."""


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    output: pathlib.Path

    @property
    def pids(self) -> list[int]:
        return tree(self.process.pid)

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not end it. Returns the exit status (negative: the signal)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for pid in self.pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        return self.process.wait()


def start(
    argv: tuple[str, ...], output: pathlib.Path, ports: list[int], env: dict[str, str], cwd: pathlib.Path
) -> Running:
    """Starts `argv` and waits until it listens on every port of 127.0.0.1. Raises DidNotStart."""
    with output.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd)
    running = Running(process, output)
    end = time.monotonic() + START_SECONDS
    for port in ports:
        while not listens(port):
            if process.poll() is not None or time.monotonic() > end:
                state = f"exit status {process.poll()}" if process.poll() is not None else "it does not listen"
                running.stop()
                raise DidNotStart(f"{pathlib.Path(argv[0]).name}: {state}\n{output.read_text()[-OUTPUT_TAIL:]}")
            time.sleep(0.05)
    return running


def fake_upstream(work: pathlib.Path, plain: int, tls: int) -> Running:
    """The fake LLM API of upstream/fakellm.c on these two ports. Raises DidNotStart."""
    argv: tuple[str, ...] = (str(work / "fakellm"), "-p", str(plain), "-d", str(work / "bodies"), "-s", str(tls))
    argv += ("-c", str(work / "chain.crt"), "-k", str(work / "srv.key"))
    return start(argv, work / "fakellm.out", [plain, tls], dict(os.environ), work)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def tree(pid: int) -> list[int]:
    """The process and its descendants (nginx works in a child)."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat_fields(int(name))[1]), []).append(int(name))
    out, todo = [], [pid]
    while todo:
        found = todo.pop()
        out.append(found)
        todo += children.get(found, [])
    return out


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from the state on: the name before it may hold spaces and brackets."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def task_files(pids: list[int], name: str) -> Iterator[str]:
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    yield pathlib.Path(f"/proc/{pid}/task/{task}/{name}").read_text()


def cpu_us(pids: list[int]) -> float:
    """User and system time in µs since the start, all threads: exact while no thread ends.

    schedstat counts nanoseconds; where the kernel has none, the 10 ms ticks of stat must do.
    """
    total = sum(int(text.split()[0]) for text in task_files(pids, "schedstat")) / 1000
    if total:
        return total
    return float(sum(sum(map(int, stat_fields(pid)[11:13])) for pid in pids) * TICK_US)


def cpu_each_us(pids: list[int]) -> dict[int, float]:
    """The same for each process by itself."""
    return {pid: cpu_us([pid]) for pid in pids}


def children_us() -> float:
    """User and system time in µs of this process's children that have ended: the load tools."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime) * 1e6


def ledger_done(admin: int | None, seconds: float) -> bool:
    """Waits until the ledger of this proxy has all its records (no admin port: it has none). False: not in time."""
    end = time.monotonic() + seconds
    while admin is not None and lag(admin) > 0:
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def lag(admin: int) -> float:
    """Records that a proxy's ledger does not have yet, as its metrics say."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{admin}/metrics") as page:
        text = page.read().decode()
    found = re.search(r"^awfproxy_ledger_lag_records (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def pss_kb(pids: list[int]) -> int:
    """Proportional set size: pages shared by several processes of the tree count once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def machine_busy() -> tuple[int, int]:
    """Ticks of all CPUs: busy, and all. Their growth over a run says how alone the bench was."""
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)
