"""Requests that came again and again against a limit or a budget.

Rules: only lines of requests.jsonl that tell of a refusal are read, and nothing of their order matters: of the refusals
of one port, user and run for one reason all but one came after another.
"""

from __future__ import annotations

from typing import Final

import msgspec

from awfproxy.report.analysis.board import Evidence, Found
from awfproxy.report.analysis.thresholds import Thresholds
from awfproxy.report.escaping import short
from awfproxy.report.filters import Filters
from awfproxy.report.seen import Seen
from awfproxy.report.summary import Request, read_request

#: types of refusals that are limits' (core.limit_refusals)
TYPES: Final = frozenset({"rate_limit_error", "budget_exceeded"})
#: what a line has that tells of one
_MARK: Final = b'"refusal"'
#: ports, users, runs and reasons that are told apart; others are counted together
GROUPS_MAX: Final = 4_096
#: percent
SURE: Final = 100

_Key = tuple[str | None, str | None, str | None, str | None]


class _Refused(msgspec.Struct):
    count: int = 0
    first: tuple[str, str] | None = None
    last: str = ""


class Refusals:
    """What was refused."""

    def __init__(self, filters: Filters) -> None:
        self._wanted = filters.wants if filters else None
        self._seen = Seen()
        self._groups: dict[_Key, _Refused] = {}
        #: requests that limits refused
        self.count = 0

    def take(self, line: bytes) -> bool:
        """A line of requests.jsonl, or of anything else; whether it is a request."""
        if _MARK not in line:
            return line.startswith(b'{"_schema":"requests/')
        request = read_request(line)
        if not isinstance(request, Request):
            return False
        if request.refusal not in TYPES or (self._wanted is not None and not self._wanted(request)):
            return True
        if request.request_id is not None and not self._seen.add(request.request_id):
            return True
        self.count += 1
        key = (_cut(request.run), _cut(request.port), _cut(request.user), _cut(request.refusal_code or request.refusal))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_MAX:
                return True
            group = self._groups[key] = _Refused()
        group.count += 1
        when = (request.timestamp or "", request.request_id or "")
        group.first = when if group.first is None else min(group.first, when)
        group.last = max(group.last, when[0])
        return True

    def conclude(self, limits: Thresholds) -> Found | None:
        """The finding; None: there is none."""
        again = {key: group for key, group in self._groups.items() if group.count > 1}
        if sum(group.count - 1 for group in again.values()) < limits.refused_again:
            return None
        found = Found()
        for (run, port, user, code), group in again.items():
            when, request_id = group.first or ("", "")
            figures: dict[str, int | str] = {"refused": group.count, "code": code or "?", "port": port or "?"}
            if user is not None:
                figures["user"] = user
            figures["until"] = group.last
            ids = (short(request_id),) if request_id else ()
            found.add(Evidence(when or None, (run, None, None), None, ids, SURE, 0, 0, None, figures, group.count))
            found.places.at((run, None, None)).calls += group.count - 1
            found.amounts.calls += group.count - 1
        return found


def _cut(text: str | None) -> str | None:
    return None if text is None else short(text)
