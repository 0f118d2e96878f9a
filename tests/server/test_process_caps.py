"""A hard cap is hard: many clients at once, one process, two workers, three proxies on one PostgreSQL, with kills.

What the simulator counted never exceeds the cap.  Without kills nearly all of the cap is used, and nothing stays
reserved.  Run with ``-s`` to see the table; ``AWFPROXY_TEST_ROUNDS`` is how often each is repeated (1).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from awfproxy.simulator.processes import ProxyProcess, SimulatorProcess
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.postgresql import running_server
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

ROUNDS: Final = int(os.environ.get("AWFPROXY_TEST_ROUNDS", "1"))
CLIENTS: Final = 200
#: calls that fit
FIT: Final = 50
#: tokens of an answer, and what a call may use at most beyond them: its body, and the provider's overhead
ANSWER: Final = 40_000
BEYOND: Final = 900
CAP: Final = FIT * (ANSWER + BEYOND)
BODY: Final = json.dumps(
    {"model": "gpt-4o", "max_tokens": ANSWER, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
#: the answer thinks for nearly all its tokens, and takes a moment, so that calls overlap
HEADERS: Final = f"x-sim-reasoning: {ANSWER - 20}\r\nx-sim-first-byte: 30\r\n"
#: seconds after which a client that meets only reservations gives up: nothing may hang
PATIENCE: Final = 60.0


def kinds() -> list[tuple[str, bool]]:
    """What is run."""
    return [(kind, kills) for kind in ("one process", "two workers", "three proxies") for kills in (False, True)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One for all."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A real one."""
    with running_server() as server:
        yield server


def setting_of(directory: Path, simulator: SimulatorProcess, service: str) -> Setting:
    """A proxy with a strict budget."""
    directory.mkdir(parents=True)
    budget = (
        f'[ports.openai.budget]\nenabled = true\nperiod = "month"\nmode = "strict"\nsoft_cap_tokens = {CAP}\n'
        f"hard_cap_tokens = {CAP}\n"
    )
    return write_setting(directory, simulator.ports, providers=["openai"], service=service, port_options=budget)


async def client(ports: list[int], number: int, deadline: float) -> str:
    """One client, until it is answered or refused for good: "answered", the code of the refusal, "cut" or "patience"."""
    turn = number
    while time.monotonic() < deadline:
        try:
            heard: Heard = await Client(ports[turn % len(ports)]).call(
                "/v1/chat/completions", BODY, f"{number}-{turn}", HEADERS
            )
        except OSError:  # its proxy was killed
            turn += 1
            await asyncio.sleep(0.1)
            continue
        turn += 1
        if heard.status == 200:
            return "answered" if heard.whole else "cut"
        if heard.status is None:
            return "cut"
        error = json.loads(heard.body)["error"]
        if error["code"] != "cap-reserved":
            return str(error["code"])
        await asyncio.sleep(random.uniform(0.05, 0.3))
    return "patience"


async def crowd(ports: list[int], kill: Callable[[], None] | None) -> list[str]:
    """All clients at once, and a kill in between."""
    deadline = time.monotonic() + PATIENCE
    calls = [asyncio.create_task(client(ports, number, deadline)) for number in range(CLIENTS)]
    if kill is not None:
        await asyncio.sleep(random.uniform(0.1, 0.5))
        await asyncio.to_thread(kill)
    return await asyncio.gather(*calls)


def kill_a_worker(supervisor: ProxyProcess) -> None:
    """One of them; its supervisor starts another."""
    tasks = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    os.kill(int(random.choice(tasks)), signal.SIGKILL)


def kill_and_restart(process: ProxyProcess, setting: Setting, stack: ExitStack) -> None:
    """As a service manager does."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    stack.enter_context(proxy_process(setting.config.parent, setting))


def counted(simulator: SimulatorProcess, since: int) -> int:
    """Tokens that the provider has counted."""
    calls = simulator.calls()[since:]
    return sum((call["input"] or 0) + (call["output"] or 0) for call in calls)


@pytest.mark.parametrize(("kind", "kills"), kinds())
def test_a_hard_cap_is_hard(
    tmp_path: Path, simulator: SimulatorProcess, postgresql: Any, kind: str, kills: bool
) -> None:
    """Each case, some times."""
    print(f"\n{'':16}{'kills':>6}{'answered':>10}{'refused':>9}{'cut':>5}{'of cap':>9}{'lost':>9}{'seconds':>9}")
    for turn in range(ROUNDS):
        began = time.monotonic()
        since = len(simulator.calls())
        directory = tmp_path / str(turn)
        database = f"caps_{kind.replace(' ', '_')}_{kills}_{turn}".lower()
        service = "workers = 2" if kind == "two workers" else ""
        if kind == "three proxies":
            postgresql.psql(f"CREATE DATABASE {database}")
            service = f'ledger = "{postgresql.get_uri(database)}"'
        count = 3 if kind == "three proxies" else 1
        settings = [setting_of(directory / str(number), simulator, service) for number in range(count)]
        with ExitStack() as stack:
            proxies = [stack.enter_context(proxy_process(each.config.parent, each)) for each in settings]
            ports = [each.ports["openai"] for each in settings]
            kill: Callable[[], None] | None = None
            if kills and kind == "two workers":
                kill = partial(kill_a_worker, proxies[0])
            elif kills:
                kill = partial(kill_and_restart, proxies[0], settings[0], stack)
            told = run(partial(crowd, ports, kill))
        used = counted(simulator, since)
        standing = show(settings[-1])
        refused = sum(code in ("hard-cap-exceeded", "estimated-exceeds-cap") for code in told)
        print(
            f"{kind:16}{'yes' if kills else 'no':>6}{told.count('answered'):>10}{refused:>9}{told.count('cut'):>5}"
            f"{used / CAP:>9.1%}{standing['lost']:>9}{time.monotonic() - began:>9.1f}"
        )
        assert used <= CAP, "the cap was overrun"
        assert told.count("patience") == 0, "a client was never told that the cap is used up"
        assert standing["reserved"] == 0
        if not kills:
            assert used >= 0.95 * CAP
            assert standing["lost"] == 0
            # several hosts that begin at the same moment may count what the others use in it twice: never too little
            assert standing["used"] == used or (kind == "three proxies" and standing["used"] > used)


def show(setting: Setting) -> dict[str, Any]:
    """How the budget stands, as `awf budget show` says of the stopped service."""
    command = [
        sys.executable, "-c", "from awfproxy.cli import main; main()", "budget", "show", "openai", "--config", str(setting.config), "--format", "json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | setting.environment, check=True)
    statements: list[dict[str, Any]] = json.loads(done.stdout)
    return next(each for each in statements if each["kind"] == "port")
