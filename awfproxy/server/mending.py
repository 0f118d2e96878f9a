"""Both files of a log directory, made whole before anybody appends to them: what a crash left incomplete.

Only while no process writes: a torn last line is closed with a newline, and request lines that are missing are added
(`recovery`).
"""

from __future__ import annotations

from typing import Final

import txaio

from awfproxy.server import recovery
from awfproxy.server.logfile import LogFile

txaio.use_twisted()
log = txaio.make_logger()

USAGE_FILE: Final = "token-usage.jsonl"
REQUESTS_FILE: Final = "requests.jsonl"


def mend(usage: LogFile, requests: LogFile, processes: int = 1) -> None:
    """Open (or make) both files, and complete them.

    :param processes: how many may have written them
    :raises OSError: a file cannot be made, opened or written
    """
    for file in (usage, requests):
        if file.open():
            log.warn("journal: the last line of {name} was torn and has been closed with a newline", name=file.name)
    found = recovery.recover(usage.path, requests.path, processes)
    if found.lines:
        requests.owe(b"".join(found.lines))
        requests.flush()
    tell(found)


def tell(found: recovery.Found) -> None:
    """Say what was added."""
    if found.lines:
        log.warn("journal: {count} lines missing from requests.jsonl were recovered", count=len(found.lines))
    if found.unsure:
        log.warn("journal: {why}", why=found.unsure)
