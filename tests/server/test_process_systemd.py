"""The units of deploy/ under a real systemd: started, watched, reloaded, restarted and stopped by it, fully hardened.

`tests.systemd_machine` says what that takes; where it cannot be these are skipped, and the parts that need no systemd are
tested in test_process_systemd_restart.py and test_deploy.py.
"""

from __future__ import annotations

import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from awfproxy.simulator.processes import free_ports, get
from tests.certificates import make_certificates
from tests.far_end import FarEnd, answer, read_request
from tests.processes import once
from tests.systemd_machine import Machine, machine, why_not

pytestmark = [
    once,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can be"),
    pytest.mark.untidy("the provider's connections end with the proxy"),
]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SERVICE, SOCKETS = "awfproxy.service", ("awfproxy.socket", "awfproxy-anthropic.socket")
ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":11}}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'f\r\ndata: {"a":1}\n\n\r\n'
PATIENCE = 60.0


def serve(talking: socket.socket) -> None:
    """Answers; a call to /slow gets an event a tenth of a second, for as long as it is there."""
    kept = b""
    while (request := read_request(talking, kept)) is not None:
        kept = request[2]
        if b"/slow" not in request[0].split(b"\r\n")[0]:
            talking.sendall(answer(ANSWER, "Content-Type: application/json"))
            continue
        talking.sendall(STREAM)
        while True:
            talking.sendall(EVENT)
            time.sleep(0.1)


class Installed:
    """The service as it is installed, on ports of its own."""

    def __init__(self, made: Machine, ports: Mapping[str, int]) -> None:
        self.machine = made
        self.ports = ports

    def wait_for(self, name: str, value: str) -> None:
        """Until the service's property is so."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.machine.show(SERVICE, name)) != value:
            assert time.monotonic() < deadline, f"{name} is {found}"
            time.sleep(0.05)

    def wait_for_metric(self, line: str) -> None:
        """Until a scrape has this line."""
        deadline = time.monotonic() + PATIENCE
        while line not in (page := get(self.ports["admin"], "/metrics")[1].decode()).splitlines():
            assert time.monotonic() < deadline, page
            time.sleep(0.05)

    def call(self, port: str = "openai") -> bytes:
        """One call, which may have to wait for a proxy, and is made again where that has not reached its ledger yet."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=PATIENCE) as talking:
                talking.sendall(request(b"/v1/chat/completions"))
                got = b""
                while piece := talking.recv(65536):
                    got += piece
            if b'"ledger_unavailable"' not in got or time.monotonic() > deadline:
                return got

    def records(self) -> int:
        """Lines of requests.jsonl; of calls, not of what the proxy answers itself."""
        return int(self.machine.run("grep", "-c", "", "/var/log/awfproxy/requests.jsonl", check=False).stdout)


def request(path: bytes) -> bytes:
    """A call on a connection of its own."""
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (path, len(body))
    return head + body


