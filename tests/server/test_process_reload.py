"""The configuration is taken over while calls run: no call is dropped, and each goes by the old settings or the new."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from awfproxy.cli import awf
from awfproxy.commands.failure import CommandFailed
from awfproxy.commands.service_socket import ServiceSocket
from awfproxy.simulator.processes import ProxyProcess, free_ports, get
from tests.certificates import make_certificates
from tests.crowd import Client, Heard, run
from tests.far_end import FarEnd, answer, read_request
from tests.processes import once, running

pytestmark = once

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}).encode()
#: a whole request, the last one of its connection
ONE_CALL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
#: seconds for what is waited for on a busy machine
PATIENCE = 30.0
#: reloads under load, and clients that make it
RELOADS, CLIENTS = 20, 16


def wait_until(what: str, true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Until it is so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.02)


class Provider(FarEnd):
    """Answers with its own name, and the key that came; on `hold` only when `release` is set."""

    def __init__(self, name: str) -> None:
        super().__init__(self._talk)
        self.name = name
        self.release = threading.Event()

    def __enter__(self) -> Provider:
        super().__enter__()
        return self

    def _talk(self, talking: Any) -> None:
        kept = b""
        while (request := read_request(talking, kept)) is not None:
            head, _, kept = request
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:"))
            said = {
                "id": "x", "model": "gpt-4o", "from": self.name, "key": key.split()[-1].decode(), "choices": [],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            }  # fmt: skip
            whole = answer(json.dumps(said).encode(), "Content-Type: application/json")
            if b"x-hold: yes" in head.lower():
                talking.sendall(whole[:-5])
                self.release.wait(PATIENCE)
                talking.sendall(whole[-5:])
            else:
                talking.sendall(whole)


class Around(msgspec.Struct):
    """A proxy, and the file by which it goes."""

    directory: Path
    admin: int
    workers: int
    #: by name
    ports: dict[str, int] = {}
    process: Any = None

    @property
    def config(self) -> Path:
        return self.directory / "awfproxy.toml"

    def key(self, value: str, name: str = "key") -> Path:
        """Another content for a key's file, by rename."""
        fresh = self.directory / f"{name}.new"
        fresh.write_text(value + "\n")
        fresh.chmod(0o600)
        fresh.rename(self.directory / name)
        return self.directory / name

    def write(self, *ports: str, service: str = "") -> None:
        """Another file: each port as the lines of its table."""
        head = [
            "[service]", f'log_dir = "{self.directory / "logs"}"', f'state_dir = "{self.directory / "state"}"',
            f'admin = "tcp:{self.admin}:interface=127.0.0.1"', f"workers = {self.workers}", service,
        ]  # fmt: skip
        fresh = self.directory / "fresh.toml"
        fresh.write_text("\n".join([*head, *ports]) + "\n")
        fresh.rename(self.config)

    def port(self, name: str, upstream: int, *more: str, listen: int | None = None, key: str = "key") -> str:
        """The table of a port."""
        at = self.ports[name] if listen is None else listen
        lines = [
            f"[ports.{name}]", f'listen = "tcp:{at}:interface=127.0.0.1"', 'provider = "openai"',
            f'upstream = "http://127.0.0.1:{upstream}/v1"', f'credential = {{ file = "{key}" }}', *more,
        ]  # fmt: skip
        return "\n".join(lines)

    def reload(self) -> list[str]:
        """Ask on the socket."""
        return ServiceSocket(str(self.directory / "state" / "admin.sock")).reload().lines

    def reasons(self) -> dict[str, str]:
        """Of `/health`."""
        found: dict[str, str] = json.loads(get(self.admin, "/health")[1])["reasons"]
        return found

    def metric(self, name: str) -> float:
        """One series."""
        text = get(self.admin, "/metrics")[1].decode()
        return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).rpartition(" ")[2])

    def records(self) -> list[dict[str, Any]]:
        """Of all requests."""
        return [json.loads(line) for line in (self.directory / "logs" / "requests.jsonl").read_bytes().splitlines()]

    def call(self, port: str = "main", **options: Any) -> Heard:
        """One call, on a connection of its own."""
        return one_call(self.ports[port], **options)


