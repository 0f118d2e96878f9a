"""Writes what the commands of docs/tutorial.md and docs/findings.md print into them anew: `make docs`.

Of a block with lines left out (``...``) each part is found again by the first word of its first line, and is as long as
it was.  The prose around it is a person's: read the difference.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

PAGES = [Path(__file__).resolve().parent / name for name in ("tutorial.md", "findings.md")]
OMITTED = "..."
_BLOCK = re.compile(r"^```console\n\$ (?P<command>.*?)\n(?P<told>.*?)^```$", re.MULTILINE | re.DOTALL)


def anew(told: str, printed: str) -> str:
    """What a block has after its command.

    :param told: what it has now
    :param printed: what the command has printed
    """
    lines = [line.rstrip() for line in printed.rstrip("\n").split("\n")]
    before = told.rstrip("\n").split("\n")
    parts = [part.strip("\n").split("\n") for part in f"\n{chr(10).join(before)}\n".split(f"\n{OMITTED}\n")]
    found: list[str] = []
    at = 0
    for part in parts:
        if part == [""]:  # the block begins or ends with what is left out
            continue
        word = part[0].split()[0]
        begin = next(place for place in range(at, len(lines)) if lines[place].split()[:1] == [word])
        end = len(lines) if part is parts[-1] else begin + len(part)
        found += [OMITTED] * (begin > at) + lines[begin:end]
        at = end
    return "\n".join(found + [OMITTED] * (at < len(lines))) + "\n"


def page(text: str, folder: str) -> str:
    """The page, its commands run in a folder that has the demonstration in it."""

    def block(match: re.Match[str]) -> str:
        done = subprocess.run(
            ["bash", "-c", match["command"]], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        return f"```console\n$ {match['command']}\n{anew(match['told'], done.stdout)}```"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["awf", "demo", "--into", "demo"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        for each in PAGES:
            each.write_text(page(each.read_text(), folder))
