"""Tells people once when records are not written as they should be, and once when they are again.

A full disk fails every append, a bad one every second one: a line for each would hide what matters, and fill the disk
that has the log too.  So the journal is looked at twice a second, and what is found makes one story: it begins with the
first trouble, gets one line more if calls are refused, and one more if records are dropped, and is over once all has
been well for `CALM_SECONDS`.  An append that failed between two looks is trouble too.

`health.journal_condition` says how it is at this moment; this says what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import txaio

from awfproxy.server.health import journal_trouble
from awfproxy.server.intake import Intake

txaio.use_twisted()
log = txaio.make_logger()

#: seconds without trouble after which it is said to be over: a disk that fails now and then is one story, not many
CALM_SECONDS: Final = 5.0


class _Story:
    """One trouble, from its first sign on."""

    def __init__(self, began: float, released: int, dropped: int) -> None:
        self.began = began
        self.last = began
        self.released = released
        self.dropped = dropped
        self.told_full = False
        self.told_dropped = False


class JournalWatch:
    """See the module; `look` is called now and then in the reactor thread.

    :param record_wait: seconds after which ends of answers are released without their record
    :param released: how many were, ever
    """

    def __init__(self, journal: Intake, record_wait: float, released: Callable[[], int]) -> None:
        self._journal = journal
        self._record_wait = record_wait
        self._released = released
        self._errors = 0
        self._dropped = 0
        self._story: _Story | None = None

    def look(self, now: float) -> None:
        """Log what is new.

        :param now: seconds that only grow
        """
        journal, dropped = self._journal, self._journal.dropped
        trouble = journal_trouble(journal, self._record_wait)
        if trouble is None and journal.errors > self._errors:
            trouble = journal.last_error
        if trouble is None and dropped > self._dropped:
            trouble = "records are dropped"
        if trouble is not None:
            self._goes_on(now, trouble)
        elif self._story is not None and now - self._story.last >= CALM_SECONDS:
            self._is_over(self._story)
        self._errors, self._dropped = journal.errors, dropped

    def _goes_on(self, now: float, trouble: str) -> None:
        journal, story = self._journal, self._story
        if story is None:
            self._story = story = _Story(now, self._released(), self._dropped)
            log.error("journal: {trouble}; what cannot be written waits in memory", trouble=trouble)
        story.last = now
        if journal.full and not story.told_full:
            story.told_full = True
            log.error("journal: {count} records wait: calls are refused", count=journal.queue_records)
        if journal.dropped > story.dropped and not story.told_dropped:
            story.told_dropped = True
            log.error("journal: no place is left for the records of refusals: they are dropped")

    def _is_over(self, story: _Story) -> None:
        self._story = None
        dropped = self._journal.dropped - story.dropped
        log.warn(
            "journal: writing again; in {seconds:.0f} s {released} ends of answers went out before their record"
            "{dropped}",
            seconds=story.last - story.began, released=self._released() - story.released,
            dropped=f", and {dropped} records of refusals were dropped" if dropped else "",
        )  # fmt: skip