def one_call(port: int, name: str = "call", headers: str = "") -> Heard:
    """One call, on a connection of its own."""

    async def main() -> Heard:
        client = Client(port)
        try:
            return await client.call("/v1/chat/completions", BODY, name, headers)
        finally:
            client.close()

    return run(main)


def said(heard: Heard) -> tuple[str, str]:
    """Who answered, and to which key."""
    body = json.loads(heard.body)
    return body["from"], body["key"]


@contextmanager
def started(around: Around, twistd: tuple[str, ...] = ()) -> Iterator[ProxyProcess]:
    """The proxy of a file."""
    with running(ProxyProcess(around.directory, around.config, around.admin, {}, twistd)) as process:
        assert isinstance(process, ProxyProcess)
        around.process = process
        yield process
        assert "Traceback" not in process.output
    assert process.returncode == 0


@pytest.fixture
def provider() -> Iterator[Provider]:
    """One provider."""
    with Provider("one") as far:
        yield far
        far.release.set()


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def around(request: pytest.FixtureRequest, tmp_path: Path) -> Around:
    """Names and ports, and a key; nothing runs."""
    admin, main, other, third = free_ports(4)
    found = Around(tmp_path, admin, request.param, {"main": main, "other": other, "third": third})
    found.key("key-0")
    return found


@pytest.mark.parametrize("twistd", [(), ("--reactor=epoll",)], ids=["uvloop", "epoll"])
def test_no_call_is_dropped(around: Around, provider: Provider, twistd: tuple[str, ...]) -> None:
    """Under load through many reloads with other limits, keys, providers and ports: each call has one answer and one
    record, went with the key from before or after, and with the new one only once the reload was answered.
    """
    with Provider("two") as second:
        providers = [provider, second]

        def write(turn: int) -> None:
            around.key(f"key-{turn}")
            limits = f"limits = {{ requests_per_minute = {100_000 + turn}, concurrent_requests = {1000 + turn} }}"
            idle = f"idle_timeout = {100 + turn}"
            ports = [around.port("main", providers[turn % 2].port, limits, idle)]
            if turn % 3:  # comes and goes, and moves
                ports.append(around.port("other", provider.port, listen=around.ports["other" if turn % 2 else "third"]))
            around.write(*ports, service=f"request_memory = {100_000_000 + turn}")

        write(0)
        with started(around, twistd):
            heard: list[tuple[float, float, Heard]] = []
            #: when a turn's file was there, and when its reload was answered
            turns = [(0.0, 0.0)]
            over = threading.Event()

            async def client(number: int) -> None:
                connection, count = Client(around.ports["main"]), 0
                while not over.is_set():
                    began = time.monotonic()
                    calling = connection.call("/v1/chat/completions", BODY, f"{number}-{count}")
                    call = await asyncio.wait_for(calling, PATIENCE)  # one that is dropped may be so in silence
                    heard.append((began, time.monotonic(), call))
                    count += 1
                connection.close()

            async def crowd() -> None:
                await asyncio.gather(*(client(number) for number in range(CLIENTS)))

            load = ThreadPoolExecutor(1)
            loading = load.submit(run, crowd)
            try:
                for turn in range(1, RELOADS + 1):
                    written = time.monotonic()
                    write(turn)
                    around.reload()
                    turns.append((written, time.monotonic()))
                    time.sleep(0.05)
            finally:
                over.set()
                load.shutdown()
            loading.result()
            assert len(heard) > 10 * RELOADS
            for began, ended, call in heard:
                assert call.whole and call.status == 200, call
                turn = int(said(call)[1].removeprefix("key-"))
                assert turns[turn][0] <= ended, "a key from before it was written"
                later = turns[turn + 1][1] if turn < RELOADS else ended
                assert began <= later, "an old key after the reload was answered"
                assert said(call)[0] == ("one", "two")[turn % 2], "a key for another provider"
            names = sorted(call.name for _, _, call in heard)
            assert sorted(record["client_request_id"] for record in around.records()) == names
            print(f"{len(heard)} calls through {RELOADS} reloads, the slowest {max(e - b for b, e in turns[1:]):.3f} s")
            assert around.metric('awfproxy_config_reloads_total{result="applied"}') == RELOADS
            assert around.metric("awfproxy_config_last_reload_successful") == 1
            assert around.reasons() == {}
            if around.workers == 2:
                assert around.metric("awfproxy_worker_deaths_total") == 0


