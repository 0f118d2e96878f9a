"""A start waits until the budgets can be spent.

Ports are bound by then, so clients wait where the kernel queues them.  Calls that were accepted before the ledger has
answered would wait too, each within its own `admission_wait`, and be refused where the machine is busy.

Rules: a start without budgets does not wait at all, and nobody waits for a ledger of which it is known that it does not
answer.  After `START_WAIT` calls are accepted whatever the ledger does: what becomes of them then is for admission.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import txaio
from twisted.internet.task import LoopingCall

txaio.use_twisted()
log = txaio.make_logger()

#: seconds that a start waits at most: opening a ledger takes half a second, many seconds on a machine that is busy
START_WAIT: Final = 10.0
#: seconds between two looks
LOOK_SECONDS: Final = 0.02


class StartWait:
    """See the module.

    :param opening: tells whether there is something to wait for
    :param begin: called once, when there is not, or not any more
    :param failed: told what went wrong where `begin` was called later than by `start`
    """

    def __init__(
        self, opening: Callable[[], bool], begin: Callable[[], None], failed: Callable[[Any], None], clock: Any
    ) -> None:
        self._opening = opening
        self._begin = begin
        self._failed = failed
        self._clock = clock
        self._until = 0.0
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def start(self) -> None:
        """Begin, at once or soon."""
        if not self._opening():
            self._begin()
            return
        self._until = self._clock.seconds() + START_WAIT
        self._looking.start(LOOK_SECONDS, now=False).addErrback(self._failed)

    def end(self) -> None:
        """Wait no longer: begin now, if that has not been done."""
        if self._looking.running:
            self._looking.stop()
            self._begin()

    def cancel(self) -> None:
        """Do not begin."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        if not self._opening():
            self.end()
        elif self._clock.seconds() >= self._until:
            log.warn("the ledger is not ready after {seconds:g} s: calls are accepted all the same", seconds=START_WAIT)
            self.end()
