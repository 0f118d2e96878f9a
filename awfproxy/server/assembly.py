"""Puts the service together: one process, or several."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService

from awfproxy.core.settings import Settings
from awfproxy.server.common import network_of, shared_of
from awfproxy.server.lifecycle import Lifecycle
from awfproxy.server.service import ProxyService
from awfproxy.server.supervisor import Supervisor


def assemble(settings: Settings, reactor: Any, foreground: bool) -> IService:
    """The service of the process that was started: it serves, or supervises those that do; opens nothing."""
    if settings.service.workers > 1:
        return Lifecycle(Supervisor(settings, reactor, network_of(reactor).name), reactor, foreground)
    return Lifecycle(ProxyService(settings, reactor, shared_of(settings, reactor)), reactor, foreground)