def test_a_wrong_file_is_refused(around: Around, provider: Provider) -> None:
    """Whole, with every reason and its place; what was in effect stays, `/health` says so until a right one comes."""
    around.write(around.port("main", provider.port))
    with started(around) as process:
        around.key("key-1")
        around.write(around.port("main", provider.port, "idle_timout = 3", 'include_usage = "maybe"'))
        with pytest.raises(CommandFailed) as refused:
            around.reload()
        lines = str(refused.value).splitlines()
        assert len(lines) == 2 and "idle_timeout" in lines[0]
        assert all(f"{around.config}:" in line for line in lines)
        assert "2 faults" in around.reasons()["configuration"]
        assert "idle_timout" not in around.reasons()["configuration"], "agents see it"
        assert around.metric("awfproxy_config_last_reload_successful") == 0
        assert said(around.call())[1] == "key-0"
        process.signal(signal.SIGHUP)
        wait_until("a second refusal", lambda: around.metric('awfproxy_config_reloads_total{result="refused"}') == 2)
        around.write(around.port("main", provider.port))
        assert around.reload() == ["Port changed: main."]
        assert "configuration" not in around.reasons()
        assert said(around.call())[1] == "key-1"
    assert all(line in process.output for line in lines), "the log has them too"


def test_what_takes_a_restart_is_named(around: Around, provider: Provider) -> None:
    """And the rest of the file is in effect."""
    around.write(around.port("main", provider.port))
    with started(around):
        around.key("key-1")
        around.write(around.port("main", provider.port), service="record_wait = 7\nadmission_wait = 1")
        lines = around.reload()
        assert [line for line in lines if "restart" in line] == [
            f"{around.config}:6: `service.record_wait` is another now, which takes a restart."
        ]
        assert "Of [service] changed: admission_wait." in lines
        assert said(around.call())[1] == "key-1"


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) != 0


def test_a_removed_port(around: Around, provider: Provider) -> None:
    """Nobody listens there any more; the call that runs ends well, and its connection with it; its metrics stay."""
    around.write(around.port("main", provider.port), around.port("other", provider.port))
    with started(around):
        heard: list[Heard] = []
        idle = socket.create_connection(("127.0.0.1", around.ports["other"]))
        slow = threading.Thread(target=lambda: heard.append(around.call("other", name="slow", headers="X-Hold: yes\r\n")))
        slow.start()
        wait_until("the call runs", lambda: around.metric('awfproxy_in_flight_requests{provider="openai",port="other"}') == 1)
        around.write(around.port("main", provider.port))
        assert around.reload() == ["Port closed: other."]
        assert refused(around.ports["other"])
        idle.settimeout(PATIENCE)
        assert idle.recv(1) == b"", "a connection without a call is closed"
        idle.close()
        provider.release.set()
        slow.join()
        assert heard[0].whole and heard[0].status == 200
        assert around.call().status == 200
        wait_until("it is over", lambda: around.metric('awfproxy_in_flight_requests{provider="openai",port="other"}') == 0)
        assert "other" not in json.loads(get(around.admin, "/reflect")[1])["ports"]
        text = get(around.admin, "/metrics")[1].decode()
        assert 'awfproxy_requests_total{provider="openai",port="other",model="gpt-4o",outcome="complete",status="200"} 1' in text
        around.write(around.port("main", provider.port), around.port("other", provider.port))
        assert around.reload() == ["Port opened: other."]
        assert around.call("other").status == 200


