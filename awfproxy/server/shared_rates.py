"""The counters of rate limits that several workers share, in memory that all of them map.

Each port that has limits, and each user of it that has, is a *party* with a region of `core.rates`: a page for each
worker, which alone writes it.  Where a party's region lies follows from the settings, which all workers have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from awfproxy.core.rates import REGION_WORDS, RateLimits, Rates, forget_calls
from awfproxy.core.settings import Settings
from awfproxy.server.shared_memory import Area

#: name of the area
RATES: Final = "rates"
_WORD: Final = 8

Party = tuple[str, str | None]


def rates_bytes(settings: Settings) -> int:
    """Bytes of the area; at least one page, since there is no area of none."""
    return max(1, len(_parties(settings))) * _region(settings)


def shared_rates(area: Area, settings: Settings, slot: int) -> Callable[[str, str | None, RateLimits], Rates]:
    """A function from a port, a user of it (None: the port itself) and its limits to the counters.

    :param slot: of the worker that counts with them
    """
    places = {party: place for place, party in enumerate(_parties(settings))}
    length = _region(settings)

    def rates(port: str, user: str | None, limits: RateLimits) -> Rates:
        place = places[port, user]
        return Rates(limits, memoryview(area.bytes)[place * length : (place + 1) * length].cast("q"), slot)

    return rates


def forget_worker(area: Area, settings: Settings, slot: int) -> None:
    """The worker in this slot has died: none of its calls runs any more."""
    length = _region(settings)
    for place in range(len(_parties(settings))):
        begin, end = place * length // _WORD, (place + 1) * length // _WORD
        with memoryview(area.bytes) as whole, whole.cast("q") as words, words[begin:end] as region:
            forget_calls(region, slot)


def _parties(settings: Settings) -> list[Party]:
    found: list[Party] = []
    for port in settings.ports:
        if port.limits != RateLimits():
            found.append((port.name, None))
        users = {client.user: client.limits for client in port.clients}
        found += [(port.name, user) for user, limits in users.items() if limits != RateLimits()]
    return found


def _region(settings: Settings) -> int:
    return REGION_WORDS * _WORD * settings.service.workers
