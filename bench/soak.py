"""A soak: mixed traffic, upstreams and clients that misbehave, kills, rotations and reloads, and an account at the end.

    python -m bench.soak --minutes 60 --workers 2 [--clients 60] [--seed 1] [--directory DIR]

Once a minute the clients rest until nothing runs, and the processes' memory and descriptors are looked at.  At the end
the proxy is stopped by SIGTERM and everything is counted (`soak_laws`).  Prints a table; exits 1 if a law is broken.
The same seed makes the same calls and troubles in the same order, as far as a machine can.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from awfproxy.simulator.processes import SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from bench.soak_clients import Call, Crowd
from bench.soak_laws import (
    Journal,
    Sample,
    broken_by_growth,
    broken_by_ledger,
    broken_by_records,
    read_journal,
    without_record,
)
from bench.soak_traffic import PATIENCE
from bench.soak_trouble import Trouble, start

PROVIDERS = ("openai", "anthropic", "gemini")
#: seconds between two rests; a shorter soak has at least this many
REST_EVERY, RESTS_LEAST = 60.0, 4
#: violations that are printed
SHOWN = 20
#: seconds that the ledger gets to read the last of the journal, and the proxy to stop
LEDGER_MAX, STOP_MAX = 30.0, 60.0


@dataclass
class Soaked:
    """What a soak found."""

    calls: list[Call] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    rotations: int = 0
    reloads: int = 0
    seconds: float = 0.0
    journal: Journal = field(default_factory=Journal)
    broken: list[str] = field(default_factory=list)


def soak(directory: Path, seconds: float, workers: int, clients: int, seed: int, tell: bool = True) -> Soaked:
    """Run one.

    :param directory: for everything that it writes; must be empty
    :param tell: print a row at each rest
    """
    upstream = SimulatorProcess(directory, dict.fromkeys(PROVIDERS, "tcp:0:interface=127.0.0.1"))
    try:
        options = f"idle_timeout = {PATIENCE}\nfirst_byte_timeout = {PATIENCE}"
        setting = write_setting(
            directory, upstream.ports, providers=PROVIDERS, service=f"workers = {workers}\ndrain_timeout = 20",
            port_options=options,
        )  # fmt: skip
        setting.config.write_text(setting.config.read_text() + "# limits\n")
        found = Soaked()
        chance = random.Random(seed)
        trouble = Trouble(setting, directory, workers, chance, start(directory, setting))
        try:
            asyncio.run(_run(found, trouble, set(upstream.ports.values()), seconds, clients, tell))
            status = trouble.proxy.stop(STOP_MAX)
        finally:
            trouble.proxy.stop(1)
    finally:
        upstream.stop(5)
    if status:
        found.broken.append(f"the proxy ended with status {status}:\n{trouble.proxy.output[-2000:]}")
    found.journal = read_journal(setting.log_dir)
    found.broken += broken_by_records(found.calls, found.kills, found.journal)
    found.broken += broken_by_ledger(setting, directory)
    found.broken += broken_by_growth(found.samples)
    return found


async def _run(
    found: Soaked, trouble: Trouble, upstream: set[int], seconds: float, clients: int, tell: bool
) -> None:
    crowd = Crowd(trouble.setting.ports, trouble.chance)
    began = time.monotonic()
    rests = max(RESTS_LEAST, round(seconds / REST_EVERY))
    trouble.haste = REST_EVERY * rests / seconds
    crowd.start(clients)
    for number in range(rests):
        trouble.any_victim = number < rests / 2
        trouble.start()
        before = len(crowd.calls)
        await asyncio.sleep(max(0.0, began + (number + 1) * seconds / rests - time.monotonic()))
        await trouble.stop()
        await crowd.rest()
        pids = await asyncio.to_thread(trouble.all_there)
        now = time.monotonic() - began
        new = [_sample(now, process, pid, upstream) for process, pid in pids.items()]
        found.samples += new
        if tell:
            figures = "".join(f" | {each.resident / 2**20:6.1f} MiB {each.files:4d}" for each in new)
            print(f"| {now:5.0f} s | {len(crowd.calls) - before:6d} | {len(trouble.kills):4d}{figures} |", flush=True)
        crowd.go_on()
    await crowd.stop()
    await asyncio.to_thread(_wait_for_ledger, trouble.setting)
    found.seconds = time.monotonic() - began
    found.calls, found.kills = crowd.calls, trouble.kills
    found.rotations, found.reloads = trouble.rotations, trouble.reloads


def _sample(second: float, process: str, pid: int, upstream: set[int]) -> Sample:
    """Its memory and open files, but for the connections that it keeps to its upstreams: as many as were busy."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    kept = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) in upstream:
            kept.add(f"socket:[{fields[9]}]")
    files = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            files += os.readlink(f"/proc/{pid}/fd/{name}") not in kept
    return Sample(second, process, pid, resident, files)


def _wait_for_ledger(setting: Setting) -> None:
    deadline = time.monotonic() + LEDGER_MAX
    while time.monotonic() < deadline:
        page = get(setting.admin_port, "/metrics")[1].decode()
        if "\nawfproxy_ledger_lag_records 0" in page:
            return
        time.sleep(0.2)


def report(found: Soaked) -> str:
    """The account, as a table."""
    journal, calls = found.journal, found.calls
    rows = [
        ("seconds", f"{found.seconds:,.0f}"),
        ("calls sent", f"{sum(call.sent for call in calls):,}"),
        ("ends seen by clients", f"{sum(call.whole for call in calls):,}"),
        ("cut", f"{sum(call.sent and not call.whole and not call.left for call in calls):,}"),
        ("clients that left", f"{sum(call.left for call in calls):,}"),
        ("kills, rotations, reloads", f"{len(found.kills)}, {found.rotations}, {found.reloads}"),
        ("request lines, usage lines", f"{len(journal.requests):,}, {len(journal.usages):,}"),
        ("recovered, torn lines", f"{journal.recovered}, {journal.torn}"),
        ("sent and without a record, open at a kill", f"{without_record(calls, journal)}"),
        ("outcomes", _counts(journal.outcomes)),
        ("sources", _counts(journal.sources)),
        ("statuses", _counts(Counter(str(call.status or "none") for call in calls))),
        ("laws broken", f"{len(found.broken)}"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"| {name:<{width}} | {figure} |" for name, figure in rows]
    return "\n".join([*lines, *(f"BROKEN: {each}" for each in found.broken[:SHOWN])])


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="kept; by default a temporary one, removed at the end")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = chosen.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        print("| after   |  calls | kills| each process when nothing runs: memory, open files |", flush=True)
        found = soak(directory, chosen.minutes * 60, chosen.workers, chosen.clients, chosen.seed)
    print(report(found))
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
