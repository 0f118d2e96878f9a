"""The journal of this installation as its files have it: rows, and from when on no call can be missing.

A file holds calls in the order in which they ended, so whatever was admitted after the first line of the oldest file
was written is in the files, but for `LATE_SECONDS`: writers go on in a renamed file for a moment.  What was admitted
before may have been in a file that is gone.  Nothing is gone of an installation that is younger than the current
period; its id in the state folder has the date.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from awfproxy.commands.failure import CommandFailed
from awfproxy.core.settings import Settings
from awfproxy.core.undecodable import UNDECODABLE
from awfproxy.core.usage_line import UsageLine, decode_usage_line
from awfproxy.ledger.row_maker import row_maker
from awfproxy.ledger.rows import Row
from awfproxy.prices.charges import Charges
from awfproxy.report.lines import Lines, find_files

#: how the journal's files are named, rotated and compressed ones too, and how those begin that are made from them
PREFIX: Final = "token-usage"
BUT: Final = "token-usage-by-turn"
#: in the state folder: the id, as the service made it at its first start
INSTANCE: Final = "instance"
#: seconds for which a file that was renamed may still get lines that are younger than its successor's first; the
#: service reads it for so long itself
LATE_SECONDS: Final = 15.0
#: the beginning of time, for a journal of which nothing is missing
ALWAYS: Final = 0.0


class Journal:
    """The usage records of some files.

    :param paths: files and folders, as `find_files` takes them
    """

    def __init__(self, paths: Sequence[str], settings: Settings) -> None:
        self.instance, self._born = _installation(settings.service.state_dir)
        self.files = find_files(paths, PREFIX, BUT)
        self._row_of = row_maker(settings, self.instance)
        charges = Charges(settings.service.prices, time.monotonic)
        self._priced_row_of = row_maker(settings, self.instance, charges.charge)
        #: lines that are no usage records of this schema, in the last pass
        self.skipped = 0
        #: whole sentences about files that could not be read to their end, in the last pass
        self.troubles: list[str] = []

    def begins(self) -> float | None:
        """When the call of the first line of all ended, seconds since the epoch; None: there is no line."""
        return min((end for end in map(_first_end, self.files) if end is not None), default=None)

    def covers_since(self, period_start: float) -> float | None:
        """From when on no admitted call is missing, `ALWAYS` if none ever was; None: there is no line.

        :param period_start: of the longest period that budgets have now
        """
        begins = self.begins()
        if begins is None:
            return None
        return ALWAYS if self._born >= period_start else begins + LATE_SECONDS

    def rows(self, read: Callable[[int], None] = lambda count: None, *, priced: bool = False) -> Iterator[Row]:
        """All rows, one pass.

        :param read: told now and then how many lines were read
        :param priced: with what each call cost
        """
        row_of = self._priced_row_of if priced else self._row_of
        lines = Lines(self.files)
        self.skipped = 0
        count = 0
        for count, line in enumerate(lines, 1):
            row = _row(line, row_of)
            if row is not None:
                yield row
            elif not line.isspace():
                self.skipped += 1
            if not count % 1000:
                read(count)
        read(count)
        self.skipped += lines.too_long
        self.troubles = lines.troubles


def _row(line: bytes, row_of: Callable[[UsageLine], Row | None]) -> Row | None:
    try:
        record = decode_usage_line(line)
    except UNDECODABLE:
        return None
    return row_of(record)


def _first_end(path: str) -> float | None:
    for line in Lines([path]):
        try:
            ended = datetime.fromisoformat(decode_usage_line(line).timestamp)
        except UNDECODABLE:
            continue
        return (ended if ended.tzinfo else ended.replace(tzinfo=UTC)).timestamp()
    return None


def _installation(state_dir: str) -> tuple[str, float]:
    """This installation's id, and when it was made."""
    path = os.path.join(state_dir, INSTANCE)
    try:
        with open(path, "rb") as file:
            return file.read(64).decode("ascii").strip(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        raise CommandFailed(
            f"There is no {path}, which says whose rows these are: the service has not run with this state folder."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no id"
        raise CommandFailed(f"{path} cannot be read: {why}.") from error
