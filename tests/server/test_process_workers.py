"""Two workers under a supervisor, as processes: what they record together, and what their deaths cost."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from awfproxy.core.workers import RESTART_FIRST, RESTARTS_AT_ONCE
from awfproxy.simulator.processes import PACKAGE_PARENT, Process, SimulatorProcess, free_ports, get
from awfproxy.simulator.setting import Setting, write_setting
from tests.crowd import Client, Heard, run
from tests.daemons import Daemon, daemonised, failed_start
from tests.processes import once, proxy_process, simulator_process

pytestmark = once

#: calls, and clients that make them
CALLS, CLIENTS = 2000, 40
#: seconds within which a killed worker must be back
BACK = 1.0
#: seconds for what is waited for on a busy machine
PATIENCE = 20.0

JSON_BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
SSE_BODY = json.dumps(
    {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "one two three"}]}
).encode()
FORMS = [("uvloop", False), ("uvloop", True), ("epoll", False), ("epoll", True)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator for the whole module."""
    with simulator_process(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@contextmanager
def proxy(
    directory: Path, simulator: SimulatorProcess, *, reactor: str = "uvloop", daemon: bool = False, service: str = ""
) -> Iterator[tuple[Process | Daemon, Setting]]:
    """A proxy with two workers and one port, in any of the forms."""
    setting = write_setting(
        directory, simulator.ports, providers=["openai"], service=f"workers = 2\n{service}"
    )
    twistd = ["--reactor=epoll"] if reactor == "epoll" else []
    with (daemonised if daemon else proxy_process)(directory, setting, twistd) as process:
        yield process, setting


def reflected(setting: Setting) -> list[dict[str, Any]]:
    """The workers, by slot."""
    workers: list[dict[str, Any]] = json.loads(get(setting.admin_port, "/reflect")[1])["workers"]
    return workers


def total(setting: Setting, name: str) -> float:
    """The sum of a metric over its series."""
    text = get(setting.admin_port, "/metrics")[1].decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))


