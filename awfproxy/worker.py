"""A worker's process: ``python -m awfproxy.worker REACTOR CHANNEL``, started by a supervisor and by nobody else.

The other front door beside `awfproxy.tap`: it takes the reactor that its supervisor runs on, imports everything, learns
over the channel what to do, and prints its log for the supervisor, each event with its level before it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final

from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogBeginner
from twisted.python.reflect import namedModule
from zope.interface import provider

from awfproxy import uvloop_reactor
from awfproxy.server.control_messages import read_assignment

#: the descriptor on which the supervisor reads
STDERR: Final = 2


def main() -> None:
    """Run, and end with 0, or with 1 if it could not start or records were lost."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor is told, and tells
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reactor_name, channel = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    globalLogBeginner.beginLoggingTo([_print], redirectStandardIO=False)
    if reactor_name == "uvloop":
        uvloop_reactor.install()
    else:
        namedModule(reactor_name).install()
    from twisted.internet import reactor as installed

    from awfproxy.server.common import network_of
    from awfproxy.server.worker import Worker

    reactor: Any = installed
    network_of(reactor)  # for what it imports
    channel.setblocking(True)
    descriptors: list[int] = []
    assignment = read_assignment(channel, descriptors)
    if assignment is None:
        return
    worker = Worker(assignment, channel, descriptors, reactor)
    signal.signal(signal.SIGTERM, lambda number, frame: reactor.callFromThread(worker.stop))
    worker.stopped.addCallback(lambda _: reactor.stop())
    reactor.callWhenRunning(worker.start)
    reactor.run(installSignalHandlers=False)
    os._exit(worker.exit_status)  # a thread that writes to a stalled disk must not be waited for


@provider(ILogObserver)
def _print(event: LogEvent) -> None:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    level = event["log_level"].name if "log_level" in event else "info"
    with suppress(OSError):  # nobody reads any more, or not fast enough
        os.write(STDERR, "".join(f"[{level}] {line}\n" for line in text.splitlines()).encode())


if __name__ == "__main__":
    main()
