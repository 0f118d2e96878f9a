"""Runs the peers side by side over the same upstream and prints the figures beside their targets.

    python -m bench.measure [--quick] [-p PEERS] [-w WORKLOADS] [-r ROUNDS] [-o ROWS.jsonl]

Every workload goes through every peer in turn, then again in the other order, so that what changes on the machine
meanwhile hits all alike. CPU is the time of the proxy's whole process tree per call or event; it holds on a shared
machine where requests per second do not, and ratios to nginx within one run hold best.

Started by run.sh, which builds the tools into the work folder ($BENCH_WORK). Gates nothing: missed targets are shown.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from bench import figures, peers, processes
from bench.loads import run
from bench.pace import interpreter, turn_ns
from bench.workloads import CPU_WORK, MANY, MEMORY, WARM_UP, Calls, Streams

WORK = pathlib.Path(os.environ.get("BENCH_WORK", pathlib.Path(__file__).resolve().parent / ".work"))

MAIN = ("nginx", "nginx-tls", "awfproxy", "awfproxy-tls")  # in every round
VARIANTS = (*peers.BUDGETS, peers.WORKERS)  # of awfproxy, in every round
SIDE = ("epoll", "epoll-tls", "naive", "naive-tls", "direct")  # in the first round only
QUICK_SIDE = ("epoll", "naive", "direct")
# Left out unless asked for by name: the naive proxy cannot keep up with 10,000 events a second, where there is no proxy
# only the delays that the load tools themselves see are of use, and budgets and workers concern calls.
USUAL_WORK = {
    **dict.fromkeys(VARIANTS, ("call-1k",)),
    "naive": ("call-1k", "body-100k", "body-1m", "burst", "slow", "lone-1k"),
    "naive-tls": ("call-1k", "burst", "slow"),
    "direct": ("lone-1k", "slow"),
}
ROUNDS = 3
QUICK_WORK = tuple(w.name for w in CPU_WORK if w.name not in ("burst-asked", "answer-1m"))
SAMPLE_SECONDS = 0.2  # between two looks at the memory; each costs the process a walk of its pages
SETTLE_SECONDS = 0.15  # after a run, for what a proxy still does about it (records), before its CPU is read
LEDGER_SECONDS = 15.0  # at most, until the ledger has the rows of a run: they are work that its calls have made
SPARE_FILES = 100  # descriptors of a proxy that are no stream's
FILES_ENOUGH = 65536  # open files that the programs are let have, where the machine allows


class Bench:
    """The rows of one run, and the programs that are up."""

    def __init__(
        self, out: pathlib.Path, upstream: peers.Upstream, far_end: processes.Running, programs: list[peers.Program]
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.out = out.open("w")
        self.upstream = upstream
        self.far_end = far_end
        self.programs = programs
        self.up: dict[str, processes.Running] = {}
        self.left_out: set[str] = set()

    def add(self, **row: Any) -> None:
        self.rows.append(row)
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()

    def start(self, program: peers.Program) -> processes.Running | None:
        """None, and said so once, when it does not start: the others are measured all the same."""
        if program.name in self.left_out:
            return None
        env, output = peers.environment(program), WORK / f"{program.name}.out"
        try:
            return processes.start(program.argv, output, list(program.ports.values()), env, WORK)
        except (processes.DidNotStart, OSError) as e:
            print(f"left out: {program.name}: {e}", flush=True)
            self.left_out.add(program.name)
            return None

    def stop(self, program: peers.Program, running: processes.Running) -> None:
        status = running.stop()
        self.add(kind="exit", program=program.name, status=status)

    def measured(self, peer: peers.Peer, load: Calls | Streams, round_: int) -> None:
        pids = self.up[peer.program.name].pids if peer.program else []
        each, upstream, busy = processes.cpu_each_us(pids), self.upstream_us(), processes.machine_busy()
        tool = processes.children_us()
        found = run(WORK, load, peer.port)
        tool, upstream = processes.children_us() - tool, self.upstream_us() - upstream
        time.sleep(SETTLE_SECONDS)
        now = processes.machine_busy()
        if peer.program and not processes.ledger_done(peer.program.admin, LEDGER_SECONDS):
            print(f"{peer.name}: the ledger lags behind the calls of this run, which costs the next one", flush=True)
        after = processes.cpu_each_us(pids)
        alone = round((now[0] - busy[0]) / max(1, now[1] - busy[1]), 2)
        row: dict[str, Any] = {"peer": peer.name, "work": load.name, "round": round_, "cpu_us": None, "busy": alone}
        if units := found["units"]:
            parts = [round((after[pid] - each[pid]) / units, 2) for pid in pids]
            row |= {"cpu_us": round(sum(parts), 2), "each_us": parts}
            row |= {"load_us": round(tool / units, 2), "upstream_us": round(upstream / units, 2)}
        row |= {"workers": peer.program.workers if peer.program else 0, "cpus": os.cpu_count()}
        self.add(kind="cpu", **row, found=found)
        said = f"{row['cpu_us']:10.1f} us" if row["cpu_us"] is not None else "      none "
        times = f"p50 {found['p50_us']} p99 {found['p99_us']} us"
        line = f"{round_} {load.name:12s}{peer.name:14s}{said}  x {found['units']:<7d} {times}"
        print(f"{line}  bad {found['bad']}  machine {alone:.0%}", flush=True)

    def upstream_us(self) -> float:
        return processes.cpu_us(self.far_end.pids)

    def memory(self, program: peers.Program, upstream: str, load: Streams, count: int) -> None:
        """A process of its own: what one run leaves in the allocator must not hide in the next one's start."""
        if not (running := self.start(program)):
            return
        try:
            run(WORK, WARM_UP, program.ports[upstream])
            pids = running.pids
            idle, peak, over = processes.pss_kb(pids), [0], threading.Event()

            def watch() -> None:
                while not over.wait(SAMPLE_SECONDS):
                    peak[0] = max(peak[0], processes.pss_kb(pids))

            watching = threading.Thread(target=watch)
            watching.start()
            cpu = processes.cpu_us(pids)
            try:
                found = run(WORK, load, program.ports[upstream], count)
            finally:
                over.set()
                watching.join()
            cpu = processes.cpu_us(pids) - cpu
            name = program.name if upstream == "plain" else f"{program.name}-tls"
            each = round((peak[0] - idle) / max(1, found["peak"]), 2)
            row = {"peer": name, "work": load.name, "count": count, "idle_kb": idle, "peak_kb": peak[0], "found": found}
            self.add(kind="memory", **row, kb_per_stream=each, cpu_us=round(cpu / max(1, found["units"]), 2))
            said = f"{found['peak']} streams at once, {found['bad']} failed, {each:.1f} KB each"
            print(f"{load.name:14s}{name:14s} idle {idle / 1024:.1f} MB, {said}", flush=True)
        finally:
            self.stop(program, running)

    def interleaved(self, names: list[str], work: list[Calls | Streams], rounds: int, asked: bool) -> None:
        listed = {p.name: p for p in peers.peers(self.programs, self.upstream)}
        for program in self.programs:
            wanted = any(listed[n].program is program for n in names)
            if wanted and (running := self.start(program)):
                self.up[program.name] = running
        names = [n for n in names if not (p := listed[n].program) or p.name in self.up]
        try:
            for n in names:
                run(WORK, WARM_UP, listed[n].port)
                run(WORK, Calls("warm-up", "", "req-1k", seconds=1), listed[n].port)
            for r in range(rounds):
                for load in work:
                    due = [n for n in names if asked or due_in(n, load.name, r)]
                    for n in due if r % 2 == 0 else reversed(due):
                        self.measured(listed[n], load, r)
        finally:
            for program in self.programs:
                if running := self.up.pop(program.name, None):
                    self.stop(program, running)


