"""What must hold after a soak.

1. A call whose end its client saw has exactly one line in ``requests.jsonl``, and if it was a model's answer with
   status 200 exactly one in ``token-usage.jsonl``.
2. A call without a line was open when a process was killed.
3. No call has two lines in a file; no usage line lacks its request line.
4. The ledger has what the journal has.
5. Descriptors and memory do not grow.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awfproxy.simulator.setting import Setting
from bench.soak_clients import Call

#: seconds after its client has seen the last of a call in which its record may still have been on its way: reading on
#: after a client left (2 s), a look at timeouts (0.5 s), and a busy machine
ON_ITS_WAY = 4.0
#: seconds from SIGKILL until the kernel has closed the process's sockets, on a busy machine
DYING = 0.5
#: what a process may grow by from the third to the fourth quarter: calls that have ended wait for the collector
#: (`server.ports.GC_OLDER`), as many at a time as there are clients, and an allocator keeps what it freed
GROWTH_BYTES, GROWTH_FILES = 12 << 20, 12
#: samples of a process without which its growth cannot be told
SAMPLES_LEAST = 4


@dataclass
class Journal:
    """The lines of all files of a log folder."""

    requests: Counter[str] = field(default_factory=Counter)
    usages: Counter[str] = field(default_factory=Counter)
    #: the clients' names of calls, by request id
    names: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    torn: int = 0


def read_journal(folder: Path) -> Journal:
    """All of it, rotated files too."""
    journal = Journal()
    for path in sorted(folder.iterdir()):
        lines = journal.requests if path.name.startswith("requests.jsonl") else journal.usages
        for text in path.read_bytes().splitlines():
            try:
                line: dict[str, Any] = json.loads(text)
            except ValueError:
                journal.torn += bool(text)
                continue
            lines[line["request_id"]] += 1
            if lines is journal.requests:
                journal.names[line["request_id"]] = line.get("client_request_id", "")
                journal.outcomes[line["outcome"]] += 1
                journal.sources[line["usage_source"]] += 1
                journal.recovered += bool(line.get("recovered"))
    return journal


def broken_by_records(calls: Sequence[Call], kills: Sequence[float], journal: Journal) -> list[str]:
    """Laws 1 to 3, where they do not hold, in words."""
    found = [
        f"{name} has {count} lines"
        for lines in (journal.requests, journal.usages)
        for name, count in lines.items()
        if count > 1
    ]
    found += [f"{name} has a usage line alone" for name in journal.usages.keys() - journal.requests.keys()]
    by_name = Counter(journal.names.values())
    for call in calls:
        if call.whole and call.request_id not in journal.requests:
            found.append(f"{call.name} ({call.kind.name}): its end was seen, and there is no record")
        elif call.whole and call.status == 200 and call.request_id not in journal.usages:
            found.append(f"{call.name} ({call.kind.name}): its end was seen, and there is no usage line")
        elif call.sent and not by_name[call.name] and not _open_at(call, kills):
            found.append(
                f"{call.name} ({call.kind.name}) after {call.after}: no record, and no process was killed under it"
            )
        elif by_name[call.name] > 1:
            found.append(f"{call.name} ({call.kind.name}): {by_name[call.name]} records")
    return found


def without_record(calls: Sequence[Call], journal: Journal) -> int:
    """Calls that were sent and left none."""
    names = set(journal.names.values())
    return sum(call.sent and call.name not in names for call in calls)


def _open_at(call: Call, kills: Sequence[float]) -> bool:
    # what goes to a dying process reaches nobody: the kernel takes connections for it until all its memory is freed
    dying = DYING if call.status is None else 0.0
    return any(call.began - dying <= kill <= call.ended + ON_ITS_WAY for kill in kills)


def broken_by_ledger(setting: Setting, directory: Path) -> list[str]:
    """Law 4, by ``awf ledger verify`` on the stopped service."""
    environment = setting.environment | {"PYTHONPATH": ":".join(sys.path), "HOME": str(directory)}
    done = subprocess.run(
        [sys.executable, "-m", "awfproxy", "ledger", "verify", "--config", str(setting.config)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    return [] if done.returncode == 0 else [f"the ledger differs from the journal:\n{done.stdout}{done.stderr}"]


@dataclass
class Sample:
    """How one process was when nothing ran."""

    second: float
    process: str
    pid: int
    resident: int
    files: int


def broken_by_growth(samples: Sequence[Sample]) -> list[str]:
    """Law 5, of each process that lived through the second half."""
    found = []
    last = max((sample.second for sample in samples), default=0.0)
    for pid in {sample.pid for sample in samples}:
        own = [sample for sample in samples if sample.pid == pid and sample.second >= last / 2]
        if len(own) < SAMPLES_LEAST or own[-1].second < last:
            continue
        middle = len(own) // 2
        for what, most in (("resident", GROWTH_BYTES), ("files", GROWTH_FILES)):
            before = statistics.median(getattr(each, what) for each in own[:middle])
            after = statistics.median(getattr(each, what) for each in own[middle:])
            if after - before > most:
                found.append(f"{what} of {own[0].process} grew from {before:,.0f} to {after:,.0f}")
    return found
