"""Soft caps: nothing is refused for one that is passed, but it is said.  They are in tokens.

To the client on every answer, in `X-AWF-Budget`; to the operator once in each window of each budget.  Budgets are
looked at with each sweep of their port, twice a second, and not with each call.  Each process notices it once; who
started them all says it once (`alerts`).
"""

from __future__ import annotations

from collections.abc import Callable

from awfproxy.core.budgets import Scope
from awfproxy.server.allowance import Allowance, Standing

SoftCapPassed = Callable[[Allowance, Standing], None]


class SoftCaps:
    """The budgets of one port.

    :param passed: told once a window
    """

    def __init__(self, passed: SoftCapPassed) -> None:
        self._told = passed
        #: by scope, the start of the window in which it was passed last; empty: there is nothing to say
        self.passed: dict[Scope, int] = {}

    def look(self, allowance: Allowance, standing: Standing) -> None:
        """How an enabled budget stands now."""
        if standing.soft_exceeded and self.passed.get(allowance.scope) != standing.window_start:
            self.passed[allowance.scope] = standing.window_start
            self._told(allowance, standing)

    def notice(self, allowance: Allowance, now: float) -> bytes | None:
        """The value of `X-AWF-Budget`; None: there is nothing to say.

        :param now: seconds since the epoch
        """
        if allowance.scope not in self.passed or not allowance.cap.enabled or allowance.cap.soft is None:
            return None
        standing = allowance.standing(now)
        if not standing.soft_exceeded:
            return None
        value = b"soft-cap; used=%d; cap=%d" % (standing.used, allowance.cap.soft)
        kind = allowance.scope.kind
        return value if kind == "port" else value + b"; scope=" + kind.encode("ascii")
