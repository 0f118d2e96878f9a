"""Puts the service together: which network, which journal, who shares what."""

from __future__ import annotations

import time
from typing import Any

import txaio
from twisted.application.service import IService

from awfproxy.core.settings import Settings
from awfproxy.server.journal import Journal
from awfproxy.server.lifecycle import Lifecycle
from awfproxy.server.loop_network import LoopNetwork
from awfproxy.server.network import Network
from awfproxy.server.reactor_network import ReactorNetwork
from awfproxy.server.service import ProxyService
from awfproxy.server.shared import Shared

log = txaio.make_logger()


def network_of(reactor: Any) -> Network:
    """The loop's own transports where the reactor runs on uvloop, else Twisted's.

    Plain asyncio transports are not used: they are slower than Twisted's with direct send.
    """
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is not None and type(loop).__module__.partition(".")[0] == "uvloop":
        return LoopNetwork(loop)
    return ReactorNetwork(reactor)


def assemble(settings: Settings, reactor: Any, foreground: bool) -> IService:
    """The service of one process; opens nothing."""
    loop = getattr(reactor, "_asyncioEventloop", None)
    journal = Journal(
        settings.service.log_dir,
        call_from_thread=reactor.callFromThread if loop is None else loop.call_soon_threadsafe,
        clock=reactor,
        call_soon=None if loop is None else loop.call_soon,
    )
    shared = Shared(settings, reactor, network_of(reactor), journal, time.monotonic, time.time)
    return Lifecycle(ProxyService(settings, reactor, shared), reactor, foreground)
