"""`awf logs token-usage` on a million records, beside DuckDB and jq on the same file.

    python -m bench.reports [--records 1000000] [--of awfproxy|awf] [--keep FILE]

The files are generated (`report_records`), with records that stand in them twice: one as awfproxy writes them, with the
provider's own usage and hints, one as AWF's api-proxy does.  All three answer the same question: calls and tokens by
provider and model, each record once; what they print is compared.  CPU is user and system time of
the process, memory its largest resident set; DuckDB is held to one thread, as the others have one, and jq holds a list
of all records, because it has no set to ask whether it met one.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import awfproxy
from bench.pace import pace
from bench.report_records import lines

#: CPU seconds and MB for a million records (docs/reports.md)
CPU_MAX, MEMORY_MAX = 5.0, 80.0
MILLION: Final = 1_000_000
#: whose records
AWF: Final = "awf"
WRITERS: Final = ("awfproxy", AWF)
#: records above which jq is left out: it holds them all
JQ_MAX: Final = 1_000_000

_SQL: Final = """
set threads = 1; set enable_progress_bar = false;
with once as (select any_value(columns(*)) from read_json('{path}', format = 'newline_delimited', columns = {{
    request_id: 'VARCHAR', provider: 'VARCHAR', model: 'VARCHAR', input_tokens: 'BIGINT', output_tokens: 'BIGINT',
    cache_read_tokens: 'BIGINT', cache_write_tokens: 'BIGINT'}}) group by request_id)
select provider, model, count(*), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens)
from once group by all
"""
_DUCKDB: Final = """
import json, sys, duckdb
for statement in sys.argv[1].split(';'):
    found = duckdb.sql(statement)
print(json.dumps([[str(value) for value in row] for row in found.fetchall()]))
"""
_JQ: Final = """
[inputs | [.request_id, .provider, .model, .input_tokens, .output_tokens, .cache_read_tokens, .cache_write_tokens]]
| unique_by(.[0]) | group_by([.[1], .[2]])
| map([.[0][1], .[0][2], length, (map(.[3]) | add), (map(.[4]) | add), (map(.[5]) | add), (map(.[6]) | add)]
    | map(tostring))
"""

Rows = set[tuple[str, ...]]


def main() -> int:
    """Prints the table; 1 if the answers differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=MILLION)
    parser.add_argument("--of", choices=WRITERS, help="whose records; both if left out")
    parser.add_argument("--keep", metavar="FILE", help="where the records are, or are to be; with --of")
    options = parser.parse_args()
    if options.keep and not options.of:
        parser.error("--keep needs --of")
    print(f"Now {pace()}.\n")
    differs = 0
    for writer in (options.of,) if options.of else WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(options.keep or f"{folder}/token-usage.jsonl")
            if not path.is_file():
                with path.open("wb") as file:
                    file.writelines(lines(options.records, of_awf=writer == AWF))
            print(f"Records of {writer}: ", end="")
            differs |= _compare(str(path), options.records)
    return differs


def _compare(path: str, records: int) -> int:
    size = os.path.getsize(path)
    # What is measured is not that the modules were changed and had to be compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(os.path.dirname(awfproxy.__file__), quiet=2)
    print(f"{records:,} records and some of them twice, {size / 1e6:,.0f} MB ({size / records:,.0f} bytes each)\n")
    print(f"{'':<28}{'CPU s':>8}{'clock s':>9}{'MB':>7}")
    awf = [sys.executable, "-m", "awfproxy", "logs", "token-usage", "--format", "json", path]
    peers: dict[str, tuple[Sequence[str], Any]] = {
        "awfproxy, with costs": (awf, _of_awfproxy),
        "awfproxy, --no-cost": ([*awf, "--no-cost"], _of_awfproxy),
        "duckdb, one thread": ([sys.executable, "-c", _DUCKDB, _SQL.format(path=path)], _of_rows),
        "jq": (["jq", "-n", "-c", _JQ, path], _of_rows),
    }
    answers: dict[str, Rows] = {}
    for name, (command, read) in peers.items():
        missing = _missing(name, records)
        if missing:
            print(f"{name:<28}{missing:>24}")
            continue
        out, cpu, clock, memory = _run(command)
        print(f"{name:<28}{cpu:>8.2f}{clock:>9.2f}{memory:>7.0f}{_verdict(name, cpu, memory, records)}")
        if out is not None:
            answers[name] = read(json.loads(out))
    same = len({frozenset(rows) for rows in answers.values()}) == 1
    print(f"\nAnswers: {'equal to the last token' if same else 'DIFFERENT'}.\n")
    return 0 if same else 1


def _missing(name: str, records: int) -> str | None:
    if name == "jq" and shutil.which("jq") is None:
        return "not installed"
    if name == "jq" and records > JQ_MAX:
        return "takes too much memory"
    if name.startswith("duckdb"):
        found = subprocess.run([sys.executable, "-c", "import duckdb"], capture_output=True, check=False)
        return None if found.returncode == 0 else "not installed"
    return None


def _run(command: Sequence[str]) -> tuple[bytes | None, float, float, float]:
    """Output, CPU and clock seconds, and MB; the output of a command that failed is None."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.monotonic()
        # By way of a shell: the largest resident set of a child is at first that of who started it.
        process = subprocess.Popen(["/bin/sh", "-c", 'exec "$@"', "sh", *command], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        clock = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            print(f"  failed: {err.read()[:500]!r}")
            return None, used.ru_utime + used.ru_stime, clock, used.ru_maxrss / 1024
        return out.read(), used.ru_utime + used.ru_stime, clock, used.ru_maxrss / 1024


def _verdict(name: str, cpu: float, memory: float, records: int) -> str:
    if not name.startswith("awfproxy") or records != MILLION:
        return ""
    missed = [what for what, over in (("CPU", cpu > CPU_MAX), ("memory", memory > MEMORY_MAX)) if over]
    return f"  MISSED: {', '.join(missed)}" if missed else ""


def _of_awfproxy(body: dict[str, Any]) -> Rows:
    names = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return {
        (each["group"]["provider"], each["group"]["model"], *(str(each[name] or 0) for name in names))
        for each in body["groups"]
    }


def _of_rows(rows: list[list[str]]) -> Rows:
    return {tuple(row) for row in rows}


if __name__ == "__main__":
    sys.exit(main())
