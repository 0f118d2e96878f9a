"""Runs the benchmarks of single parts (no sockets, no processes), those of them that are there.

    python -m bench.micro [scanner|request|journal|ledger|tail|admission|reports ...]

Each is a script of its own that prints its figures: `python -m bench.scanner` does the same for one.
"""

import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
PARTS = ("scanner", "request", "journal", "ledger", "tail", "admission", "reports")
PART_SECONDS = 600  # a part that takes longer is stuck


def main(names: list[str]) -> int:
    worst = 0
    for name in names or PARTS:
        if not (BENCH / f"{name}.py").exists():
            print(f"{name}: there is none")
            continue
        print(f"## {name}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        worst = max(worst, subprocess.run(command, cwd=BENCH.parent, timeout=PART_SECONDS).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
