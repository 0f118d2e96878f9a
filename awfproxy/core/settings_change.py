"""From the settings that are in effect to others, while calls run: what can be taken over, and what needs a restart.

Rules:
- A port is known by its name.  Everything about it may change, for the calls that begin from then on.
- Of `[service]` what the process was built on stays as it is (`RESTART`); the rest of the settings is taken over all
  the same, and `Change.needs_restart` says what was not.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from awfproxy.core.settings import Service, Settings

#: keys of `[service]` that hold from start to end: files that are open and who watches over them, processes that run, a
#: listener without which nobody could see how a change went
RESTART: Final = ("log_dir", "state_dir", "admin", "ledger", "record_wait", "workers")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do."""

    #: what is in effect after it
    settings: Settings
    #: names of ports
    added: tuple[str, ...]
    removed: tuple[str, ...]
    #: of those that stay and are another in something
    changed: tuple[str, ...]
    #: of these, those that listen somewhere else
    moved: tuple[str, ...]
    #: keys of `[service]` that are another, of those that can be
    service: tuple[str, ...]
    #: keys of `[service]` that would be another
    needs_restart: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """No setting of a port or of the service becomes another."""
        return not (self.added or self.removed or self.changed or self.service)


def change(now: Settings, wanted: Settings) -> Change:
    """The way from one to the other."""
    before = {port.name: port for port in now.ports}
    after = {port.name: port for port in wanted.ports}
    differing = tuple(
        name for name in Service.__struct_fields__ if getattr(now.service, name) != getattr(wanted.service, name)
    )
    kept = {name: getattr(now.service, name) for name in RESTART}
    changed = tuple(name for name in after if name in before and before[name] != after[name])
    return Change(
        settings=replace(wanted, service=replace(wanted.service, **kept)),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=changed,
        moved=tuple(name for name in changed if before[name].listen != after[name].listen),
        service=tuple(name for name in differing if name not in RESTART),
        needs_restart=tuple(name for name in differing if name in RESTART),
    )


def told(found: Change, sources: dict[str, str]) -> list[str]:
    """What was done and what was not, as whole sentences: of each setting its place, and nothing of its value.

    :param sources: of the settings that were wanted, as `Settings.sources`
    """
    lines = []
    for what, names in (
        ("opened", found.added),
        ("closed", found.removed),
        ("changed", tuple(name for name in found.changed if name not in found.moved)),
        ("moved", found.moved),
    ):
        if names:
            lines.append(f"{'Port' if len(names) == 1 else 'Ports'} {what}: {', '.join(names)}.")
    if found.service:
        lines.append(f"Of [service] changed: {', '.join(found.service)}.")
    if found.nothing:
        lines.append("The configuration is what it was.")
    for name in found.needs_restart:
        place = sources.get(f"service.{name}")
        lines.append(f"{f'{place}: ' if place else ''}`service.{name}` is another now, which takes a restart.")
    return lines
