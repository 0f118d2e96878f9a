"""Coverage-guided fuzzing of the ground-floor parsers, with atheris (the extra `fuzz`).

``python -m tests.fuzz [--seconds N] [--jobs N] [--folder FOLDER] [TARGET...]`` fuzzes the targets (`targets.TARGETS`, by
default all of them) for N seconds together, in as many processes at a time as there are jobs.  What broke a promise is in
FOLDER/findings, the inputs that were found interesting in FOLDER/corpus, for the next run.  Exit status 1: something was
found.  To see one again: ``python -m tests.fuzz --replay FILE TARGET``; to keep it: copy it to ``tests/fuzz/findings``
as TARGET-what-it-was.bin.

``AWFPROXY_CORPUS`` names a folder of recorded answers to begin with, besides the project's own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.seeds import WORDS, recorded, seeds

#: shares of the time: the scanner is what providers' bytes meet first, and the largest
SHARES = {
    "scan": 10, "outlines": 4, "decoders": 2, "peek": 2, "conversation": 3, "fields": 2, "requests": 3, "responses": 2,
    "held": 1,
}  # fmt: skip
#: bytes of an input at most, and seconds that one may take
INPUT_MAX = 2048
TIMEOUT = 20


class Ran(NamedTuple):
    """One target's run."""

    target: str
    runs: int
    covered: str
    found: list[Path]
    said: str


def fuzz_here(target: str, arguments: list[str]) -> None:
    """Become libFuzzer on one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["awfproxy"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def run(target: str, seconds: int, folder: Path) -> Ran:
    """Fuzz one target for some time in a process of its own."""
    corpus = folder / "corpus" / target
    findings = folder / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target) + _recorded(target):
        (corpus / sha1(seed).hexdigest()).write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    before = set(findings.iterdir())
    command = [
        sys.executable, "-m", "tests.fuzz", "--here", target, f"-max_total_time={seconds}", f"-max_len={INPUT_MAX}",
        f"-timeout={TIMEOUT}", f"-artifact_prefix={findings}/{target}-", f"-dict={words}", "-print_final_stats=1",
        str(corpus),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    found = sorted(path for path in set(findings.iterdir()) - before if path.name.startswith(f"{target}-"))
    runs = re.search(r"stat::number_of_executed_units: (\d+)", said)
    covered = re.findall(r"cov: (\d+) ft: (\d+)", said)
    if done.returncode and not found:
        raise RuntimeError(f"{target} could not be fuzzed:\n{said}")
    return Ran(target, int(runs[1]) if runs else 0, "/".join(covered[-1]) if covered else "?", found, said)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _recorded(target: str) -> list[bytes]:
    folder = Path(os.environ.get("AWFPROXY_CORPUS", ""))
    if target != "scan" or not folder.name:
        return []
    return [bytes([number % 256] * 16) + body for number, body in enumerate(recorded(folder))]


def main() -> int:
    """Run what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=600, help="of all targets together (600)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--folder", type=Path, default=Path(".work/fuzz"), help="for findings and corpora (.work/fuzz)")
    parser.add_argument("--replay", type=Path, help="an input to read again")
    parser.add_argument("target", nargs="*", choices=[*SHARES, []])
    chosen = parser.parse_args()
    names = chosen.target or list(SHARES)
    if chosen.replay is not None:
        from tests.fuzz.targets import TARGETS

        for name in names:
            TARGETS[name](chosen.replay.read_bytes())
        return 0
    shares = sum(SHARES[name] for name in names)
    jobs = min(chosen.jobs, len(names))
    print(f"{len(names)} targets, {jobs} at a time; findings go to {chosen.folder / 'findings'}", flush=True)
    found: list[Path] = []
    with ThreadPoolExecutor(jobs) as pool:
        runs = [
            pool.submit(run, name, max(chosen.seconds * SHARES[name] * jobs // shares, 1), chosen.folder)
            for name in names
        ]
        for ran in runs:
            result = ran.result()
            print(f"{result.target:14} {result.runs:9} runs, coverage/features {result.covered}", flush=True)
            for path in result.found:
                print(f"  FOUND {path}\n{_why(result.said)}", flush=True)
            found += result.found
    return 1 if found else 0


def _why(said: str) -> str:
    """The end of the traceback that a finding's run printed."""
    start = said.rfind("=== Uncaught Python exception: ===")
    return said[start : said.find("==", start + 40)].rstrip() if start >= 0 else said[-2000:]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        fuzz_here(sys.argv[2], sys.argv[3:])
    sys.exit(main())
