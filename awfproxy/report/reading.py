"""Reading records: each once, the broken ones counted by what is wrong with them.

Rules: nothing of a file is held but what a report makes of it, the ids of the records met, and one line.  Two records
of one kind with the same `request_id` are the same record; a record without an id is always another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awfproxy.report.rows import COUNTLESS, MALFORMED, MISTYPED, OTHER

#: how the names of our files begin, rotated ones too, and how those begin that are made from them
USAGE, USAGE_BUT, REQUESTS = "token-usage", "token-usage-by-turn", "requests"
#: bytes of a short record: a file's size divided by it is about as many as it can hold
LINE_LEAST: Final = 600

#: What is wrong with lines, in words.
_WORDS: Final = {MALFORMED: "not JSON", MISTYPED: "not as in a record", COUNTLESS: "without counts"}


class Remarks:
    """What was left out of a report, and why."""

    def __init__(self) -> None:
        #: lines that are no records, by reason (`rows.REASONS`)
        self.bad: dict[str, int] = {}
        #: lines that are longer than any record
        self.too_long = 0
        #: records seen before
        self.duplicates = 0
        #: of these, those that tell something else than the first
        self.differing = 0
        #: whole sentences about files that could not be read, or not to their end
        self.troubles: list[str] = []

    def count(self, reason: str) -> None:
        """A line that is no record."""
        self.bad[reason] = self.bad.get(reason, 0) + 1

    @property
    def skipped(self) -> int:
        """Lines that are no records of any kind."""
        return self.too_long + sum(count for reason, count in self.bad.items() if reason != OTHER)

    def reasons(self) -> dict[str, int]:
        """Lines that are no records of any kind, by reason."""
        found = {reason: count for reason, count in sorted(self.bad.items()) if reason != OTHER}
        return found | ({"too_long": self.too_long} if self.too_long else {})

    def sentences(self) -> list[str]:
        """Whole sentences about what was left out."""
        said = list(self.troubles)
        if self.skipped:
            why = [f"{count:,} {_WORDS.get(reason, 'too long')}" for reason, count in self.reasons().items()]
            said.append(f"{many(self.skipped, 'line')} skipped: {', '.join(why)}.")
        if others := self.bad.get(OTHER):
            said.append(f"{many(others, 'line')} left out: records of another kind.")
        if self.duplicates:
            other = f"; {self.differing:,} with other figures, of which the first count" if self.differing else ""
            said.append(f"{many(self.duplicates, 'record')} met again under the same request_id, counted once{other}.")
        return said


def many(count: int, noun: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def expected(size: int, files: Sequence[str]) -> int:
    """About how many records files of so many bytes have; compressed ones have more."""
    packed = any(path.endswith((".gz", ".zst")) for path in files)
    return size // LINE_LEAST * (8 if packed else 1)
