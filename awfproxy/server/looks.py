"""Looks at what waits for something: one that breaks must end neither the others nor those to come.

They run in a `LoopingCall`, which an exception stops for good: then no time limit of the process would hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txaio

txaio.use_twisted()
log = txaio.make_logger()


class Looks:
    """Calls them, and tells once of each kind that breaks: it would be told twice a second."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, look: Callable[[float], object], now: float) -> None:
        """Look.

        :param now: seconds that only grow
        """
        try:
            look(now)
        except Exception:
            self.broke(look)

    def broke(self, look: Callable[..., Any]) -> None:
        """It raised what is being handled."""
        if look.__qualname__ not in self._told:
            self._told.add(look.__qualname__)
            log.failure("a look broke, which is told once: {look}", look=look.__qualname__)