def due_in(peer: str, work: str, round_: int) -> bool:
    if round_ and peer not in (*MAIN, *VARIANTS):
        return False
    return work in USUAL_WORK.get(peer, (work,))


def usage_records(programs: list[peers.Program]) -> Iterator[tuple[str, int]]:
    for program in programs:
        path = program.log_dir / "token-usage.jsonl" if program.log_dir else None
        if path and path.exists():
            with path.open("rb") as f:
                yield program.name, sum(1 for _ in f)


def room_for_streams(wanted: int) -> int:
    """Two descriptors a stream: the client's and the upstream's."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(wanted, (limit - SPARE_FILES) // 2)


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="awfproxy beside nginx and a naive proxy.")
    parser.add_argument("--quick", action="store_true", help="one round, fewer workloads: two to three minutes")
    named = f"nginx, awfproxy, {', '.join(VARIANTS)}, epoll, naive (each also -tls), direct"
    parser.add_argument("-p", "--peers", help=f"comma-separated: {named}")
    parser.add_argument("-w", "--work", help=f"comma-separated: {', '.join(w.name for w in CPU_WORK)}, memory, many")
    parser.add_argument("-r", "--rounds", type=int, help=f"rounds of the interleaved workloads (default {ROUNDS})")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=WORK / "rows.jsonl", help="where the rows go")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    asked = options(argv)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILES_ENOUGH if hard == resource.RLIM_INFINITY else min(hard, FILES_ENOUGH)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    plain, tls = peers.free_ports(2)
    upstream = peers.Upstream(plain, tls)
    programs = peers.programs(WORK, upstream, connections=files + files // 8)
    names = asked.peers.split(",") if asked.peers else [*MAIN, *VARIANTS, *(QUICK_SIDE if asked.quick else SIDE)]
    known = [p.name for p in peers.peers(programs, upstream)]
    usual = list(QUICK_WORK) if asked.quick else [w.name for w in CPU_WORK]
    wanted = asked.work.split(",") if asked.work else [*usual, "memory", *([] if asked.quick else ["many"])]
    if wrong := [*set(names) - set(known), *set(wanted) - {w.name for w in CPU_WORK} - {"memory", "many"}]:
        print(f"not known: {', '.join(wrong)}; peers: {', '.join(known)}", file=sys.stderr)
        return 2
    for program in programs:  # records of an earlier run are not this one's
        if program.log_dir:
            for old in program.log_dir.glob("*.jsonl"):
                old.unlink()
    with ExitStack() as stack:
        far_end = processes.fake_upstream(WORK, plain, tls)
        stack.callback(far_end.stop)
        bench = Bench(asked.out, upstream, far_end, programs)
        bench.add(kind="pace", interpreter=interpreter(), ns=turn_ns())
        if work := [w for w in CPU_WORK if w.name in wanted]:
            bench.interleaved(names, work, asked.rounds or (1 if asked.quick else ROUNDS), bool(asked.peers))
        for program in programs:
            for kind in program.ports:
                name = program.name if kind == "plain" else f"{program.name}-tls"
                if "memory" in wanted and name in names and (asked.peers or name not in VARIANTS):
                    bench.memory(program, kind, MEMORY, MEMORY.count)
                if "many" in wanted and name in names and (asked.peers or name == "awfproxy"):
                    bench.memory(program, kind, MANY, room_for_streams(MANY.count))
    bench.add(kind="pace", interpreter=interpreter(), ns=turn_ns())
    for name, lines in usage_records(programs):
        bench.add(kind="records", program=name, lines=lines)
    print("\n" + figures.report(bench.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
