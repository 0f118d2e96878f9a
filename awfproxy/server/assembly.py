"""Puts the service together: one process, or several."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import IService

from awfproxy.core.settings import Settings
from awfproxy.server.common import network_of, shared_of
from awfproxy.server.lifecycle import Lifecycle
from awfproxy.server.notify import take_notify_socket
from awfproxy.server.reloading import Source
from awfproxy.server.service import ProxyService
from awfproxy.server.supervisor import Supervisor


def assemble(settings: Settings, source: Source, reactor: Any, foreground: bool) -> IService:
    """The service of the process that was started: it serves, or supervises those that do; opens nothing.

    :param source: where the settings are from
    """
    manager = take_notify_socket(os.environ, os.getpid())
    if settings.service.workers > 1:
        supervisor = Supervisor(settings, source, reactor, network_of(reactor).name)
        return Lifecycle(supervisor, reactor, foreground, manager)
    alone = ProxyService(settings, source, reactor, shared_of(settings, reactor))
    return Lifecycle(alone, reactor, foreground, manager)
