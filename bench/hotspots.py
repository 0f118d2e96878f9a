"""Where awfproxy's time goes: one workload through one process under cProfile, what each function costs a call.

    python -m bench.hotspots [WORKLOAD] [--tls] [--epoll] [--lines N] [--perf]

cProfile charges each Python call about a microsecond, so small functions look dearer than they are: compare its
figures with each other, and check any gain with run.sh. It sees the main thread only (not the journal's writer).
--perf samples the running process with perf instead, where it is installed and permitted: C and kernel included.
Run bench/run.sh once before: it builds the tools.
"""

import argparse
import marshal
import pathlib
import subprocess
import sys
from collections import Counter

from bench import peers, processes
from bench.loads import run
from bench.measure import WORK
from bench.workloads import CPU_WORK, Calls, Streams

PERF_HERTZ = 1999
RARE = 0.5  # calls of a function per unit of work below which it is start-up or now and then, and not shown


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


def functions(stats: pathlib.Path, units: int, lines: int) -> str:
    """What costs most per unit of work: functions (own time, time with what they call, times called), then files.

    What happens less than RARE times a unit is left out. A built-in function counts to the file that called it.
    """
    found = marshal.loads(stats.read_bytes())
    # {(file, line, name): (primitive calls, calls, own s, cumulative s, {caller: the same four})}
    rows: list[tuple[float, float, int, str]] = []
    files: Counter[str] = Counter()
    for (file, line, name), (_, calls, own, cumulative, callers) in found.items():
        if calls < RARE * units:
            continue
        rows.append((own, cumulative, calls, f"{pathlib.Path(file).name}:{line} {name}" if line else name))
        if line:
            files[pathlib.Path(file).name] += own
            continue
        for (caller, _, _), (_, _, share, _) in callers.items():
            files[pathlib.Path(caller).name] += share
    out = ["   own us   with callees us   calls   function"]
    for own, cumulative, calls, place in sorted(rows, reverse=True)[:lines]:
        out.append(f"{own * 1e6 / units:9.2f}{cumulative * 1e6 / units:18.2f}{calls / units:8.1f}   {place}")
    out += ["", "   own us   file"]
    out += [f"{own * 1e6 / units:9.2f}   {file}" for file, own in files.most_common(lines)]
    return "\n".join(out)


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
            done = run(WORK, Calls("warm-up", "", work.body if isinstance(work, Calls) else "req-1k", seconds=1), port)[
                "units"
            ]
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
        subprocess.run([*report, "--sort", "dso"])
        return subprocess.run([*report, "--sort", "dso,symbol"]).returncode
    print(functions(stats, (0 if isinstance(work, Streams) else done) + found["units"], asked.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
