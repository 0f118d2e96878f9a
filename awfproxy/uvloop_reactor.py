"""``twistd --reactor=uvloop``: Twisted's asyncio reactor on a uvloop event loop.

`awfproxy.tap` installs it by itself where no reactor was asked for, because only on uvloop's own transports is the byte
path as cheap as measured (docs/design.md).
"""

from __future__ import annotations


def install() -> None:
    """Install the reactor.

    :raises ImportError: uvloop is missing
    """
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())
