"""Which budgets a call must pass, by the names of its port, its user and its feature.

What was found is remembered, as it is asked for with every call; when a budget is named or forgotten, all is looked up
anew.  Features are named by clients, who may make names up, so no more than `FOUND_MAX` answers are kept.
"""

from __future__ import annotations

from typing import Final

from awfproxy.core.budgets import Scope
from awfproxy.core.settings import OTHER_FEATURES
from awfproxy.server.allowance import Allowance

#: ports, users and features that are remembered together: some hundred bytes each
FOUND_MAX: Final = 1024


class NamedAllowances:
    """The caps in tokens of a process."""

    def __init__(self) -> None:
        #: by port, then by kind and name of the scope
        self._ports: dict[str, dict[tuple[str, str], Allowance]] = {}
        self._found: dict[tuple[str, str | None, str], tuple[Allowance, ...]] = {}

    def name(self, scope: Scope, allowance: Allowance) -> None:
        """From now on calls of the scope must pass it."""
        self._ports.setdefault(scope.port, {})[scope.kind, scope.name] = allowance
        self._found.clear()

    def forget(self, scope: Scope) -> None:
        """No call must pass the budget of this scope any more (harmless where there is none)."""
        self._ports.get(scope.port, {}).pop((scope.kind, scope.name), None)
        self._found.clear()

    def of(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        """As `Allowances.of`."""
        key = (port, user, feature)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[key] = self._find(port, user, feature)
        return found

    def _find(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        named = self._ports.get(port, {})
        listed = ("feature", feature)
        keys = [
            ("port", ""),
            *(() if user is None else (("user", user),)),
            listed if listed in named else ("feature", OTHER_FEATURES),
        ]
        return tuple(named[key] for key in keys if key in named)
