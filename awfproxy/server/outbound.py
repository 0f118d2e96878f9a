"""Connections of a process to all its upstreams: no more than the files that are for them.

Clients get half of the files, so that each has one left for its call (`guests`).  Idle connections are what upstreams
have beyond running calls: where there are as many connections as files for them, the one that has been idle for
longest, of whatever upstream, is closed for a new one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awfproxy.server.upstream import UpstreamConnection


class Outbound:
    """All connections to upstreams."""

    def __init__(self) -> None:
        #: none are counted out until the process knows its limit
        self.most = sys.maxsize
        #: those with a call, or being made for one
        self.busy = 0
        #: those without, the longest first
        self.idle: dict[UpstreamConnection, None] = {}

    def make_room(self) -> None:
        """One is going to be made: close idle ones if there are too many; with nothing idle it is made all the same."""
        while self.idle and self.busy + len(self.idle) >= self.most:
            next(iter(self.idle)).let_go()