def test_a_moved_port(around: Around, provider: Provider) -> None:
    """It listens in the new place and not in the old one, also where only the interface is another; a connection from
    before has one more answer."""
    around.write(around.port("main", provider.port))
    with started(around):

        async def main() -> list[Heard]:
            client = Client(around.ports["main"])
            found = [await client.call("/v1/chat/completions", BODY, "before")]
            around.write(around.port("main", provider.port, listen=around.ports["other"]))
            lines = await asyncio.to_thread(around.reload)
            assert lines == ["Port moved: main."]
            found.append(await client.call("/v1/chat/completions", BODY, "last"))
            with pytest.raises(ConnectionRefusedError):
                await client.call("/v1/chat/completions", BODY, "late")
            return found

        heard = run(main)
        assert [call.status for call in heard] == [200, 200] and heard[0].own_port == heard[1].own_port
        assert around.call("other").status == 200
        wide = f'listen = "tcp:{around.ports["other"]}:interface=0.0.0.0"'
        around.write(around.port("main", provider.port).replace(
            f'listen = "tcp:{around.ports["main"]}:interface=127.0.0.1"', wide
        ))  # fmt: skip
        assert around.reload() == ["Port moved: main."]
        assert around.call("other").status == 200


@pytest.mark.parametrize("twistd", [(), ("--reactor=epoll",)], ids=["uvloop", "epoll"])
def test_nobody_is_reset_where_only_the_interface_changes(
    around: Around, provider: Provider, twistd: tuple[str, ...]
) -> None:
    """New connections all the time, through moves to and fro: each has its answer."""
    wide = around.port("main", provider.port).replace("interface=127.0.0.1", "interface=0.0.0.0")
    around.write(around.port("main", provider.port))
    with started(around, twistd):
        over = threading.Event()
        heard: list[str] = []

        def connect_again_and_again() -> None:
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", around.ports["main"]), PATIENCE) as client:
                        client.sendall(ONE_CALL)
                        heard.append(b"".join(iter(partial(client.recv, 65536), b""))[9:12].decode())
                except OSError as error:
                    heard.append(repr(error))

        with ThreadPoolExecutor(8) as clients:
            try:
                for _ in range(8):
                    clients.submit(connect_again_and_again)
                for turn in range(10):
                    around.write(around.port("main", provider.port) if turn % 2 else wide)
                    assert around.reload() == ["Port moved: main."]
                    seen = len(heard)
                    wait_until("nobody is answered", lambda seen=seen: len(heard) > seen + 10)  # type: ignore[misc]
            finally:
                over.set()
        assert set(heard) == {"200"}, Counter(heard)


def test_certificates_that_cannot_be_read_refuse_all(around: Around, provider: Provider) -> None:
    """Also where a port only gets another name, and its socket goes on: nothing of the file is taken over.  A worker
    that dies meanwhile is back for the other ports, and for this one when they can be read.
    """
    certificates = make_certificates(around.directory)
    plain = f'listen = "tcp:{around.ports["other"]}:interface=127.0.0.1"'

    def write(name: str) -> None:
        around.ports["third"] = around.ports["other"]
        encrypted = f'listen = "{certificates.endpoint(around.ports["other"])}"'
        around.write(around.port("main", provider.port), around.port(name, provider.port).replace(plain, encrypted))

    def shown() -> bool:
        context = ssl.create_default_context(cafile=str(certificates.authority))
        with (
            socket.create_connection(("127.0.0.1", around.ports["other"]), PATIENCE) as client,
            context.wrap_socket(client, server_hostname="localhost") as encrypted,
        ):
            return encrypted.version() is not None

    def names() -> set[str]:
        return set(json.loads(get(around.admin, "/reflect")[1])["ports"])

    write("other")
    with started(around):
        assert shown()
        right = certificates.certificate.read_bytes()
        certificates.certificate.write_bytes(b"half writt")
        write("third")
        with pytest.raises(CommandFailed, match=str(certificates.key)):
            around.reload()
        assert around.call().status == 200 and shown() and names() == {"main", "other"}
        if around.workers == 2:
            assert around.metric("awfproxy_worker_deaths_total") == 0
            for worker in json.loads(get(around.admin, "/reflect")[1])["workers"]:
                os.kill(worker["pid"], signal.SIGKILL)
            wait_until("it is not said", lambda: "other" in around.reasons().get("listeners", ""))
            wait_until("they are not back", lambda: around.metric("awfproxy_workers") == 2)
            assert around.call().status == 200
        certificates.certificate.write_bytes(right)
        wait_until("it is not over", lambda: "listeners" not in around.reasons())
        assert shown()
        assert around.reload() == ["Port opened: third.", "Port closed: other."]
        assert around.call().status == 200 and shown() and names() == {"main", "third"}
        if around.workers == 2:
            assert around.metric("awfproxy_worker_deaths_total") == 2


