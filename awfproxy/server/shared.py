"""What all ports of a process share, made once."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Any

from awfproxy.core.decoders import DecoderMemory
from awfproxy.core.hints import Hinter
from awfproxy.core.identifiers import request_ids
from awfproxy.core.keyed import KEY_BYTES
from awfproxy.core.settings import Settings
from awfproxy.server.body_memory import BodyMemory
from awfproxy.server.health import Health
from awfproxy.server.intake import Intake
from awfproxy.server.network import Network
from awfproxy.server.tallies import Tallies
from awfproxy.server.tls import client_context


class Shared:
    """Journal, counters, clocks and bounds.

    :param monotonic: seconds that only grow
    :param wall: seconds since the epoch
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        network: Network,
        journal: Intake,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
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
        self.health = Health(wall, lambda: journal.last_write)
        self.body_memory = BodyMemory(settings.service.request_memory)
        self.decoder_memory = DecoderMemory()
        #: the service is stopping
        self.draining = False
        self._tls: ssl.SSLContext | None = None

    def tls(self) -> ssl.SSLContext:
        """The context of all upstreams with TLS: reading the system's CAs takes 20 ms, once."""
        if self._tls is None:
            self._tls = client_context()
        return self._tls
