"""What a supervisor knows of the worker in one slot.

A slot is `STARTING` until its first worker has opened its files, `READY` from then on, and `GONE` between the death of
a worker and the start of the next one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from awfproxy.core.workers import RESTARTS_AT_ONCE
from awfproxy.server.control_messages import Told
from awfproxy.server.recruits import Running

STARTING: Final = "starting"
READY: Final = "ready"
GONE: Final = "gone"

#: deaths that are remembered: beyond `RESTARTS_AT_ONCE`, what doubles the delay to its longest
DEATHS_KEPT: Final = RESTARTS_AT_ONCE + 8


class Slot:
    """What is known of one worker."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = STARTING
        self.process: Running | None = None
        #: on the reactor's clock
        self.deaths: deque[float] = deque(maxlen=DEATHS_KEPT)
        self.heard = 0.0
        #: looks since then
        self.silent_looks = 0
        self.told: Told | None = None
        self.serves: list[int] = []
        self.serving: list[int] = []
        #: why it is gone, and why it could not start
        self.why = ""
        self.failure = ""
        self.restart: IDelayedCall | None = None
        #: its worker was told to drain for another one, which is an answer to this question once it accepts nothing
        self.retired: int | None = None