def test_a_worker_that_starts_meanwhile(tmp_path: Path, provider: Provider) -> None:
    """One has died, and the next is on its way while a port comes and goes: it has them too, and is not ended again."""
    admin, main, other = free_ports(3)
    around = Around(tmp_path, admin, 2, {"main": main, "other": other})

    def write(turn: int) -> None:
        around.key(f"key-{turn}")
        around.write(around.port("main", provider.port), *([around.port("other", provider.port)] if turn % 2 else []))

    write(0)
    with started(around) as process:
        for turn in range(1, 6):
            write(turn)
            wait_until("there is no spare", lambda: "spare" in get(admin, "/metrics")[1].decode())
            os.kill(json.loads(get(admin, "/reflect")[1])["workers"][0]["pid"], signal.SIGKILL)
            around.reload()
            assert refused(other) != bool(turn % 2), "what is gone is let go of by whoever starts too"
            wait_until("it is not back", lambda: around.metric("awfproxy_workers") == 2)
            assert {said(around.call())[1] for _ in range(10)} == {f"key-{turn}"}
        assert around.metric("awfproxy_worker_deaths_total") == 5
        assert "IndexError" not in process.output and "cannot take" not in process.output


def test_a_unix_socket_gets_another_mode(around: Around, provider: Provider) -> None:
    """It is the same socket, and connections that stand go on; a refused file leaves no socket behind, nor a removed
    port."""
    path, other = around.directory / "s", around.directory / "t"

    def write(endpoint: str, *more: str) -> None:
        plain = f'listen = "tcp:{around.ports["other"]}:interface=127.0.0.1"'
        moved = around.port("other", provider.port).replace(plain, f'listen = "{endpoint}"')
        around.write(around.port("main", provider.port), moved, *more)

    write(f"unix:{path}:mode=600")
    with started(around), socket.socket() as taken:
        taken.bind(("127.0.0.1", around.ports["third"]))
        taken.listen()
        write(f"unix:{path}:mode=660")
        assert around.reload() == ["Port moved: other."]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(ONE_CALL)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        write(f"unix:{other}", around.port("third", provider.port))
        with pytest.raises(CommandFailed, match="the address is taken by another process"):
            around.reload()
        assert path.exists() and not other.exists()
        around.write(around.port("main", provider.port))
        around.reload()
        assert not path.exists()


def test_fewer_connections_than_there_are(tmp_path: Path, provider: Provider) -> None:
    """A lower limit holds at once, for those without a call."""
    admin, main = free_ports(2)
    around = Around(tmp_path, admin, 1, {"main": main})
    around.key("key-0")
    around.write(around.port("main", provider.port))
    with started(around):
        idle = [socket.create_connection(("127.0.0.1", main), PATIENCE) for _ in range(30)]
        assert around.call().status == 200  # all before it are accepted
        around.write(around.port("main", provider.port, "max_connections = 5"))
        around.reload()
        assert [each.recv(1) for each in idle[:25]] == [b""] * 25
        assert around.call().status == 200
        for each in idle:
            each.close()


