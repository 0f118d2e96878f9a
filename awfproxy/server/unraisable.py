"""What CPython cannot raise and so prints: where that is of clients' making, it must not fill the log with their bytes.

The name that a client asks for in its handshake (SNI) is decoded by `ssl` before our callback is called.  One that is
not ASCII refuses the handshake, as it should (RFC 6066 section 3), but `ssl` also writes a traceback to standard error,
with the name in it, each time (`PyErr_WriteUnraisable`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import txaio

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

txaio.use_twisted()
log = txaio.make_logger()


class QuietNames:
    """A hook that tells the first of these, without the name, and hands all else on.

    :param before: the hook that it stands before
    """

    def __init__(self, before: Callable[[UnraisableHookArgs], object]) -> None:
        self._before = before
        #: handshakes that were refused for their name
        self.count = 0

    def __call__(self, unraisable: UnraisableHookArgs, /) -> None:
        """As `sys.unraisablehook`."""
        if not (isinstance(unraisable.object, bytes) and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._before(unraisable)
            return
        self.count += 1
        if self.count == 1:
            log.warn("a client asked by TLS for a name that is not ASCII: such handshakes are refused; told once")


def quiet_names() -> None:
    """From now on, in this process; may be called again."""
    if not isinstance(sys.unraisablehook, QuietNames):
        sys.unraisablehook = QuietNames(sys.unraisablehook)
