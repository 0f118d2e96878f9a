"""Where awfproxy's time goes: one workload through one process under cProfile, and the functions that cost most.

    python -m bench.hotspots [WORKLOAD] [--tls] [--epoll] [--lines N] [--perf]

cProfile charges each Python call about a microsecond, so small functions look dearer than they are: compare its
figures with each other, and check any gain with run.sh. It sees the main thread only (not the journal's writer).
--perf samples the running process with perf instead, where it is installed and permitted: C and kernel included.
Run bench/run.sh once before: it builds the tools.
"""

import argparse
import pathlib
import pstats
import subprocess
import sys

from bench import peers, processes
from bench.loads import run
from bench.measure import WORK
from bench.workloads import CPU_WORK, Calls

PERF_HERTZ = 1999


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.hotspots", description="where awfproxy's time goes")
    names = [w.name for w in CPU_WORK]
    parser.add_argument("work", nargs="?", default=names[0], choices=names)
    parser.add_argument("--tls", action="store_true", help="over the TLS upstream")
    parser.add_argument("--epoll", action="store_true", help="on Twisted's own transports")
    parser.add_argument("--lines", type=int, default=40, help="functions shown")
    parser.add_argument("--perf", action="store_true", help="sample with perf instead of cProfile")
    return parser.parse_args(argv)


def profiled(program: peers.Program, stats: pathlib.Path) -> tuple[str, ...]:
    """twistd's script is Python: cProfile can run it. The statistics are written when it ends by SIGTERM."""
    return (sys.executable, "-m", "cProfile", "-o", str(stats), *program.argv)


def main(argv: list[str]) -> int:
    asked = options(argv)
    work = next(w for w in CPU_WORK if w.name == asked.work)
    plain, tls = peers.free_ports(2)
    twistd_options = ["--reactor=epoll"] if asked.epoll else []
    program = peers.awfproxy(WORK, peers.Upstream(plain, tls), "hotspots", *twistd_options)
    stats, recorded = WORK / "hotspots.prof", WORK / "hotspots.perf"
    upstream = processes.fake_upstream(WORK, plain, tls)
    try:
        command = program.argv if asked.perf else profiled(program, stats)
        env, ports = peers.environment(program), list(program.ports.values())
        proxy = processes.start(command, WORK / "hotspots.out", ports, env, WORK)
        port = program.ports["tls" if asked.tls else "plain"]
        try:
            run(WORK, Calls("warm-up", "", "req-1k", seconds=1), port)
            perf = ["perf", "record", "-q", "-g", "-F", str(PERF_HERTZ), "-o", str(recorded)]
            sampling = subprocess.Popen([*perf, "-p", str(proxy.process.pid)]) if asked.perf else None
            before = processes.cpu_us(proxy.pids)
            found = run(WORK, work, port)
            used = processes.cpu_us(proxy.pids) - before
            if sampling:
                sampling.terminate()
                sampling.wait()
        finally:
            status = proxy.stop()
    finally:
        upstream.stop()
    how = "sampled" if asked.perf else "under cProfile"
    each = used / max(1, found["units"])
    print(f"{work.title}: {found['units']} done, {found['bad']} bad, {each:.1f} us each, {how}; exit status {status}")
    if asked.perf:
        report = ["perf", "report", "-i", str(recorded), "--no-children", "--stdio", "-g", "none"]
        return subprocess.run(report).returncode
    pstats.Stats(str(stats)).strip_dirs().sort_stats("tottime").print_stats(asked.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