def test_ports_that_change_places(around: Around, provider: Provider) -> None:
    """Names that are swapped, and a new name for an old one: the sockets go on, and no connection is refused."""
    around.key("key-b", "b")
    around.write(around.port("main", provider.port), around.port("other", provider.port, key="b"))
    with started(around):
        around.write(
            around.port("main", provider.port, listen=around.ports["other"]),
            around.port("other", provider.port, key="b", listen=around.ports["main"]),
        )
        around.reload()
        assert said(around.call("main"))[1] == "key-b" and said(around.call("other"))[1] == "key-0"
        around.write(around.port("third", provider.port, listen=around.ports["main"]))
        around.reload()
        assert said(around.call("main"))[1] == "key-0" and refused(around.ports["other"])


def test_a_taken_address_is_refused(around: Around, provider: Provider) -> None:
    """Nothing of the file is taken over, and what was bound for it is let go of."""
    around.write(around.port("main", provider.port))
    with started(around), socket.socket() as taken:
        taken.bind(("127.0.0.1", around.ports["third"]))
        taken.listen()
        around.key("key-1")
        around.write(*(around.port(name, provider.port) for name in ("main", "other", "third")))
        with pytest.raises(CommandFailed, match="the address is taken by another process"):
            around.reload()
        assert refused(around.ports["other"])
        assert said(around.call())[1] == "key-0"


def test_files_of_keys_are_looked_after(around: Around, provider: Provider) -> None:
    """Without a signal: another key is used, a missing or malformed one leaves the one before; never is one shown."""
    around.key("client-key-0123456789", "client")
    clients = '[ports.main.clients.ci]\nkey = { file = "client" }'
    around.write(around.port("main", provider.port, clients))

    def key_of(client: str) -> str | None:
        heard = around.call(headers=f"X-Api-Key: {client}\r\n")
        return said(heard)[1] if heard.status == 200 else None

    with started(around) as process:
        assert key_of("client-key-0123456789") == "key-0"
        around.key("key-1")
        wait_until("the new key is not used", lambda: key_of("client-key-0123456789") == "key-1")
        around.key("another-key-0123456789", "client")
        wait_until("the new client's key is not known", lambda: key_of("another-key-0123456789") == "key-1")
        assert key_of("client-key-0123456789") is None
        (around.directory / "key").unlink()
        wait_until("it is not said", lambda: "ports.main.credential" in around.reasons().get("keys", ""))
        around.key("short", "client")
        wait_until("it is not said", lambda: "clients.ci" in around.reasons().get("keys", ""))
        assert key_of("another-key-0123456789") == "key-1"
        around.key("key-2")
        around.key("a-third-key-0123456789", "client")
        wait_until("it is not taken", lambda: key_of("a-third-key-0123456789") == "key-2")
        wait_until("it is still said", lambda: "keys" not in around.reasons())
    assert process.output.count("`ports.main.credential` names the file") == 1
    for secret in ("key-1", "key-2", "another-key", "a-third-key", "short\n"):
        assert secret not in process.output


def test_during_a_drain_nothing_is_taken_over(around: Around, provider: Provider) -> None:
    """Neither a signal nor the socket ends it, or begins anything; what runs ends well."""
    around.write(around.port("main", provider.port))
    heard: list[Heard] = []
    with started(around) as process:
        slow = threading.Thread(target=lambda: heard.append(around.call(name="slow", headers="X-Hold: yes\r\n")))
        slow.start()
        wait_until("the call runs", lambda: around.metric('awfproxy_in_flight_requests{provider="openai",port="main"}') == 1)
        process.signal(signal.SIGTERM)
        wait_until("it drains", lambda: get(around.admin, "/ready")[0] == 503)
        for _ in range(5):
            process.signal(signal.SIGHUP)
        with pytest.raises(CommandFailed, match="stopping"):
            around.reload()
        provider.release.set()
        slow.join()
        assert process.wait(PATIENCE) == 0
    assert heard[0].whole and heard[0].status == 200


