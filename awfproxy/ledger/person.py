"""Who does something to a budget, in words that are kept with it."""

from __future__ import annotations

import pwd
import socket


def person(uid: int) -> str:
    """A user of this host: name, number and host, as a ledger may be several hosts'."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "?"
    return f"{name} (uid {uid}) on {socket.gethostname()}"
