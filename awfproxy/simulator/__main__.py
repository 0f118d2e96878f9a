"""``python -m awfproxy.simulator``: simulated providers as a process of their own.

Prints one line of JSON when it listens (``{"listening": {name: port}}``), then serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from awfproxy.simulator.routes import DEFAULT_KEYS, PROVIDERS

DEFAULT_LISTEN = "tcp:0:interface=127.0.0.1"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m awfproxy.simulator", description=__doc__)
    options.add_argument(
        "--listen",
        action="append",
        metavar="[NAME=]ENDPOINT",
        help="a Twisted server endpoint string; may be given several times; a NAME that is a provider "
        f"({', '.join(PROVIDERS)}) makes the listener that provider, else the path tells; default {DEFAULT_LISTEN}",
    )
    options.add_argument(
        "--key", action="append", metavar="PROVIDER=KEY", help="expected credential; default sim-PROVIDER-key"
    )
    options.add_argument("--any-key", action="store_true", help="take every credential, and none")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 1 if an address cannot be had."""
    chosen = parser().parse_args(arguments)
    listen: dict[str, str] = {}
    for text in chosen.listen or [DEFAULT_LISTEN]:
        name, separator, endpoint = text.partition("=")
        if not separator or ":" in name:  # the first "=" is one inside the endpoint string
            name, endpoint = "any", text
        if name in listen:
            name = f"{name}-{len(listen)}"
        listen[name] = endpoint
    keys = {} if chosen.any_key else dict(DEFAULT_KEYS)
    for text in chosen.key or []:
        provider, _, key = text.partition("=")
        keys[provider] = key

    from twisted.internet import reactor
    from twisted.internet.error import CannotListenError

    from awfproxy.simulator.service import Simulator

    simulator = Simulator(reactor, listen, keys)
    try:
        simulator.startService()
    except CannotListenError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"listening": simulator.ports}), flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", simulator.stopService)
    reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