def wait_until(what: str, true: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Seconds until it was."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.01)
    return time.monotonic() - began


def ends(pid: int) -> bool:
    """Whether no such process runs any more; one that nobody has waited for has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def children(process: Process | Daemon) -> list[int]:
    """The processes that a supervisor has started, and that run."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for_the_spare(process: Process | Daemon, setting: Setting) -> None:
    """Until it has imported everything and sleeps, waiting for its assignment: it has used CPU, and uses no more."""

    def sleeps() -> bool:
        spares = set(children(process)) - {worker["pid"] for worker in reflected(setting)}
        if len(spares) != 1:
            return False
        looks = set()
        for _ in range(5):
            fields = Path(f"/proc/{next(iter(spares))}/stat").read_text().rpartition(")")[2].split()
            looks.add((fields[0], int(fields[11]) + int(fields[12])))
            time.sleep(0.05)
        return len(looks) == 1 and all(state == "S" and cpu > 10 for state, cpu in looks)

    wait_until("no spare waits", sleeps)


def held_by(pid: int) -> set[str]:
    """What a process has open, as the links in /proc name it."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(os.readlink(descriptor))
    return held


def writes_there(pid: int, setting: Setting) -> bool:
    """Whether a process has the files of this name open, and no others that once had it."""
    logs = {name for name in held_by(pid) if name.startswith(f"{setting.log_dir}/")}
    return logs == {str(setting.log_dir / f"{file}.jsonl") for file in ("requests", "token-usage")}


def back(setting: Setting, slot: int, before: int) -> bool:
    """Whether another process serves this slot's sockets again, and nobody else does."""
    worker = reflected(setting)[slot]
    return worker["pid"] not in (before, None) and worker["serves"] == [slot]


async def crowd(
    port: int, calls: int, heard: list[Heard], each: Callable[[int], None] = lambda count: None, headers: str = ""
) -> None:
    """So many calls by `CLIENTS` clients on a connection each, which they open again when it was cut."""
    serial = iter(range(calls))

    async def client() -> None:
        connection = Client(port)
        for index in serial:
            heard.append(await connection.call("/v1/chat/completions", JSON_BODY, f"c{index}", headers))
            each(len(heard))
        connection.close()

    await asyncio.wait_for(asyncio.gather(*(client() for _ in range(CLIENTS))), 60)


def names(setting: Setting, file: str) -> list[str]:
    """Which calls stand in a file; each line of it is whole."""
    raw = (setting.log_dir / f"{file}.jsonl").read_bytes()
    assert raw.endswith(b"\n")
    return [json.loads(line)["client_request_id"] for line in raw.splitlines()]


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_every_call_once_in_one_set_of_files(simulator: SimulatorProcess, tmp_path: Path, reactor: str) -> None:
    """Both take calls; each has a line in both files, and the one scrape has all."""
    with proxy(tmp_path, simulator, reactor=reactor) as (process, setting):
        heard: list[Heard] = []
        run(lambda: crowd(setting.ports["openai"], CALLS, heard))
        assert all(call.whole and call.status == 200 for call in heard)
        wanted = sorted(f"c{index}" for index in range(CALLS))
        assert sorted(names(setting, "requests")) == sorted(names(setting, "token-usage")) == wanted
        # a worker tells what it counted a moment later, and a busy one later still
        wait_until("all calls are in the scrape", lambda: total(setting, "awfproxy_requests_total") >= CALLS)
        assert total(setting, "awfproxy_requests_total") == CALLS
        assert total(setting, "awfproxy_input_tokens_total") == 3 * CALLS
        assert total(setting, "awfproxy_request_duration_seconds_count") == CALLS
        assert total(setting, "awfproxy_log_records_written_total") == 2 * CALLS
        assert total(setting, "awfproxy_workers") == 2
        assert total(setting, "awfproxy_in_flight_requests") == 0
        text = get(setting.admin_port, "/metrics")[1].decode()
        cpu = dict(re.findall(r'process_cpu_seconds_total\{process="(\w+)"\} (\S+)', text))
        assert {"supervisor", "0", "1"} <= set(cpu)
        assert all(process["serves"] == [slot] for slot, process in enumerate(reflected(setting)))
        assert process.stop(15) == 0 if isinstance(process, Process) else True
    assert "Traceback" not in process.output


def test_a_killed_worker_costs_its_own_calls_alone(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Under load: calls of the others' connections end well, no connection is refused, another process is back within a
    second, what ended is recorded once, and counters are those of the records.
    """
    with proxy(tmp_path, simulator) as (process, setting), ThreadPoolExecutor(1) as watching:
        wait_for_the_spare(process, setting)
        heard: list[Heard] = []
        victim = reflected(setting)[0]["pid"]
        its_own: set[int] = set()
        seconds: list[Future[float]] = []

        def kill(count: int) -> None:
            if count == CALLS // 4:
                its_own.update(connections_of(victim, setting.ports["openai"]))
                os.kill(victim, signal.SIGKILL)
                seconds.append(watching.submit(wait_until, "it is not back", partial(back, setting, 0, victim)))

        run(lambda: crowd(setting.ports["openai"], CALLS, heard, kill, "x-sim-first-byte: 5\r\n"))
        print(f"back after {seconds[0].result():.2f} s")
        assert seconds[0].result() < BACK
        cut = [call for call in heard if not call.whole]
        assert cut
        assert {call.own_port for call in cut} <= its_own
        assert all(call.status == 200 for call in heard if call.whole)
        whole = {call.name for call in heard if call.whole}
        wait_until("its unfinished lines", lambda: set(names(setting, "token-usage")) <= set(names(setting, "requests")))
        found = collections.Counter(names(setting, "requests"))
        assert set(found.values()) == {1}
        assert whole <= set(found)
        assert set(collections.Counter(names(setting, "token-usage")).values()) == {1}
        assert whole <= set(names(setting, "token-usage"))
        assert total(setting, "awfproxy_worker_deaths_total") == 1
        # what the dead one had counted since it told last, which it does every second, is in the records alone
        assert CALLS // 2 < total(setting, "awfproxy_requests_total") <= len(found)
        assert total(setting, "awfproxy_in_flight_requests") == 0
        wait_until("the reason stayed", lambda: json.loads(get(setting.admin_port, "/health")[1])["status"] == "ok")
        assert process.stop(15) == 0 if isinstance(process, Process) else True


def connections_of(pid: int, port: int) -> set[int]:
    """The clients' own ports of the connections to this port that a process holds (proc(5): /proc/net/tcp)."""
    held, found = held_by(pid), set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port and f"socket:[{fields[9]}]" in held:
            found.add(int(fields[2].partition(":")[2], 16))
    return found


def test_one_that_dies_again_and_again_waits(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Beyond some deaths in a row its successor is not started at once; the other worker serves all meanwhile."""
    with proxy(tmp_path, simulator) as (process, setting):
        for _ in range(RESTARTS_AT_ONCE):
            victim = reflected(setting)[0]["pid"]
            os.kill(victim, signal.SIGKILL)
            wait_until("it was not replaced", partial(back, setting, 0, victim))
        victim = reflected(setting)[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        wait_until("nobody serves its socket", lambda: reflected(setting)[1]["serves"] == [0, 1])
        heard: list[Heard] = []
        run(lambda: crowd(setting.ports["openai"], 100, heard))
        assert all(call.whole and call.status == 200 for call in heard)
        wait_until("it was not replaced", partial(back, setting, 0, victim))
        assert time.monotonic() - killed >= RESTART_FIRST
        assert f"the next starts in {RESTART_FIRST:g} s" in process.output
        wait_until("the reason stayed", lambda: json.loads(get(setting.admin_port, "/health")[1])["status"] == "ok")


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_a_killed_worker_is_back_within_a_second(simulator: SimulatorProcess, tmp_path: Path, reactor: str) -> None:
    """While it is gone the other one serves its sockets, and health says so; counters do not go back."""
    with proxy(tmp_path, simulator, reactor=reactor) as (process, setting):
        wait_for_the_spare(process, setting)
        heard: list[Heard] = []
        run(lambda: crowd(setting.ports["openai"], 100, heard))
        assert total(setting, "awfproxy_requests_total") == 100
        victim = reflected(setting)[1]["pid"]
        os.kill(victim, signal.SIGKILL)
        seconds = wait_until("the worker did not come back", lambda: back(setting, 1, victim))
        print(f"back after {seconds:.2f} s")
        assert seconds < BACK
        assert total(setting, "awfproxy_requests_total") == 100
        run(lambda: crowd(setting.ports["openai"], 100, heard))
        assert all(call.whole for call in heard)
        assert total(setting, "awfproxy_requests_total") == 200


@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
def test_a_drain_of_both(simulator: SimulatorProcess, tmp_path: Path, reactor: str, daemon: bool) -> None:
    """SIGTERM: calls that run are finished, new connections are refused, everything is recorded, exit 0."""
    with proxy(tmp_path, simulator, reactor=reactor, daemon=daemon) as (process, setting):
        pids = [worker["pid"] for worker in reflected(setting)]
        begun: list[str] = []
        heard: list[Heard] = []

        async def slow(number: int) -> None:
            client = Client(setting.ports["openai"])

            def first(call: Heard) -> None:
                begun.append(call.name)
                if len(set(begun)) == 20 and call.body == b"":
                    process.signal(signal.SIGTERM)

            heard.append(
                await client.call("/v1/chat/completions", SSE_BODY, f"s{number}", "x-sim-pace: 50\r\n", first)
            )

        async def main() -> None:
            await asyncio.wait_for(asyncio.gather(*map(slow, range(20))), 30)

        run(main)
        assert process.wait(15) == 0
        assert all(call.whole for call in heard)
        assert sorted(names(setting, "requests")) == sorted(f"s{number}" for number in range(20))
        assert all(line["outcome"] == "complete" for line in setting.records("requests"))
        assert all(map(ends, pids))
        with pytest.raises(ConnectionRefusedError):
            run(lambda: Client(setting.ports["openai"]).call("/", b"", "late"))


def test_a_second_signal_ends_the_drain_of_both(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """With half a minute to drain and streams that never end: exit 0 right after it, all recorded as drained."""
    with proxy(tmp_path, simulator) as (process, setting):
        heard: list[Heard] = []
        begun: set[str] = set()

        async def endless(number: int) -> None:
            def first(call: Heard) -> None:
                begun.add(call.name)
                if len(begun) == 10:
                    process.signal(signal.SIGTERM)
                    begun.add("twice")
                    asyncio.get_running_loop().call_later(0.5, process.signal, signal.SIGTERM)

            headers = "x-sim-endless: 1\r\nx-sim-pace: 20\r\n"
            client = Client(setting.ports["openai"])
            heard.append(await client.call("/v1/chat/completions", SSE_BODY, f"e{number}", headers, first))

        async def main() -> None:
            await asyncio.wait_for(asyncio.gather(*map(endless, range(10))), 20)

        run(main)
        assert process.wait(10) == 0
        assert [line["outcome"] for line in setting.records("requests")] == ["drained"] * 10
        assert len(setting.records("token-usage")) == 10


def test_rotation_by_hangup(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Both open the files anew; nothing goes to the old ones after it."""
    with proxy(tmp_path, simulator) as (process, setting):
        heard: list[Heard] = []
        run(lambda: crowd(setting.ports["openai"], 100, heard))
        for file in ("requests", "token-usage"):
            path = setting.log_dir / f"{file}.jsonl"
            path.rename(path.with_suffix(".1"))
        process.signal(signal.SIGHUP)
        wait_until("no new file", lambda: all((setting.log_dir / f"{f}.jsonl").exists() for f in ("requests", "token-usage")))
        wait_until("one writes to the old file", lambda: all(writes_there(worker["pid"], setting) for worker in reflected(setting)))
        run(lambda: crowd(setting.ports["openai"], 100, heard))
        for file in ("requests", "token-usage"):
            assert len(names(setting, file)) == 100
            assert len((setting.log_dir / f"{file}.1").read_bytes().splitlines()) == 100


def test_workers_end_with_their_supervisor(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Killed, it cannot tell them: they finish what runs, record it, and end; the port is free again."""
    with proxy(tmp_path, simulator) as (process, setting):
        wait_for_the_spare(process, setting)
        pids = children(process)
        assert {worker["pid"] for worker in reflected(setting)} < set(pids)  # and the spare
        heard: list[Heard] = []

        async def main() -> None:
            def first(call: Heard) -> None:
                if not call.body:
                    process.signal(signal.SIGKILL)

            client = Client(setting.ports["openai"])
            heard.append(await client.call("/v1/chat/completions", SSE_BODY, "slow", "x-sim-pace: 100\r\n", first))

        run(main)
        wait_until("workers run on", lambda: all(map(ends, pids)))
        assert heard[0].whole
        assert names(setting, "requests") == ["slow"]
        with pytest.raises(ConnectionRefusedError):
            run(lambda: Client(setting.ports["openai"]).call("/", b"", "late"))


def test_one_worker_that_is_told_to_end(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """SIGTERM to a worker alone: it drains, the other one takes its connections at once, and it is replaced."""
    with proxy(tmp_path, simulator) as (_, setting):
        victim = reflected(setting)[0]["pid"]
        heard: list[Heard] = []
        sent: list[int] = []

        def tell(count: int) -> None:
            if count == 100:
                os.kill(victim, signal.SIGTERM)
                sent.append(victim)

        run(lambda: crowd(setting.ports["openai"], 1000, heard, tell))
        assert sent
        wait_until("it was not replaced", lambda: back(setting, 0, victim))
        # a call on a kept connection that comes while it drains is refused, or finds it closed; no other is lost
        answered = {call.name for call in heard if call.whole and call.status == 200}
        assert len(answered) >= 1000 - 2 * CLIENTS
        assert answered <= set(names(setting, "requests"))


def test_work_in_the_background_is_counted_once_by_all_together(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Begun through one connection, asked about through forty at the same moment: one of them is the one that counts."""
    body = json.dumps({"model": "gpt-4o", "input": "one two three", "background": True}).encode()
    with proxy(tmp_path, simulator) as (_, setting):

        async def main() -> None:
            client = Client(setting.ports["openai"])
            for turn in range(5):
                begun = await client.call("/v1/responses", body, f"begin{turn}", "x-sim-polls: 0\r\n")
                work = json.loads(begun.body)["id"]
                together = [Client(setting.ports["openai"]) for _ in range(CLIENTS)]
                await asyncio.gather(*(ask(each, work, f"ask{turn}-{n}") for n, each in enumerate(together)))
            client.close()

        run(main)
        counted = collections.Counter(str(line["client_request_id"]).partition("-")[0] for line in setting.records())
        assert {name: count for name, count in counted.items() if name.startswith("ask")} == {
            f"ask{turn}": 1 for turn in range(5)
        }


async def ask(client: Client, work: str, name: str) -> None:
    """One GET of stored work, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client._port)
    writer.write(f"GET /v1/responses/{work} HTTP/1.1\r\nHost: x\r\nX-Request-ID: {name}\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_a_unix_socket_is_shared(simulator: SimulatorProcess, tmp_path: Path, reactor: str) -> None:
    """Both accept on it; one that dies takes nothing with it."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service="workers = 2")
    path = tmp_path / "openai.sock"
    text = setting.config.read_text().replace(f"tcp:{setting.ports['openai']}:interface=127.0.0.1", f"unix:{path}")
    setting.config.write_text(text)
    with proxy_process(tmp_path, setting, ["--reactor=epoll"] if reactor == "epoll" else []):
        for end in (signal.SIGKILL, signal.SIGTERM, None):
            for _ in range(20):
                with socket.socket(socket.AF_UNIX) as talking:
                    talking.settimeout(10)
                    talking.connect(str(path))
                    talking.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    assert talking.recv(65536).startswith(b"HTTP/1.1 200")
            if end is not None:
                victim = reflected(setting)[0]["pid"]
                os.kill(victim, end)
                wait_until("it was not replaced", partial(back, setting, 0, victim))


@pytest.mark.parametrize("daemon", [False, True])
def test_a_taken_port_ends_the_start(simulator: SimulatorProcess, tmp_path: Path, daemon: bool) -> None:
    """Also for a second proxy of the same settings: SO_REUSEPORT must not let two share a port by accident."""
    with proxy(tmp_path, simulator) as (_, setting):
        text = setting.config.read_text()
        (admin,) = free_ports(1)
        other = tmp_path / "other.toml"
        other.write_text(text.replace(f"tcp:{setting.admin_port}:", f"tcp:{admin}:"))
        ended = failed_start(tmp_path, other, setting.environment, daemon=daemon)
        assert ended.status == 1
        assert daemon or "the address is taken by another process" in ended.stderr


def test_a_listener_that_cannot_be_shared_is_refused(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """At the start, with the way out."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service="workers = 2")
    own = f"tcp:{setting.ports['openai']}:interface=127.0.0.1"
    setting.config.write_text(setting.config.read_text().replace(own, own.replace("tcp:", "haproxy:tcp:port=")))
    ended = failed_start(tmp_path, setting.config, setting.environment)
    assert ended.status == 1
    assert "workers = 1" in ended.stderr


def test_a_worker_that_cannot_start_ends_the_start(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """The supervisor does not run without workers: exit 1, and the reason in the log."""
    setting = write_setting(tmp_path, simulator.ports, providers=["openai"], service="workers = 2")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\nif 'awfproxy.worker' in sys.orig_argv: sys.exit('broken on purpose')\n"
    )
    path = os.pathsep.join([str(broken), str(PACKAGE_PARENT)])
    ended = failed_start(tmp_path, setting.config, setting.environment | {"PYTHONPATH": path})
    assert ended.status == 1
    assert "broken on purpose" in ended.stdout
    assert "cannot start: worker" in ended.stdout


def test_sockets_do_not_leak(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """After some deaths and replacements the supervisor and each worker have as many descriptors as before."""
    with proxy(tmp_path, simulator) as (process, setting):

        def settled() -> list[int]:
            wait_for_the_spare(process, setting)
            pids = [process.pid, *(worker["pid"] for worker in reflected(setting))]
            return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]

        before = settled()
        for turn in range(RESTARTS_AT_ONCE):
            victim = reflected(setting)[turn % 2]["pid"]
            os.kill(victim, signal.SIGKILL)
            wait_until("it was not replaced", partial(back, setting, turn % 2, victim))
        assert all(after <= first + 1 for after, first in zip(settled(), before, strict=True))


def test_secrets_are_in_no_argument_and_no_file(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Workers get them over their channel."""
    with proxy(tmp_path, simulator) as (_, setting):
        (secret,) = setting.environment.values()
        for worker in reflected(setting):
            assert secret.encode() not in Path(f"/proc/{worker['pid']}/cmdline").read_bytes()
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file
