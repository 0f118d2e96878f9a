"""The rates by which this process reserves and settles dollars: found in the ledger's thread, kept here.

To find a price takes milliseconds, and the first time half a second; the reactor thread only looks into a table.
Prices change at dates, so a rate that is older than `KEPT_SECONDS` is looked up again, and serves until the answer is
there.  Models are named by clients, who may make names up, so:

- The table is bounded.  The rate that nobody has asked for longest makes way, and one by which a call was charged
  within `CHARGED_SECONDS` only where all are such: a made-up name is refused by the provider, and charged nothing.
- What is looked up waits in `turns`, which keeps the names of one asker from holding up those of the others.
- A lookup is not begun when all who wanted it are gone.

A call that is over can wait longer for its price than one that is to be let in: `charge` asks again when the ledger is
back (`retry`), when a rush of names is over, and every `RETRY_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

import msgspec
import txaio
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from awfproxy.prices.charges import Rate
from awfproxy.server.allowance import Cancel
from awfproxy.server.turns import Turns

txaio.use_twisted()
log = txaio.make_logger()

#: seconds for which a rate is not looked up again
KEPT_SECONDS: Final = 600.0
#: models of all providers: a few hundred bytes each
RATES_MAX: Final = 1024
#: seconds for which a rate that has charged a call does not make way for one that has not
CHARGED_SECONDS: Final = 3600.0
#: lookups that the ledger's thread has at once: milliseconds each, between which it does its other work
AT_ONCE: Final = 4
#: names that wait for one asker; its calls with further ones are answered without a rate
NAMES_MAX: Final = 64
#: calls that wait for a rate at once; they are answered without one beyond
WAITING_MAX: Final = 4096
#: calls that are over and wait to be charged, likewise
KEPT_MAX: Final = 1024
#: seconds after which they ask again, whatever has happened
RETRY_SECONDS: Final = 30.0
#: models without a price that are told of: each once, and a log is not for lists
TOLD_MAX: Final = 64

Found = Callable[[Rate | None], None]
#: looks a rate up: provider, model, moment; the answer comes in a later turn, None where there is none now
LookUp = Callable[[str, str, float, Found], None]
Key = tuple[str, str]

#: askers of this module's own
_RENEWALS: Final = "renewals"
_OVER: Final = "calls that are over"


class _Known(msgspec.Struct):
    """A rate, and from when on it is looked up again; when a call was charged by it last."""

    rate: Rate
    until: float
    charged: float


class _Kept(msgspec.Struct, frozen=True):
    """A call that is over and could not be charged."""

    provider: str
    model: str
    asked_for: str
    answered: Found


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
        #: by provider and model; who was asked for last comes last
        self._known: dict[Key, _Known] = {}
        #: who waits for a rate, by what tells one asking from another
        self._asked: dict[Key, dict[object, Found]] = {}
        self._turns: Turns[Key] = Turns()
        #: of those the ones that the ledger's thread has
        self._begun: set[Key] = set()
        self._waiting = 0
        #: what is asked again
        self._kept: list[_Kept] = []
        self._retry_at: IDelayedCall | None = None
        self._told: set[Key] = set()

    def known(self, provider: str, model: str) -> Rate | None:
        """The rate of a model; None: `ask` for it."""
        found = self._find((provider, model), self._now())
        return None if found is None else found.rate

    def ask(self, provider: str, model: str, answered: Found, asker: Hashable = None) -> Cancel:
        """Look a rate up; ``answered`` is called in a later turn, with None where there is none now.

        :param asker: whose names wait for one another
        :returns: forgets the asking; harmless after its answer
        """
        key = (provider, model)
        if self.look_up is None or self._waiting >= WAITING_MAX or (
            key not in self._asked and self._turns.waiting(asker) >= NAMES_MAX
        ):  # fmt: skip
            timer = self._clock.callLater(0, answered, None)
            return lambda: timer.cancel() if timer.active() else None
        asking = object()
        self._waiting += 1
        waiting = self._queue(key, asker, {asking: answered})

        def cancel() -> None:
            if waiting.pop(asking, None) is not None:
                self._waiting -= 1

        return cancel

    def charge(self, provider: str, model: str, asked_for: str, answered: Found) -> None:
        """The rate of a call that is over: of the model that answered, and if that cannot be found now, of the one that
        was asked for.  ``answered`` is called when one is known; with None only where too many wait.
        """

        rate = self._charged(provider, model)
        if rate is not None:
            answered(rate)
            return

        def found(rate: Rate | None) -> None:
            if rate is None:
                rate = self._charged(provider, asked_for)
            else:
                self._charged(provider, model)
            if rate is None and len(self._kept) < KEPT_MAX:
                self._keep(_Kept(provider, model, asked_for, answered))
            else:
                answered(rate)

        self.ask(provider, model, found, _OVER)

    def renew(self) -> None:
        """Prices may be others now: each is looked up again when it is asked for next, and serves until then."""
        for known in self._known.values():
            known.until = float("-inf")

    def retry(self) -> None:
        """The ledger is back: charge the calls that are over."""
        if self._retry_at is not None and self._retry_at.active():
            self._retry_at.cancel()
        self._retry_at = None
        kept, self._kept = self._kept, []
        for each in kept:
            self.charge(each.provider, each.model, each.asked_for, each.answered)

    # -- inside

    def _find(self, key: Key, now: float) -> _Known | None:
        """Somebody asks for a rate."""
        found = self._known.pop(key, None)
        if found is None:
            return None
        self._known[key] = found
        if now >= found.until and key not in self._asked and self.look_up is not None:
            self._queue(key, _RENEWALS, {})
        return found

    def _charged(self, provider: str, model: str) -> Rate | None:
        """A rate that a call is charged by, if it is known."""
        now = self._now()
        found = self._find((provider, model), now)
        if found is None:
            return None
        found.charged = now
        return found.rate

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        if self._retry_at is None:
            self._retry_at = self._clock.callLater(RETRY_SECONDS, self.retry)

    def _queue(self, key: Key, asker: Hashable, more: dict[object, Found]) -> dict[object, Found]:
        """Have a rate looked up in its turn, for these and those who wait for it already; all who do."""
        waiting = self._asked.setdefault(key, {})
        waiting.update(more)
        if key not in self._begun:
            # also where another asker wants it: its turn may come later
            self._turns.add(asker, key)
            self._begin()
        return waiting

    def _begin(self) -> None:
        while self.look_up is not None and len(self._begun) < AT_ONCE:
            turn = self._turns.next()
            if turn is None:
                return
            asker, key = turn
            waiting = self._asked.get(key)
            if waiting is None or key in self._begun:
                continue  # it had another asker's turn
            if not waiting and asker != _RENEWALS:
                del self._asked[key]  # all are gone
                continue
            self._begun.add(key)
            self.look_up(*key, self._now(), partial(self._found, key))

    def _found(self, key: Key, rate: Rate | None) -> None:
        self._begun.discard(key)
        waiting = self._asked.pop(key)
        self._waiting -= len(waiting)
        if rate is not None:
            self._remember(key, rate)
        answered = list(waiting.values())
        waiting.clear()  # none of them can be cancelled any more
        for each in answered:
            try:
                each(rate)
            except Exception:  # the others wait too
                log.failure("a call broke on its price")
        self._begin()
        if rate is not None and not self._asked:
            self.retry()  # the ledger is well, and the rush that some were kept for is over

    def _remember(self, key: Key, rate: Rate) -> None:
        now = self._now()
        before = self._known.pop(key, None)
        if before is None and len(self._known) >= RATES_MAX:
            lately = now - CHARGED_SECONDS
            seldom = (each for each, known in self._known.items() if known.charged < lately)
            del self._known[next(seldom, next(iter(self._known)))]
        charged = float("-inf") if before is None else before.charged
        self._known[key] = _Known(rate, now + KEPT_SECONDS, charged)
        if rate.unpriced:
            self._tell(key, rate)

    def _tell(self, key: Key, rate: Rate) -> None:
        if key not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(key)
            provider, model = key
            log.warn(
                "{model!r} of {provider} has no price, and counts in dollar budgets as {name}, the dearest there is:"
                " give it a price in the file that `prices` in the configuration names",
                model=model, provider=provider, name=rate.price.name,
            )  # fmt: skip
