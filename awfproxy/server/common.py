"""What the ports of a process need, put together for the reactor that it runs on."""

from __future__ import annotations

import time
from typing import Any

from awfproxy.core.settings import Settings
from awfproxy.server.journal import Journal
from awfproxy.server.network import Network
from awfproxy.server.shared import Shared


def on_uvloop(reactor: Any) -> bool:
    """Whether the reactor is Twisted's asyncio one on a uvloop loop."""
    return type(getattr(reactor, "_asyncioEventloop", None)).__module__.partition(".")[0] == "uvloop"


def network_of(reactor: Any) -> Network:
    """The loop's own transports where the reactor runs on uvloop, else Twisted's.

    Plain asyncio transports are not used: they are slower than Twisted's with direct send.
    """
    # Imported here because the other one is not needed, and Twisted's endpoints take a quarter of a second: a worker
    # that has died is to be back within one.
    if on_uvloop(reactor):
        from awfproxy.server.loop_network import LoopNetwork

        return LoopNetwork(reactor._asyncioEventloop)
    from awfproxy.server.reactor_network import ReactorNetwork

    return ReactorNetwork(reactor)


def shared_of(settings: Settings, reactor: Any, *, shared_journal: bool = False, **common: Any) -> Shared:
    """What the ports of one process share; opens nothing.

    :param shared_journal: other processes append to the same files
    :param common: what all workers have in common, as `Shared` takes it
    """
    loop = getattr(reactor, "_asyncioEventloop", None)
    journal = Journal(
        settings.service.log_dir,
        call_from_thread=reactor.callFromThread if loop is None else loop.call_soon_threadsafe,
        clock=reactor,
        call_soon=None if loop is None else loop.call_soon,
        shared=shared_journal,
    )
    return Shared(settings, reactor, network_of(reactor), journal, time.monotonic, time.time, **common)
