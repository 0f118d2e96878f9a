"""The ledger against the journal: what differs, rows made anew, lost tokens given back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from awfproxy.commands.failure import CommandFailed
from awfproxy.commands.journal import ALWAYS, Journal
from awfproxy.core.settings import Settings
from awfproxy.core.windows import Period, window_start
from awfproxy.ledger.budget_desk import in_effect, moment
from awfproxy.ledger.facts import Release, Window
from awfproxy.ledger.interface import BATCH_ROWS, Ledger
from awfproxy.ledger.rows import Difference, Row
from awfproxy.report.reading import many

#: differences that are kept to be listed; there may be millions, and a hundred tell what is wrong
LISTED_MAX: Final = 1000
#: the end of time: the last second that a datetime can tell
FOREVER: Final = 253_402_300_799.0
#: seconds after which what differed on a running service is looked at again: calls go on, and their rows come within
#: one second of their records
RECHECK_SECONDS: Final = 3.0

Read = Callable[[int], None]


class Verified(msgspec.Struct):
    """What `verify` found."""

    since: float
    until: float
    records: int = 0
    #: by kind of `Difference`
    counts: dict[str, int] = {}
    #: the first `LISTED_MAX`
    differences: list[Difference] = []

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def current_period(settings: Settings, ledger: Ledger, now: float) -> tuple[Period, float]:
    """The longest period that an enabled budget has, and its start; of a month where none is enabled."""
    budgets = in_effect(settings, ledger.settings()).values()
    found: set[Period] = {budget.period for budget in budgets if budget.enabled} or {"month"}
    longest = min(found, key=lambda period: window_start(period, now))
    return longest, window_start(longest, now)


def verify(
    journal: Journal, ledger: Ledger, since: float, until: float, *, runs: bool, read: Read = lambda count: None
) -> Verified:
    """Where journal and ledger differ about calls admitted at ``since`` or later and before ``until``.

    :param runs: the service does, so what ended meanwhile may be in one and not yet in the other: only what still
        differs `RECHECK_SECONDS` later counts
    """
    found = _verify(journal, ledger, since, until, read, None)
    if not runs or not found.total:
        return found
    before = {(str(each.kind), each.request_id) for each in found.differences}
    time.sleep(RECHECK_SECONDS)
    return _verify(journal, ledger, since, until, read, before)


def _verify(
    journal: Journal, ledger: Ledger, since: float, until: float, read: Read, only: set[tuple[str, str]] | None
) -> Verified:
    found = Verified(since, until)

    def rows() -> Iterator[Row]:
        for row in journal.rows(read):
            found.records += 1
            yield row

    for difference in ledger.verify(journal.instance, since, until, rows()):
        # Of more differences than are kept, all count: so many do not come from calls that have just ended.
        if only is not None and len(only) < LISTED_MAX and (difference.kind, difference.request_id) not in only:
            continue
        found.counts[difference.kind] = found.counts.get(difference.kind, 0) + 1
        if len(found.differences) < LISTED_MAX:
            found.differences.append(difference)
    return found


def rebuild(
    journal: Journal,
    ledger: Ledger,
    settings: Settings,
    *,
    since: float | None,
    until: float | None,
    whole: bool,
    now: float,
    read: Read = lambda count: None,
) -> int:
    """Put the journal's rows in the place of all that this installation has in the ledger; returns how many.

    :param since: replace only what was admitted then or later; None: all that the files cover
    :param until: likewise, before; None: without end
    :param whole: somebody says that no file is missing
    :raises CommandFailed: the files do not cover the current period, or what was asked for
    """
    period, start = current_period(settings, ledger, now)
    begins, covered = journal.begins(), journal.covers_since(start)
    if begins is None or covered is None:
        raise CommandFailed("There are no usage records in the journal's files; nothing was changed.")
    covered = ALWAYS if whole else covered
    if covered > start:
        raise CommandFailed(
            f"The journal's files begin at {moment(covered)}, and the current {period} at {moment(start)}: what was"
            " used in between would not count any more. Put the older files back (rotated ones, also compressed), or"
            " say --whole if there never were any. Nothing was changed."
        )
    if since is not None and since < covered:
        raise CommandFailed(
            f"The journal's files tell all only from {moment(covered)} on: name that time or a later one, or none."
            " Nothing was changed."
        )
    first, end = covered if since is None else since, FOREVER if until is None else until
    if first < begins and not whole and (count := _only_in_ledger(journal, ledger, first, begins)):
        raise CommandFailed(
            f"The ledger has {many(count, 'call')} of this installation from before {moment(begins)}, where the"
            " journal's files begin: files are missing. Put them back, or say --whole if those calls are to go."
            " Nothing was changed."
        )
    count = ledger.rebuild(journal.instance, first, end, _all(journal, read))
    if since is None and first > ALWAYS:
        # Admitted before, and written down later: they are no one's to delete, but they are the journal's.
        _add(ledger, (row for row in journal.rows(priced=True) if row.created_at < first * 1000))
    for window in ledger.windows(now):
        ledger.recount(window, journal.instance)
    return count


def _all(journal: Journal, read: Read) -> Iterator[Row]:
    """All rows, or none: the ledger takes them when it has seen the last."""
    yield from journal.rows(read, priced=True)
    if journal.troubles:
        raise CommandFailed("\n".join([*journal.troubles, "Nothing was changed."]))


def _only_in_ledger(journal: Journal, ledger: Ledger, since: float, until: float) -> int:
    """Calls of this installation of which the journal has nothing."""
    found = ledger.verify(journal.instance, since, until, journal.rows())
    return sum(difference.kind == "extra" for difference in found)


def _add(ledger: Ledger, rows: Iterable[Row]) -> None:
    waiting = iter(rows)
    while batch := list(islice(waiting, BATCH_ROWS)):
        ledger.record(batch)


class Released(msgspec.Struct, frozen=True):
    """What became of the lost tokens of the current windows."""

    released: list[Release]
    #: windows that processes still hold pieces of, so that rows do not show all that was used
    held: list[Window]
    #: of windows that have lost nothing, what is reserved in them: by processes that run, or that were killed and that
    #: nobody has settled yet
    reserved: list[tuple[Window, int]] = []


def release(ledger: Ledger, now: float) -> Released:
    """Give back the lost tokens that no row shows; every journal must be in the ledger to its end."""
    released, held, reserved = [], [], []
    for window in ledger.windows(now):
        standing = ledger.window(window, now)
        if standing is None:
            continue
        if not standing.lost:
            if standing.reserved:
                reserved.append((window, standing.reserved))
        elif standing.holders:
            held.append(window)
        elif (done := ledger.release_lost(window)) is not None:
            released.append(done)
    return Released(released, held, reserved)
