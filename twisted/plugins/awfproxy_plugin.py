"""Names only: twistd imports every plugin to list them."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

awfproxy = ServiceMaker(
    "awfproxy",
    "awfproxy.tap",
    "Reverse proxy for LLM APIs that holds the keys and accounts for every token.",
    "awfproxy",
)
uvloop = Reactor("uvloop", "awfproxy.uvloop_reactor", "Twisted's asyncio reactor on a uvloop event loop.")