def test_a_storm_of_hangups(around: Around, provider: Provider) -> None:
    """Two hundred signals while the file changes between right and wrong: calls go on, and in the end the last counts."""
    around.write(around.port("main", provider.port))
    with started(around) as process:
        for turn in range(200):
            if turn % 20 == 0:
                around.write(around.port("main", provider.port, *(["wrong = 1"] if turn % 40 else [])))
            process.signal(signal.SIGHUP)
            if turn % 50 == 0:
                assert around.call().status == 200
        around.key("key-1")
        around.write(around.port("main", provider.port))
        around.reload()
        assert said(around.call())[1] == "key-1"
        done = sum(around.metric(f'awfproxy_config_reloads_total{{result="{each}"}}') for each in ("applied", "refused"))
        assert 1 <= done <= 201
        assert around.reasons() == {}


def test_rates_and_budgets_go_on(around: Around, provider: Provider) -> None:
    """What was counted under a limit counts under a changed one; what a budget used stays used."""
    budget = "budget = { enabled = true, soft_cap_tokens = 1, hard_cap_tokens = %d }"
    around.write(around.port("main", provider.port, "limits = { requests_per_minute = 100 }", budget % 1_000_000))
    with started(around):
        for _ in range(4):
            assert around.call().status == 200
        around.write(around.port("main", provider.port, "limits = { requests_per_minute = 5 }", budget % 1_000_000))
        around.reload()
        assert [around.call().status for _ in range(2)] == [200, 429]
        around.write(around.port("main", provider.port, budget % 20))
        around.reload()
        # until the ledger has the calls before, what they reserved is in the way, which is another word for the same
        codes = iter(lambda: json.loads(around.call().body)["error"]["code"], "hard-cap-exceeded")
        wait_until("it is not settled", lambda: next(codes, None) is None)
        around.write(around.port("main", provider.port))
        around.reload()
        assert around.call().status == 200


def test_a_worker_that_does_not_answer_is_replaced(tmp_path: Path, provider: Provider) -> None:
    """It is stopped: after its time it is ended, and the next one has the new settings."""
    admin, main = free_ports(2)
    around = Around(tmp_path, admin, 2, {"main": main})
    around.key("key-0")
    around.write(around.port("main", provider.port))
    with started(around):
        victim = json.loads(get(admin, "/reflect")[1])["workers"][0]["pid"]
        os.kill(victim, signal.SIGSTOP)
        try:
            around.key("key-1")
            assert around.reload() == ["Port changed: main."]
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
        wait_until("it is not back", lambda: len(json.loads(get(admin, "/reflect")[1])["workers"]) == 2)
        assert {said(around.call())[1] for _ in range(20)} == {"key-1"}
        assert around.metric("awfproxy_worker_deaths_total") == 1


def test_the_command(around: Around, provider: Provider) -> None:
    """Says what was done, or every fault, with the exit code to match; the other one ends the service."""
    awf_service = partial(CliRunner().invoke, awf, env={"HOME": str(around.directory), "AWFPROXY_CONFIG": ""})
    asked = ["service", "reload", "--config", str(around.config)]
    around.write(around.port("main", provider.port))
    done = awf_service(asked)
    assert done.exit_code == 1 and "No service runs" in done.stderr and "takes a restart" in done.stderr
    with started(around) as process:
        around.write(around.port("main", provider.port, "idle_timeout = 9"))
        done = awf_service(asked)
        assert (done.exit_code, done.stdout) == (0, "Port changed: main.\n")
        around.write(around.port("main", provider.port, "idle_timeout = -1", "connect_timeout = -1"))
        done = awf_service(asked)
        assert done.exit_code == 1 and not done.stdout
        assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [f"{around.config}:{line}" for line in (12, 13)]
        assert awf_service(["service", "drain", "--config", str(around.config)]).exit_code == 0
        assert process.wait(PATIENCE) == 0
