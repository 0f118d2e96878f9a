"""A real proxy between real sockets: what the cases need to be played there."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from awfproxy.simulator.processes import ProxyProcess, free_ports
from awfproxy.simulator.setting import Setting
from tests.adversaries.cases import BASE, KEY, Answer, alike
from tests.adversaries.playing import answer_to, pieces, statuses, take_requests
from tests.far_end import FarEnd
from tests.processes import proxy_process

#: seconds that anything here may take; nothing is decided by it
PATIENCE = 30.0
#: seconds between two pieces, so that they come as two reads
APART = 0.001
#: cuts of a case that is sent in pieces
CUTS = 4


class Hospitable:
    """An upstream that answers everything, and writes down what it got; or one that answers as a case says."""

    def __init__(self, cases: Sequence[Answer] = ()) -> None:
        self.got: list[bytes] = []
        self._cases = cases
        self._lock = threading.Lock()
        #: whether answers are sent in pieces
        self.in_pieces = False

    def serve(self, talking: socket.socket) -> None:
        """One connection of the proxy's."""
        data = b""
        while piece := talking.recv(65536):
            whole, data = take_requests(data + piece)
            for each in whole:
                with self._lock:
                    self.got.append(alike(each))
                path = each.split(b" ", 2)[1].removeprefix(BASE + b"/")
                if not path.isdigit():
                    talking.sendall(answer_to(each))
                    continue
                case = self._cases[int(path)]
                # what comes behind a whole answer must be there with its end: later, nobody could know whose it is
                together = not self.in_pieces or (case.outcome == "complete" and not case.kept)
                send(talking, case.sent, [] if together else cuts(case.sent))
                if case.ends:
                    return

    def take(self) -> list[bytes]:
        """What it got since the last time."""
        with self._lock:
            got, self.got = self.got, []
        return got


def cuts(data: bytes) -> list[int]:
    """Where to cut; the same in every run."""
    return random.Random(len(data)).sample(range(len(data) + 1), min(CUTS, len(data)))


def send(talking: socket.socket, data: bytes, at: list[int]) -> None:
    """Send, cut there; a peer that has heard enough may close meanwhile."""
    with contextlib.suppress(ConnectionError):
        parts = pieces(data, at)
        for number, part in enumerate(parts):
            talking.sendall(part)
            if at and number + 1 < len(parts):
                time.sleep(APART)


class Proxied:
    """A proxy in front of a hospitable upstream (port ``requests``) and one of cases (port ``answers``)."""

    def __init__(self, setting: Setting, proxy: ProxyProcess, upstream: Hospitable, cases: Hospitable) -> None:
        self.setting = setting
        self.proxy = proxy
        self.upstream = upstream
        self.cases = cases
        self._records = 0
        self._file = setting.log_dir / "requests.jsonl"

    def connect(self, port: str) -> socket.socket:
        """A client."""
        talking = socket.create_connection(("127.0.0.1", self.setting.ports[port]), timeout=PATIENCE)
        talking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return talking

    def fresh_records(self, count: int) -> list[str]:
        """The outcomes of exactly so many records more; waits until they are there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = self._file.read_bytes().splitlines()[self._records :]
            if len(lines) >= count:
                self._records += len(lines)
                return [json.loads(line)["outcome"] for line in lines]
            assert time.monotonic() < deadline, f"{len(lines)} records of {count}"
            time.sleep(0.002)


def read_statuses(talking: socket.socket, count: int, closed: bool) -> list[int]:
    """Statuses of the answers until there are so many and the last is whole, or until the proxy closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := talking.recv(65536):
            data += piece
            if not closed and len(statuses(data)) >= count and data.endswith((b"}", b"\r\n\r\n")):
                break
    return statuses(data)


@contextmanager
def proxied(directory: Path, twistd: Sequence[str], cases: Sequence[Answer]) -> Iterator[Proxied]:
    """All of it at work; a traceback in the proxy's log fails."""
    hospitable, hostile = Hospitable(), Hospitable(cases)
    with FarEnd(hospitable.serve) as one, FarEnd(hostile.serve) as other:
        admin, *listen = free_ports(3)
        lines = ["[service]", f'admin = "tcp:{admin}:interface=127.0.0.1"']
        lines += [f"{name} = {json.dumps(str(directory / name))}" for name in ("log_dir", "state_dir")]
        for name, port, upstream in zip(("requests", "answers"), listen, (one, other), strict=True):
            lines += [
                f"[ports.{name}]", f'listen = "tcp:{port}:interface=127.0.0.1"', 'provider = "generic"',
                f'upstream = "http://127.0.0.1:{upstream.port}{BASE.decode()}"', 'credential = { env = "UPSTREAM_KEY" }',
            ]  # fmt: skip
        config = directory / "awfproxy.toml"
        config.write_text("\n".join(lines) + "\n")
        ports = dict(zip(("requests", "answers"), listen, strict=True))
        setting = Setting(config, directory / "log_dir", ports, admin, {"UPSTREAM_KEY": KEY.decode()})
        with proxy_process(directory, setting, twistd) as proxy:
            assert isinstance(proxy, ProxyProcess)
            yield Proxied(setting, proxy, hospitable, hostile)
            assert "Traceback" not in proxy.output
    assert hospitable.take() == [], "something reached the upstream that no case has told"
