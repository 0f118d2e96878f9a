"""Whether the proxy is well, in words.

Live is: the process answers.  Ready is: it accepts calls now.  Degraded is: it works, but a promise is in danger; each
watched condition says why.  An accounting proxy that silently does not account is worse than one that is down, so the
time of the last record is part of every answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from awfproxy import __version__
from awfproxy.core.records import timestamp
from awfproxy.server.intake import Intake

Condition = Callable[[], str | None]

STARTING: Final = "starting"
READY: Final = "ready"
DRAINING: Final = "draining"


class Health:
    """Conditions, the state of the service, and when a record was last written.

    :param now: seconds since the epoch
    :param last_record: likewise, of the last record that was written; None: none yet
    """

    def __init__(self, now: Callable[[], float], last_record: Callable[[], float | None]) -> None:
        self._now = now
        self._last_record = last_record
        self._began = now()
        self._conditions: dict[str, Condition] = {}
        #: STARTING, READY or DRAINING; set by whoever opens and closes the listeners
        self.state = STARTING
        #: reasons of other processes of the same service, told from outside
        self.others: dict[str, str] = {}

    def watch(self, name: str, condition: Condition) -> None:
        """Ask ``condition`` each time; it returns why it is not well, or None.

        :raises ValueError: the name is taken
        """
        if name in self._conditions:
            raise ValueError(f"{name} is watched already")
        self._conditions[name] = condition

    @property
    def ready(self) -> bool:
        return self.state == READY

    def reasons(self) -> dict[str, str]:
        """What is not well, by name, here and elsewhere."""
        return self.others | self.own_reasons()

    def own_reasons(self) -> dict[str, str]:
        """What is not well in this process; a condition that breaks is not well."""
        found = {}
        for name, condition in self._conditions.items():
            try:
                reason = condition()
            except Exception as error:
                reason = f"cannot be told ({type(error).__name__})"
            if reason is not None:
                found[name] = reason
        return found

    def degraded(self) -> bool:
        """Whether anything is not well."""
        return bool(self.reasons())

    def report(self) -> dict[str, Any]:
        """The body of ``/health``.  It names no paths, keys or hosts unless a condition does."""
        reasons = self.reasons()
        last = self._last_record()
        return {
            "status": "degraded" if reasons else "ok",
            "reasons": reasons,
            "state": self.state,
            "last_record": None if last is None else timestamp(last),
            "uptime_seconds": round(self._now() - self._began, 3),
            "version": __version__,
        }


def journal_trouble(journal: Intake, record_wait: float) -> str | None:
    """What is wrong with the records at this moment: errors, a write that hangs without one, no room for more.

    :param record_wait: seconds after which ends of answers are released without their record
    """
    found = [] if journal.degraded is None else [journal.degraded]
    oldest = journal.oldest_waiting()
    if oldest is not None and oldest > record_wait:
        found.append(f"{journal.queue_records} records wait, the oldest for {oldest:.0f} s")
    if journal.full:
        found.append("calls are refused")
    return "; ".join(found) or None


def journal_condition(journal: Intake, record_wait: float) -> Condition:
    """`journal_trouble`, and records that are gone for good."""

    def condition() -> str | None:
        trouble = journal_trouble(journal, record_wait)
        if trouble is None and journal.dropped:
            return f"{journal.dropped} records were dropped"
        return trouble

    return condition
