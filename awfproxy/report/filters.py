"""Which records a report is about.

Rules: everything asked for must hold; of several values for one thing, one of them.  A record that does not say what is
asked for is left out.  The time of a call is that of its admission (`Row.when`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from typing import Any, Final, Protocol

from awfproxy.report.times import CANONICAL, comparable

#: names whose answer is remembered for a pattern
REMEMBERED_MAX: Final = 4_096


class Filtered(Protocol):
    """What is looked at."""

    @property
    def model(self) -> str | None: ...

    @property
    def when(self) -> str | None: ...


class Filters:
    """What must hold.

    :param since: canonical; calls of that moment and later
    :param until: canonical; calls before that moment
    :param model: glob patterns (`*`, `?`, `[...]`), small and capital letters alike
    :param members: by a row's member the values that are wanted, of which there is at least one
    """

    def __init__(
        self,
        since: str | None = None,
        until: str | None = None,
        model: Sequence[str] = (),
        members: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.since = since
        self.until = until
        self.model = tuple(model)
        self.members = {name: tuple(values) for name, values in (members or {}).items() if values}
        self._pattern = re.compile("|".join(translate(each) for each in self.model), re.IGNORECASE)
        self._models: dict[str, bool] = {}
        self._tests: list[Callable[[Any], bool]] = []
        if since is not None or until is not None:
            self._tests.append(self._in_time)
        if self.model:
            self._tests.append(self._of_model)
        for name, values in self.members.items():
            self._tests.append(_one_of(name, frozenset(values)))

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self._tests)

    def before(self, runs: Sequence[str]) -> Filters:
        """The same for what records are compared with, which is other work at another time.

        :param runs: which runs of it; none: all
        """
        return Filters(None, None, self.model, {**self.members, "run": runs})

    def wants(self, row: Filtered) -> bool:
        """Whether all holds for this record."""
        return all(test(row) for test in self._tests)

    def facts(self) -> dict[str, Any]:
        """What was asked for, for JSON."""
        asked = {"since": self.since, "until": self.until, "model": list(self.model), **self.members}
        return {name: value for name, value in asked.items() if value}

    def _in_time(self, row: Filtered) -> bool:
        when = comparable(row.when)
        if when is None:
            return False
        return (self.since is None or when >= self.since) and (self.until is None or when < self.until)

    def _of_model(self, row: Filtered) -> bool:
        name = row.model
        if name is None:
            return False
        wanted = self._models.get(name)
        if wanted is None:
            wanted = self._pattern.match(name) is not None
            if len(self._models) < REMEMBERED_MAX and len(name) <= CANONICAL * 10:
                self._models[name] = wanted
        return wanted


def _one_of(name: str, values: frozenset[str]) -> Callable[[Any], bool]:
    return lambda row: getattr(row, name) in values
