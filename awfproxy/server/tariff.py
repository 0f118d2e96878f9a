"""The rates by which this process reserves and settles dollars: found in the ledger's thread, kept here.

To find a price takes milliseconds, and the first time half a second; the reactor thread only looks into a table.
Prices change at dates, so a rate that is older than `KEPT_SECONDS` is looked up again, and serves until the answer is
there.  Models are named by clients: the table is bounded, and the oldest entry makes way.

A call that is over can wait longer for its price than one that is to be let in: `charge` answers when the ledger is
back (`retry`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import txaio
from twisted.internet.interfaces import IReactorTime

from awfproxy.prices.charges import Rate

txaio.use_twisted()
log = txaio.make_logger()

#: seconds for which a rate is not looked up again
KEPT_SECONDS: Final = 600.0
#: models of all providers: a few hundred bytes each
RATES_MAX: Final = 1024
#: calls that wait for a rate at once; they are answered without one beyond
WAITING_MAX: Final = 4096
#: calls that are over and wait for the ledger to come back, likewise
KEPT_MAX: Final = 1024
#: models without a price that are told of: each once, and a log is not for lists
TOLD_MAX: Final = 64

Found = Callable[[Rate | None], None]
#: looks a rate up: provider, model, moment; the answer comes in a later turn, None where there is none now
LookUp = Callable[[str, str, float, Found], None]


class Tariff:
    """See the module.

    :param clock: for answers in a later turn
    :param now: seconds since the epoch
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        #: None: there is no ledger, so nothing has a price
        self.look_up: LookUp | None = None
        #: by provider and model, with the moment from which on it is looked up again
        self._known: dict[tuple[str, str], tuple[Rate, float]] = {}
        self._asked: dict[tuple[str, str], list[Found]] = {}
        #: what is asked again when the ledger is back
        self._kept: list[tuple[str, str, Found]] = []
        self._waiting = 0
        self._told: set[tuple[str, str]] = set()

    def known(self, provider: str, model: str) -> Rate | None:
        """The rate of a model; None: `ask` for it."""
        found = self._known.get((provider, model))
        if found is None:
            return None
        rate, until = found
        if self._now() >= until and (provider, model) not in self._asked:
            self._look_up((provider, model))
        return rate

    def ask(self, provider: str, model: str, answered: Found) -> None:
        """Look a rate up; ``answered`` is called in a later turn, with None where there is none now."""
        if self.look_up is None or self._waiting >= WAITING_MAX:
            self._clock.callLater(0, answered, None)
            return
        key = (provider, model)
        self._waiting += 1
        waiting = self._asked.get(key)
        if waiting is not None:
            waiting.append(answered)
        else:
            self._look_up(key, answered)

    def charge(self, provider: str, model: str, asked_for: str, answered: Found) -> None:
        """The rate of a call that is over: of the model that answered, and if that cannot be found now, of the one that
        was asked for.  ``answered`` is called when one is known; with None only where too many wait.
        """

        def found(rate: Rate | None) -> None:
            rate = rate or self.known(provider, asked_for)
            if rate is None and len(self._kept) < KEPT_MAX:
                self._kept.append((provider, model, answered))
            else:
                answered(rate)

        rate = self.known(provider, model)
        if rate is None:
            self.ask(provider, model, found)
        else:
            answered(rate)

    def retry(self) -> None:
        """The ledger is back."""
        kept, self._kept = self._kept, []
        for provider, model, answered in kept:
            self.charge(provider, model, model, answered)

    def _look_up(self, key: tuple[str, str], *answered: Found) -> None:
        if self.look_up is not None:
            self._asked[key] = list(answered)
            self.look_up(*key, self._now(), lambda rate: self._found(key, rate))

    def _found(self, key: tuple[str, str], rate: Rate | None) -> None:
        waiting = self._asked.pop(key)
        self._waiting -= len(waiting)
        if rate is not None:
            if key not in self._known and len(self._known) >= RATES_MAX:
                del self._known[next(iter(self._known))]
            self._known[key] = rate, self._now() + KEPT_SECONDS
            if rate.unpriced:
                self._tell(key, rate)
        for answered in waiting:
            try:
                answered(rate)
            except Exception:  # the others wait too
                log.failure("a call broke on its price")

    def _tell(self, key: tuple[str, str], rate: Rate) -> None:
        if key not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(key)
            provider, model = key
            log.warn(
                "{model!r} of {provider} has no price, and counts in dollar budgets as {name}, the dearest there is:"
                " give it a price in the file that `prices` in the configuration names",
                model=model, provider=provider, name=rate.price.name,
            )  # fmt: skip
