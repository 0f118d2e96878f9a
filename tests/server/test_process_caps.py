"""A hard cap is hard: many clients at once, one process, two workers, three proxies on one PostgreSQL, with kills.

Clients call until they are answered once or refused for good, so each round uses the cap up.  What the simulator counted,
also of calls whose proxy died, never exceeds the cap.  Without kills nearly all of the cap is used, and nothing is lost.

``AWFPROXY_TEST_ROUNDS`` is how often each case is repeated (1), ``-k "workers and kills"`` and the like choose some.  What
came out is printed as a table at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from click.testing import CliRunner

from awfproxy import cli
from awfproxy.simulator.processes import ProxyProcess, SimulatorProcess, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.postgresql import running_server
from tests.processes import once, proxy_process, running, simulator_process

pytestmark = once

ROUNDS: Final = int(os.environ.get("AWFPROXY_TEST_ROUNDS", "1"))
CLIENTS: Final = 200
#: calls that fit
FIT: Final = 50
#: tokens of an answer, and what a call may use at most beyond them: its body, and the provider's overhead
ANSWER: Final = 40_000
BEYOND: Final = 900
CAP: Final = FIT * (ANSWER + BEYOND)
#: share of the cap that must be used where nobody is killed
LEAST_USED: Final = 0.95
BODY: Final = json.dumps(
    {"model": "gpt-4o", "max_tokens": ANSWER, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
#: milliseconds that answers take, so that calls overlap, and some run when a process is killed
SLOW: Final = (100, 1000)
#: a kill comes when so many calls were answered, at random: from the first moment to nearly the last
ANSWERED_BEFORE: Final = (0, 40)
#: refusals after which clients come again: others' calls stand in the way, or a process that just started does not know
#: yet how the budget stands
RETRIED: Final = frozenset({"cap-reserved", "ledger_unavailable"})
#: seconds after which a client that meets only reservations gives up: nothing may hang
PATIENCE: Final = 60.0


class Case(NamedTuple):
    """What is run."""

    kind: str
    proxies: int
    workers: int
    kills: bool

    def __str__(self) -> str:
        return f"{self.kind}, kills" if self.kills else self.kind


CASES: Final = [
    Case(kind, proxies, workers, kills)
    for kind, proxies, workers in (("one process", 1, 1), ("two workers", 1, 2), ("three proxies", 3, 1))
    for kills in (False, True)
]


class Round(msgspec.Struct):
    """What came out once."""

    seconds: float
    #: tokens that the simulator counted
    counted: int
    #: calls that clients saw cut
    cut: int
    #: clients by how they ended: "answered", the code of a refusal, or "patience"
    ended: Counter[str]
    #: what `awf budget show` says of the stopped service
    standing: dict[str, Any]


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


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[dict[Case, list[Round]]]:
    """What came out of all; printed at the end, captured or not."""
    rounds: dict[Case, list[Round]] = {}
    yield rounds
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else ExitStack():
        print(f"\n{table(rounds)}")


def table(rounds: dict[Case, list[Round]]) -> str:
    """A line for each case: least and most over its rounds."""

    def span(values: Sequence[float], form: str) -> str:
        least, most = format(min(values), form), format(max(values), form)
        return least if least == most else f"{least}-{most}"

    lines = [
        f"{'':22}{'rounds':>7}{'% of cap used':>15}{'over cap':>9}{'reserved':>9}{'lost % of cap':>15}{'answered':>9}"
        f"{'refused':>9}{'cut':>8}{'seconds':>9}"
    ]
    for case, each in rounds.items():
        over = sum(one.counted > CAP for one in each)
        left = max(one.standing["reserved"] for one in each)
        lines.append(
            f"{case!s:22}{len(each):>7}{span([100 * one.counted / CAP for one in each], '.1f'):>15}{over:>9}{left:>9}"
            f"{span([100 * one.standing['lost'] / CAP for one in each], '.1f'):>15}"
            f"{span([one.ended['answered'] for one in each], 'd'):>9}"
            f"{span([CLIENTS - one.ended['answered'] for one in each], 'd'):>9}"
            f"{span([one.cut for one in each], 'd'):>8}{span([one.seconds for one in each], '.1f'):>9}"
        )
    return "\n".join(lines)


class Crowd:
    """All clients of one round."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.ended: Counter[str] = Counter()
        self.cut = 0
        self._sent = False

    async def client(self, number: int, deadline: float) -> None:
        """One of them: calls until it is answered, or refused for good, or has no patience left."""
        turn = number
        while time.monotonic() < deadline:
            connection = Client(self._ports[turn % len(self._ports)])
            turn += 1
            headers = f"x-sim-reasoning: {ANSWER - 20}\r\nx-sim-first-byte: {random.randint(*SLOW)}\r\n"
            self._sent = True
            try:
                heard: Heard = await connection.call("/v1/chat/completions", BODY, f"{number}-{turn}", headers)
            except OSError:  # its proxy was killed and is not back
                await asyncio.sleep(0.1)
                continue
            finally:
                connection.close()
            if not heard.whole:
                self.cut += 1
            elif heard.status == 200:
                self.ended["answered"] += 1
                return
            elif (code := json.loads(heard.body)["error"]["code"]) not in RETRIED:
                self.ended[code] += 1
                return
            await asyncio.sleep(random.uniform(0.05, 0.3))
        self.ended["patience"] += 1

    async def run(self, kill: Callable[[], None] | None) -> None:
        """All at once; ``kill`` is called while some of their calls run, in a thread."""
        deadline = time.monotonic() + PATIENCE
        calls = [asyncio.create_task(self.client(number, deadline)) for number in range(CLIENTS)]
        if kill is not None:
            before = random.randint(*ANSWERED_BEFORE)
            while not self._sent or self.ended["answered"] < before:
                await asyncio.sleep(0.002)
            await asyncio.to_thread(kill)
        await asyncio.gather(*calls)