@contextmanager
def installed(directory: Path, workers: int = 1, service: str = "", drain: int = 30) -> Iterator[Installed]:
    """All of deploy/, with free ports, a provider over TLS, and ``service`` as a drop-in of the unit."""
    names = {"openai": 10000, "anthropic": 10001, "admin": 10009}
    ports = dict(zip(names, free_ports(len(names)), strict=True))

    def rewritten(name: str) -> str:
        text = (DEPLOY / name).read_text()
        for port, number in names.items():
            text = text.replace(f":{number}", f":{ports[port]}")
        return text

    certificates = make_certificates(directory)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    with FarEnd(serve, tls=tls) as provider:
        toml = rewritten("awfproxy.toml").replace("drain_timeout = 30", f"drain_timeout = {drain}\nworkers = {workers}")
        assert f"workers = {workers}" in toml
        toml = re.sub(r'(?m)^(provider = "\w+")', rf'\1\nupstream = "https://localhost:{provider.port}/v1"', toml)
        toml += f"""
            [ports.openai.budget]
            enabled = true
            soft_cap_tokens = 1
            webhook = "https://localhost:{provider.port}/hook"
            """
        units = {name: rewritten(name) for name in (SERVICE, *SOCKETS)}
        units[f"{SERVICE}.d/test.conf"] = (
            f"[Service]\nEnvironment=SSL_CERT_FILE=/etc/awfproxy/authority.pem\nRestartSec=0.2\n"
            f"ExecStopPost=/bin/sh -c 'echo ended by $SERVICE_RESULT'\n{service}"
        )
        etc = {
            "awfproxy.toml": toml, "authority.pem": certificates.authority.read_text(),
            "keys/openai": "key-of-openai\n", "keys/anthropic": "key-of-anthropic\n",
        }  # fmt: skip
        with machine(directory, units, etc) as made:
            made.systemctl("start", *SOCKETS)
            yield Installed(made, ports)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_units_as_they_are(tmp_path: Path, workers: int) -> None:
    """Started by a call that waits, ready, asked over TLS, reloaded, restarted, stopped: each with systemd's approval."""
    with installed(tmp_path, workers) as service:
        made = service.machine
        assert service.call().endswith(ANSWER)  # the socket starts the service
        service.wait_for("ActiveState", "active")
        assert re.fullmatch(r"ready: openai, anthropic; \d calls? runs?", made.show(SERVICE, "StatusText"))
        assert get(service.ports["admin"], "/ready")[0] == 200

        status = Path(f"/proc/{made.outside(SERVICE)}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert re.search(r"CapEff:\t0+\n", status)
        assert int(re.findall(r"Uid:\t(\d+)", status)[0]) >= 61184, "a dynamic user's number"  # systemd.exec(5)
        assert b"process_start_time_seconds" in get(service.ports["admin"], "/metrics")[1]
        service.wait_for_metric('awfproxy_webhook_total{result="delivered"} 1')

        children = re.findall(r"worker \d is process (\d+)", made.output)
        assert len(children) == (workers if workers > 1 else 0)
        for child in children:
            inherited = made.run("cat", f"/proc/{child}/environ").stdout
            assert "PATH=" in inherited
            assert "NOTIFY_SOCKET" not in inherited and "WATCHDOG" not in inherited

        first = made.show(SERVICE, "MainPID")
        made.systemctl("reload", SERVICE)
        service.wait_for("ActiveState", "active")
        made.run("sed", "-i", "s/^drain_timeout/drain_time/", "/etc/awfproxy/awfproxy.toml")
        refused = made.systemctl("reload", SERVICE, check=False)
        assert refused.returncode == 1, "a configuration that is wrong was taken over"
        assert "did you mean `drain_timeout`" in made.output
        made.run("sed", "-i", "s/^drain_time/drain_timeout/", "/etc/awfproxy/awfproxy.toml")
        made.systemctl("kill", f"--signal={signal.SIGHUP.name}", "--kill-who=main", SERVICE)
        service.wait_for("ActiveState", "active")
        assert made.show(SERVICE, "MainPID") == first
        assert service.call().endswith(ANSWER)
        made.systemctl("restart", SERVICE)
        assert made.show(SERVICE, "MainPID") != first
        assert service.call().endswith(ANSWER)
        assert service.call("anthropic").endswith(ANSWER)
        made.systemctl("stop", SERVICE, *SOCKETS)
        assert (made.show(SERVICE, "Result"), made.show(SERVICE, "ExecMainStatus")) == ("success", "0")
        assert (made.show(SERVICE, "NRestarts"), service.records()) == ("0", 4)


def test_a_service_that_hangs_is_started_again(tmp_path: Path) -> None:
    """It is stopped in its tracks (SIGSTOP): the watchdog ends it, and the next one answers what waits."""
    with installed(tmp_path, service="WatchdogSec=2\n") as service:
        made = service.machine
        made.systemctl("start", SERVICE)
        time.sleep(4)  # fed for longer than the watchdog's time
        assert made.show(SERVICE, "NRestarts") == "0"
        made.systemctl("kill", f"--signal={signal.SIGSTOP.name}", "--kill-who=main", SERVICE)
        service.wait_for("NRestarts", "1")
        assert service.call().endswith(ANSWER)
        assert "ended by watchdog" in made.output


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """It takes neither the others nor the service with it: the watchdog is fed until another one is in its place."""
    with installed(tmp_path, workers=2, service="WatchdogSec=2\n") as service:
        made = service.machine
        made.systemctl("start", SERVICE)
        workers = [int(pid) for pid in re.findall(r"worker \d is process (\d+)", made.output)]
        assert len(workers) == 2
        made.run("kill", "-STOP", str(workers[1]))
        service.wait_for_metric("awfproxy_worker_deaths_total 1")
        service.wait_for_metric("awfproxy_workers 2")
        for _ in range(10):
            assert service.call().endswith(ANSWER)
        assert re.search(r"worker 1 has said nothing for \d+ s, and is replaced", made.output)
        assert (made.show(SERVICE, "NRestarts"), "ended by watchdog" in made.output) == ("0", False)


def test_a_drain_may_take_longer_than_the_unit_says(tmp_path: Path) -> None:
    """TimeoutStopSec= is 2 s and a stream runs: systemd waits for the drain to end, because it is asked to."""
    with installed(tmp_path, service="TimeoutStopSec=2\n", drain=6) as service:
        made = service.machine
        made.systemctl("start", SERVICE)
        with socket.create_connection(("127.0.0.1", service.ports["openai"]), timeout=PATIENCE) as talking:
            talking.sendall(request(b"/v1/slow"))
            assert talking.recv(65536).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
            made.systemctl("stop", *SOCKETS, SERVICE)
            assert time.monotonic() - began > 5
        assert made.show(SERVICE, "Result") == "success"
        assert b"drained" in made.run("cat", "/var/log/awfproxy/requests.jsonl").stdout.encode()


def test_a_configuration_that_is_wrong_is_told(tmp_path: Path) -> None:
    """`systemctl start` fails at once, and the reason is in the service's log."""
    with installed(tmp_path) as service:
        made = service.machine
        made.run("sed", "-i", "s/^drain_timeout/drain_time/", "/etc/awfproxy/awfproxy.toml")
        assert made.systemctl("start", SERVICE, check=False).returncode == 1
        assert "did you mean `drain_timeout`" in made.output
        made.systemctl("stop", SERVICE, *SOCKETS)


def test_a_user_that_stays(tmp_path: Path) -> None:
    """Made by systemd from the files beside the unit: the folders are its own, and are where they seem to be."""
    with installed(tmp_path) as service:
        made = service.machine
        for name in ("sysusers", "tmpfiles"):
            (tmp_path / "etc" / f"awfproxy.{name}").write_text((DEPLOY / f"awfproxy.{name}").read_text())
        made.run("systemd-sysusers", str(tmp_path / "etc" / "awfproxy.sysusers"))
        made.run("systemd-tmpfiles", "--create", str(tmp_path / "etc" / "awfproxy.tmpfiles"))
        drop_in = tmp_path / "units" / f"{SERVICE}.d" / "static-user.conf"
        drop_in.write_text((DEPLOY / "awfproxy-static-user.conf").read_text())
        made.systemctl("daemon-reload")
        assert service.call().endswith(ANSWER)
        assert made.run("stat", "--format=%U %G %a %F", "/var/log/awfproxy").stdout == "awfproxy awfproxy 750 directory\n"
        assert made.run("stat", "--format=%U %a", "/var/log/awfproxy/requests.jsonl").stdout == "awfproxy 640\n"
        made.systemctl("stop", *SOCKETS, SERVICE)
        assert made.show(SERVICE, "Result") == "success"
