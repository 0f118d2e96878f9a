"""What is told when a soft cap is passed: the words, and what the answer to them means.

Rules:
- An alert is one budget in one window.  Its body says what was so when it was noticed, however often it is sent.
- 2xx: it is told.  408, 429, 5xx and no answer at all: once more, after the next of `RETRY_SECONDS`, or after what
  `Retry-After` asks for if that is longer (`RETRY_AFTER_MAX` at most).  After the last one it is given up, and at once
  with any other status: also with a redirect, which is not followed.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from awfproxy.core.budgets import Scope
from awfproxy.core.records import timestamp
from awfproxy.core.windows import Period

#: the one event there is
SOFT_CAP_PASSED: Final = "soft_cap_passed"
#: seconds between two attempts: a restart of the receiver is over within seconds, an outage often within minutes
RETRY_SECONDS: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
#: seconds for which `Retry-After` is obeyed
RETRY_AFTER_MAX: Final = 3600.0
#: statuses below 500 that ask for another attempt (RFC 9110 section 15.5.9, RFC 6585 section 4)
_AGAIN: Final = frozenset({408, 429})
#: digits of `Retry-After`: more is no time that anybody means
_DIGITS_MAX: Final = 10


class Alert(msgspec.Struct, frozen=True):
    """More than its soft cap is used of a budget."""

    scope: Scope
    period: Period
    #: seconds since the epoch
    window_start: int
    window_end: int
    #: tokens
    used: int
    soft_cap: int
    hard_cap: int
    #: seconds since the epoch, when it was noticed
    at: float

    @property
    def window(self) -> tuple[Scope, Period, int]:
        """What is told once."""
        return self.scope, self.period, self.window_start


def body(alert: Alert, instance: str) -> bytes:
    """An alert as JSON; times are ISO 8601 in UTC.

    :param instance: the installation's id
    """
    return msgspec.json.encode(
        {
            "event": SOFT_CAP_PASSED,
            "port": alert.scope.port,
            "scope": alert.scope.kind,
            "name": alert.scope.name,
            "period": alert.period,
            "window_start": timestamp(alert.window_start),
            "window_end": timestamp(alert.window_end),
            "used_tokens": alert.used,
            "soft_cap_tokens": alert.soft_cap,
            "hard_cap_tokens": alert.hard_cap,
            "instance": instance,
            "timestamp": timestamp(alert.at),
        }
    )


class Reply(msgspec.Struct, frozen=True):
    """How an attempt to tell went."""

    #: None: there was no answer
    status: int | None
    #: the header's value
    retry_after: str | None = None
    #: why there was none, without anything of the URL but its host
    why: str = ""

    @property
    def delivered(self) -> bool:
        """The receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300


def pause(reply: Reply, attempts: int, now: float) -> float | None:
    """Seconds until the next attempt; None: it is given up.

    :param reply: that says it was not delivered
    :param attempts: that were made, this one included
    :param now: seconds since the epoch
    """
    status = reply.status
    if status is not None and status < 500 and status not in _AGAIN:
        return None
    if attempts > len(RETRY_SECONDS):
        return None
    asked = None if reply.retry_after is None else _seconds(reply.retry_after.strip(), now)
    return max(RETRY_SECONDS[attempts - 1], min(asked or 0.0, RETRY_AFTER_MAX))


def _seconds(text: str, now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:_DIGITS_MAX])
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