def kill_a_worker(setting: Setting) -> None:
    """One of them; its supervisor starts another."""
    workers = json.loads(get(setting.admin_port, "/reflect")[1])["workers"]
    os.kill(random.choice(workers)["pid"], signal.SIGKILL)


def kill_and_restart(processes: Sequence[ProxyProcess], settings: Sequence[Setting], stack: ExitStack) -> None:
    """One of them, as a service manager does."""
    number = random.randrange(len(processes))
    os.kill(processes[number].pid, signal.SIGKILL)
    processes[number].wait(10)
    stack.enter_context(proxy_process(settings[number].config.parent, settings[number]))


@contextmanager
def proxies(settings: Sequence[Setting]) -> Iterator[list[ProxyProcess]]:
    """All started, and in the end stopped, at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor(len(settings)) as pool:

        def start(setting: Setting) -> ProxyProcess:
            return ProxyProcess(setting.config.parent, setting.config, setting.admin_port, setting.environment)

        started = list(pool.map(start, settings))
        for process in started:
            stack.enter_context(running(process))
        try:
            yield started
        finally:
            for process in started:
                process.signal(signal.SIGTERM)


def setting_of(directory: Path, simulator: SimulatorProcess, service: str) -> Setting:
    """A proxy with a strict budget."""
    directory.mkdir(parents=True)
    budget = (
        f'[ports.openai.budget]\nenabled = true\nperiod = "month"\nmode = "strict"\nsoft_cap_tokens = {CAP}\n'
        f"hard_cap_tokens = {CAP}\n"
    )
    return write_setting(directory, simulator.ports, providers=["openai"], service=service, port_options=budget)


def show(setting: Setting) -> dict[str, Any]:
    """How the budget stands, as `awf budget show` says of the stopped service."""
    command = ["budget", "show", "openai", "--config", str(setting.config), "--format", "json"]
    done = CliRunner().invoke(cli.awf, command, env=setting.environment, catch_exceptions=False)
    statements: list[dict[str, Any]] = json.loads(done.stdout)
    return next(each for each in statements if each["kind"] == "port")


def one_round(case: Case, directory: Path, simulator: SimulatorProcess, postgresql: Any) -> Round:
    """From an empty ledger to the stopped service."""
    began = time.monotonic()
    since = len(simulator.calls())
    service = f"workers = {case.workers}"
    if case.proxies > 1:
        database = f"caps_{case.kills}_{directory.name}".lower()
        postgresql.psql(f"CREATE DATABASE {database}")
        service += f'\nledger = "{postgresql.get_uri(database)}"'
    settings = [setting_of(directory / str(number), simulator, service) for number in range(case.proxies)]
    crowd = Crowd([each.ports["openai"] for each in settings])
    with ExitStack() as restarted, proxies(settings) as processes:
        kill: Callable[[], None] | None = None
        if case.kills and case.workers > 1:
            kill = partial(kill_a_worker, settings[0])
        elif case.kills:
            kill = partial(kill_and_restart, processes, settings, restarted)
        run(partial(crowd.run, kill))
    calls = simulator.calls()[since:]
    counted = sum((call["input"] or 0) + (call["output"] or 0) for call in calls)
    return Round(time.monotonic() - began, counted, crowd.cut, crowd.ended, show(settings[-1]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hard_cap_is_hard(
    tmp_path: Path, simulator: SimulatorProcess, postgresql: Any, found: dict[Case, list[Round]], case: Case
) -> None:
    """However often it is tried."""
    for number in range(ROUNDS):
        one = one_round(case, tmp_path / str(number), simulator, postgresql)
        found.setdefault(case, []).append(one)
        standing = one.standing
        assert one.counted <= CAP, "the cap was overrun"
        assert one.ended["patience"] == 0, "a client was never told that the cap is used up"
        assert set(one.ended) <= {"answered", "hard-cap-exceeded", "estimated-exceeds-cap"}
        assert standing["reserved"] == 0
        assert one.counted <= standing["used"] <= CAP, f"used is not what was counted or lost: {one}"
        assert CAP - standing["used"] < ANSWER + BEYOND, "clients were refused though there was room"
        if not case.kills:
            assert one.cut == 0
            assert standing["lost"] == 0
            assert one.counted >= LEAST_USED * CAP
            assert standing["used"] == one.counted
