"""The rates that a call of one port must pass: those of the port, and those of its user.

Counters outlive settings: a party's are the same under the next ones, with other limits (`Rates.change`), so that what
was counted stays, and calls that run are settled where they were counted.
"""

from __future__ import annotations

from collections.abc import Callable

from awfproxy.core.rates import RateLimits, Rates
from awfproxy.core.settings import Port as PortSettings

#: the counters of a port (None), or of a user of it; the limits are for those that are made
RatesOf = Callable[[str, str | None, RateLimits], Rates]


class CountedRates:
    """Of one port, under one value of its settings."""

    def __init__(self, settings: PortSettings, rates: RatesOf) -> None:
        users = {client.user: client.limits for client in settings.clients}
        limits: list[tuple[str | None, RateLimits]] = [(None, settings.limits), *users.items()]
        #: by party, what is counted and the limits that hold from `take_effect` on
        self._parties = {
            user: (rates(settings.name, user, each), each) for user, each in limits if each != RateLimits()
        }
        #: of the port itself; None: it has no limits
        self.of_port = self._parties[None][0] if None in self._parties else None
        self._by_user = {user: self._passed(user) for user in (None, *users)}
        #: some limit is one of tokens
        self.in_tokens = any(each.tokens_per_minute is not None for _, each in self._parties.values())

    def of(self, user: str | None) -> tuple[Rates, ...]:
        """What a call must pass.

        :param user: None: the port has no clients
        """
        return self._by_user[user]

    def take_effect(self) -> None:
        """From now on these limits hold, for those too who wait under other settings."""
        for rates, limits in self._parties.values():
            if rates.limits != limits:
                rates.change(limits)

    def _passed(self, user: str | None) -> tuple[Rates, ...]:
        parties = (None,) if user is None else (None, user)
        return tuple(self._parties[each][0] for each in parties if each in self._parties)


class KeptRates:
    """Makes each party's counters once.

    :param make: makes those of a party
    """

    def __init__(self, make: RatesOf) -> None:
        self.make = make
        self._made: dict[tuple[str, str | None], Rates] = {}

    def __call__(self, port: str, user: str | None, limits: RateLimits) -> Rates:
        """As `RatesOf`: what was made before has the limits that it had."""
        made = self._made.get((port, user))
        if made is None:
            made = self._made[port, user] = self.make(port, user, limits)
        return made
