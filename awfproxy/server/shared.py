"""What all ports of a process share, made once."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from awfproxy.core.alerts import Alert
from awfproxy.core.background import Works
from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.hints import Hinter
from awfproxy.core.identifiers import request_ids
from awfproxy.core.keyed import KEY_BYTES
from awfproxy.core.rates import Rates
from awfproxy.core.settings import Settings
from awfproxy.server.allowance import Allowance, Allowances, NoAllowances, Standing
from awfproxy.server.body_memory import BodyMemory
from awfproxy.server.counted_rates import KeptRates, RatesOf
from awfproxy.server.guests import House
from awfproxy.server.health import Health
from awfproxy.server.intake import Intake
from awfproxy.server.network import Network
from awfproxy.server.outbound import Outbound
from awfproxy.server.shared_works import SharedWorks
from awfproxy.server.tallies import Tallies
from awfproxy.server.tariff import Tariff
from awfproxy.server.tls import client_context


class Shared:
    """Journal, counters, clocks and bounds.

    :param monotonic: seconds that only grow
    :param wall: seconds since the epoch
    :param works: the unfinished works of a port, by its name
    :param interaction_ids: of ports, where they are not for this process to choose
    :param rates: the counters of a port's limits, or of those of a user of it
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        network: Network,
        journal: Intake,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        works: Callable[[str], Works | SharedWorks] = lambda port: Works(),
        interaction_ids: Mapping[str, str] | None = None,
        rates: RatesOf = lambda port, user, limits: Rates(limits),
    ) -> None:
        self.settings = settings
        self.reactor = reactor
        self.network = network
        self.journal = journal
        self.monotonic = monotonic
        self.wall = wall
        self.new_request_id = request_ids(wall, os.urandom)
        #: has a key of its own until the service starts with the one that is kept (`hint_key`)
        self.hinter = Hinter(os.urandom(KEY_BYTES))
        self.tallies = Tallies()
        #: none until the service starts
        self.allowances: Allowances = NoAllowances()
        #: knows no price until the service starts
        self.tariff = Tariff(reactor, wall)
        #: tells what is to be told to people; nobody until the service starts
        self.alert: Callable[[Alert], None] = lambda alert: None
        self.health = Health(wall, lambda: journal.last_write)
        self.body_memory = BodyMemory(settings.service.request_memory)
        self.decoder_memory = DecoderMemory()
        self.house = House()
        self.outbound = Outbound()
        #: of a port, when it has none yet
        self.make_works = works
        self.rates = KeptRates(rates)
        self._works: dict[str, Works | SharedWorks] = {}
        self._interaction_ids = dict(interaction_ids or {})
        self._tls: ssl.SSLContext | None = None

    def works(self, port: str) -> Works | SharedWorks:
        """What goes on in the background for a port, whatever its settings are."""
        if port not in self._works:
            self._works[port] = self.make_works(port)
        return self._works[port]

    def interaction_id(self, port: str) -> str:
        """The id under which a port's calls belong together for providers that want one."""
        if port not in self._interaction_ids:
            self._interaction_ids[port] = self.new_request_id()
        return self._interaction_ids[port]

    def take_over(self, settings: Settings, interaction_ids: Mapping[str, str] | None = None) -> None:
        """These settings are in effect from now on.

        :param interaction_ids: of ports, where they are not for this process to choose
        """
        self.settings = settings
        self.body_memory.limit = settings.service.request_memory
        self._interaction_ids.update(interaction_ids or {})

    def budgets(self, port: str, user: str | None, feature: str) -> tuple[Allowance, ...]:
        """The budgets that a call must pass."""
        return self.allowances.of(port, user, feature)

    def lend(self, allowances: Allowances) -> None:
        """These are the budgets from now on."""
        self.allowances = allowances

    def soft_cap_passed(self, allowance: Allowance, standing: Standing) -> None:
        """More than a soft cap is used: once for each window of each budget."""
        assert standing.soft_cap is not None
        self.alert(
            Alert(
                allowance.scope, allowance.cap.period, standing.window_start, standing.window_end, standing.used,
                standing.soft_cap, standing.cap, self.wall(),
            )
        )  # fmt: skip

    def tls(self) -> ssl.SSLContext:
        """The context of all upstreams with TLS: reading the system's CAs takes 20 ms, once."""
        if self._tls is None:
            self._tls = client_context()
        return self._tls
