"""The front door: ``twistd awfproxy``.  Options in, service out; the only importer of the reactor."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from twisted.application.service import IService
from twisted.python import usage

from awfproxy import configuration, uvloop_reactor
from awfproxy.core.settings import Settings, SettingsError


class Options(usage.Options):
    """Options of ``twistd awfproxy``."""

    optParameters = [  # noqa: RUF012 - the name and form are usage.Options'
        ["config", "c", None, "TOML file; without it (or AWFPROXY_CONFIG) the environment says everything."],
    ]
    longdesc = (
        "Opens a local port for each LLM provider that has a key, adds the key to what is called there, passes the "
        "answer through as it comes and writes what it used to token-usage.jsonl. `awf config check` tells what "
        "would be opened."
    )

    settings: Settings
    #: where they are from
    source: configuration.Configuration

    def postOptions(self) -> None:
        """Read the settings, and choose the fast reactor while there is none."""
        # From here on a hangup means "reload", and there is nothing yet to reload; nohup asked for the same.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self.source = configuration.Configuration(self["config"], os.environ)
            self.settings = self.source.read()
        except SettingsError as error:
            _give_up(error.lines)
        if "twisted.internet.reactor" not in sys.modules:
            try:
                uvloop_reactor.install()
            except ImportError:
                print("awfproxy: uvloop is missing, Twisted's own transports are used (half as fast)", file=sys.stderr)


def makeService(options: Options) -> IService:
    """The service of one process; nothing is opened before it starts, because twistd may fork until then."""
    from twisted.internet import reactor

    from awfproxy.server.assembly import assemble

    parent = getattr(options, "parent", None)
    return assemble(options.settings, options.source, reactor, foreground=bool(parent and parent.get("nodaemon")))


def _give_up(lines: list[str]) -> NoReturn:
    for line in lines:
        print(f"awfproxy: {line}", file=sys.stderr)
    sys.exit(1)
