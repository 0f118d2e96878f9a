"""One worker's process, as its supervisor sees it: started, spoken to, listened to, buried.

It is started with a channel, a pair of sockets for what it prints, and the descriptors that it inherits; nothing else
of the supervisor's is open in it.  It has a session of its own: a terminal's signals reach the supervisor alone.  Its
end is told by the channel's, which the kernel closes with the process; its status is then waited for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import txaio

from awfproxy.server.control_channel import ControlChannel, OutputLines, adopt
from awfproxy.server.control_messages import FromWorker, Message

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks whether a process that let go of its channel has ended
LOOK_EVERY: Final = 0.01
#: seconds after which it is killed if it has not
LINGER: Final = 5.0


def worker_command(reactor: str) -> list[str]:
    """How a worker is started, to which the number of its channel is added."""
    # modules are found where the supervisor finds them (`WorkerProcess`), and not (-P) in the working folder besides
    return [sys.executable, "-P", "-m", "awfproxy.worker", reactor]


class WorkerProcess:
    """A process from its start to its end.

    :param command: its arguments; the number of the channel's descriptor is added
    :param inherited: descriptors that it has under the same numbers
    :param line: told each line that it prints
    :param ended: told its exit status, negative for a signal, once, after the last message
    :raises OSError: it cannot be started
    """

    def __init__(
        self,
        command: Sequence[str],
        inherited: Sequence[int],
        reactor: Any,
        received: Callable[[FromWorker], None],
        line: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:
        self._reactor = reactor
        self._ended = ended
        ours, theirs = socket.socketpair()
        heard, printed = socket.socketpair()
        with theirs, printed:
            # what it prints is lost rather than waited for, where the supervisor does not read
            printed.setblocking(False)
            try:
                self._child = subprocess.Popen(
                    [*command, str(theirs.fileno())], pass_fds=[theirs.fileno(), *inherited], stdin=subprocess.DEVNULL,
                    stdout=printed.fileno(), stderr=printed.fileno(), start_new_session=True,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                )  # fmt: skip
            except BaseException:
                ours.close()
                heard.close()
                raise
        self._channel = ControlChannel(False, received, self._let_go)  # type: ignore[arg-type]
        adopt(reactor, ours, self._channel)
        adopt(reactor, heard, OutputLines(line))

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Tell it something; see `ControlChannel.send`."""
        self._channel.send(message, descriptors)

    def kill(self) -> None:
        """End it at once."""
        if self._child.returncode is None:  # not waited for yet, so the pid is still its own
            self._child.kill()

    def _let_go(self) -> None:
        self._bury(self._reactor.seconds() + LINGER)

    def _bury(self, deadline: float) -> None:
        status = self._child.poll()
        if status is not None:
            self._ended(status)
            return
        if self._reactor.seconds() > deadline:
            log.error("process {pid} has let go of its channel and does not end: it is killed", pid=self.pid)
            self.kill()
            deadline = float("inf")
        self._reactor.callLater(LOOK_EVERY, self._bury, deadline)
