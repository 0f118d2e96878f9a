"""The counters of rate limits that several workers share, in memory that all of them map.

Each port that has limits, and each user of it that has, is a *party* with a region of `core.rates`: a page for each
worker, which alone writes it.  A party's place is its place in a list, which all workers have, and to which other
settings only add: so a place is never another party's, and who comes back finds what was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from awfproxy.core.rates import REGION_WORDS, RateLimits, Rates, forget_calls
from awfproxy.core.settings import Settings
from awfproxy.server.shared_memory import Area

#: name of the area
RATES: Final = "rates"
_WORD: Final = 8

Party = tuple[str, str | None]


def parties(settings: Settings, before: Sequence[Party] = ()) -> list[Party]:
    """All that have limits, behind those that had some before."""
    found = list(before)
    for port in settings.ports:
        users = {client.user: client.limits for client in port.clients}
        for user, limits in ((None, port.limits), *users.items()):
            if limits != RateLimits() and (port.name, user) not in found:
                found.append((port.name, user))
    return found


def rates_bytes(count: int, workers: int) -> int:
    """Bytes of the area for so many parties; at least one region, since there is no area of none."""
    return max(1, count) * _region(workers)


def shared_rates(
    area: Area, among: Sequence[Party], workers: int, slot: int
) -> Callable[[str, str | None, RateLimits], Rates]:
    """A function from a port, a user of it (None: the port itself) and its limits to the counters; once for each.

    :param slot: of the worker that counts with them
    """
    places = {party: place for place, party in enumerate(among)}
    length = _region(workers)

    def rates(port: str, user: str | None, limits: RateLimits) -> Rates:
        place = places[port, user]
        return Rates(limits, memoryview(area.bytes)[place * length : (place + 1) * length].cast("q"), slot)

    return rates


def forget_worker(area: Area, count: int, workers: int, slot: int) -> None:
    """The worker in this slot has died: none of its calls runs any more.

    :param count: of parties
    """
    length = _region(workers)
    for place in range(count):
        begin, end = place * length // _WORD, (place + 1) * length // _WORD
        with memoryview(area.bytes) as whole, whole.cast("q") as words, words[begin:end] as region:
            forget_calls(region, slot)


def _region(workers: int) -> int:
    return REGION_WORDS * _WORD * workers
