"""What is done to the proxy of a soak while it works: kills, rotations, reloads; and how its processes are.

Workers die by SIGKILL.  In the first half any of them, in the second only the last, so that the growth of the others
can be seen; the only process of a proxy without workers is killed in the first half and started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from awfproxy.simulator.processes import ProxyProcess, get
from awfproxy.simulator.setting import Setting

#: seconds between two troubles of a kind, on average, in a long soak
KILL_EVERY, ROTATE_EVERY, RELOAD_EVERY = 20.0, 15.0, 7.0
#: seconds that the processes get to be all there again
READY_MAX = 60.0


@dataclass(slots=True)
class Trouble:
    """All of it."""

    setting: Setting
    directory: Path
    workers: int
    chance: random.Random
    proxy: ProxyProcess
    #: by how much more often than in a long soak they come
    haste: float = 1.0
    #: monotonic times of kills
    kills: list[float] = field(default_factory=list)
    rotations: int = 0
    reloads: int = 0
    #: any process may be killed still
    any_victim: bool = True
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _at_work: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self) -> None:
        """Begin."""
        for what, every in ((self.kill, KILL_EVERY), (self.rotate, ROTATE_EVERY), (self.reload, RELOAD_EVERY)):
            self._tasks.append(asyncio.create_task(self._again_and_again(what, every)))

    async def stop(self) -> None:
        """End, but not in the middle of one."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def _again_and_again(self, what: Callable[[], Awaitable[None]], every: float) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.2, 1.8) * every / self.haste)
            async with self._at_work:
                await asyncio.shield(asyncio.ensure_future(what()))

    async def kill(self) -> None:
        """One worker, or all there is."""
        if self.workers == 1:
            if self.any_victim:
                self._end(self.proxy.pid)
                await asyncio.to_thread(self.proxy.wait, 10)
                self.proxy = await asyncio.to_thread(start, self.directory, self.setting)
            return
        pids = await asyncio.to_thread(self.pids)
        slots = sorted(name for name in pids if name != "supervisor")
        if len(slots) == self.workers:
            self._end(pids[self.chance.choice(slots if self.any_victim else slots[-1:])])

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.kills.append(time.monotonic())

    async def rotate(self) -> None:
        """Rename both files, as logrotate does; sometimes one of them alone."""
        self.rotations += 1
        names = self.chance.choice([("requests", "token-usage"), ("token-usage", "requests"), ("requests",)])
        for name in names:
            path = self.setting.log_dir / f"{name}.jsonl"
            with contextlib.suppress(FileNotFoundError):  # rotated a moment ago, and nothing was written since
                path.rename(path.with_name(f"{name}.jsonl.{self.rotations}"))
        if self.chance.random() < 0.5:
            self.proxy.signal(signal.SIGHUP)

    async def reload(self) -> None:
        """SIGHUP, with a file that says something else of the limits each time."""
        self.reloads += 1
        text = self.setting.config.read_text()
        marked = text.partition("# limits\n")[0]
        limits = f"requests_per_minute = {self.chance.randrange(1_000_000, 2_000_000)}\n"
        changed = self.setting.config.with_suffix(".new")
        changed.write_text(f"{marked}# limits\n[ports.gemini.limits]\n{limits}")
        changed.replace(self.setting.config)
        self.proxy.signal(signal.SIGHUP)

    def pids(self) -> dict[str, int]:
        """The processes that run, by name: "supervisor" and the workers' slots, or "proxy"."""
        if self.workers == 1:
            return {"proxy": self.proxy.pid}
        told = json.loads(get(self.setting.admin_port, "/reflect")[1])["workers"]
        ready = {str(each["slot"]): int(each["pid"]) for each in told if each["state"] == "ready"}
        return {"supervisor": self.proxy.pid} | ready

    def all_there(self) -> dict[str, int]:
        """The same, once every worker serves.

        :raises TimeoutError: they do not
        """
        deadline = time.monotonic() + READY_MAX
        while len(found := self.pids()) <= self.workers and self.workers > 1:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {sorted(found)} run")
            time.sleep(0.1)
        return found


def start(directory: Path, setting: Setting) -> ProxyProcess:
    """A proxy that is ready."""
    return ProxyProcess(directory, setting.config, setting.admin_port, setting.environment)
