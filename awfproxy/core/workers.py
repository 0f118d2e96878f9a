"""Rules of several processes on the same sockets: who serves which, and when a dead one is started again.

A *slot* is the number of a worker, from 0; it stays while processes come and go in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

#: deaths within `RESTART_WINDOW` seconds after which a worker is started again at once: whatever killed it may come
#: again, but one that cannot run must not keep a core busy with starting
RESTARTS_AT_ONCE: Final = 5
RESTART_WINDOW: Final = 60.0
#: seconds before the first start that waits; twice as many before each further one, up to the longest
RESTART_FIRST: Final = 1.0
RESTART_LONGEST: Final = 30.0


def serving(workers: int, ready: Collection[int], first_start: Collection[int]) -> dict[int, list[int]]:
    """For each ready slot, the slots whose sockets it serves.

    Its own, and those of dead ones before it: a connection that the kernel put into a dead worker's queue would wait
    until there is a new one.  What is still in its first start gets its own soon.
    """
    served: dict[int, list[int]] = {slot: [] for slot in sorted(ready)}
    for slot in range(workers):
        if slot in first_start or not ready:
            continue
        by = next(other % workers for other in range(slot, slot + workers) if other % workers in ready)
        served[by].append(slot)
    return served


def restart_delay(deaths: Iterable[float], now: float) -> float:
    """Seconds until a worker is started again.

    :param deaths: when workers of its slot died, the last one included; on the clock of ``now``
    """
    beyond = sum(now - died < RESTART_WINDOW for died in deaths) - RESTARTS_AT_ONCE
    return 0.0 if beyond <= 0 else min(RESTART_FIRST * 2.0 ** (beyond - 1), RESTART_LONGEST)
