"""What a request's method and target say, worked out once for each pair.

Agents call a handful of targets over and over, so a port remembers the last `ROUTES_MAX` of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from awfproxy.core.heads import RequestRules
from awfproxy.core.kinds import Kind, kind, url_model, work_id
from awfproxy.core.targets import record_path

#: pairs of method and target that are remembered, of at most `TARGET_MAX` bytes: together under 1 MB a port
ROUTES_MAX: Final = 512
TARGET_MAX: Final = 1024


class Route(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One method and target."""

    #: the target upstream; None: refused
    upstream_target: bytes | None
    #: path as the records have it
    path: str
    #: the path alone (no query), to be compared
    bare: bytes
    #: None: not in the table of kinds
    kind: Kind | None
    #: the model that the path names
    model: str | None
    #: the path says that the answer is a stream
    streams: bool
    #: the answer may hold usage
    readable: bool
    #: the id of the work that the answer tells of (`core.background`); what it used may be counted with this answer
    work: str | None


def router(rules: RequestRules) -> Callable[[bytes, bytes], Route]:
    """A function from (method, target) to its `Route`, with a memory."""

    def work_out(method: bytes, target: bytes) -> Route:
        found = kind(method, target)
        path, _, query = target.partition(b"?")
        shows = found is not None and found.shows is not None
        return Route(
            upstream_target=rules.target(target),
            path=record_path(target),
            bare=path,
            kind=found,
            model=url_model(target),
            # stored work is streamed where the query asks for it (OpenAI and Google alike)
            streams=found is not None and (found.streams or (shows and b"stream=true" in query.split(b"&"))),
            readable=found is None or (found.model_call is not False and not found.deferred),
            work=work_id(target) if shows else None,
        )

    remembered = lru_cache(maxsize=ROUTES_MAX)(work_out)

    def route(method: bytes, target: bytes) -> Route:
        return remembered(method, target) if len(target) <= TARGET_MAX else work_out(method, target)

    return route
