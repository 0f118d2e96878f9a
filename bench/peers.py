"""The programs that are measured: how each is started and where it listens.

Each program serves two ports, one to the plain upstream and one to the TLS upstream; a program and one of its ports is
a peer. What is started is this checkout (PYTHONPATH), whatever is installed.
"""

import os
import pathlib
import shutil
import socket
import sys
from dataclasses import dataclass, field

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent

CAP = 10**15  # tokens: the largest there is, so that no run meets it
CAP_USD = 10**9
# awfproxy with a budget on each port, by the name of the program: the same work besides, in the same run.
BUDGETS = {
    "learned": f'mode = "learned", soft_cap_tokens = {CAP}, hard_cap_tokens = {CAP}',
    "strict": f'mode = "strict", soft_cap_tokens = {CAP}, hard_cap_tokens = {CAP}',
    "dollars": f"soft_cap_tokens = {CAP}, hard_cap_tokens = {CAP}, hard_cap_usd = {CAP_USD}",
}
WORKERS = "workers"  # awfproxy with two worker processes under a supervisor


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    argv: tuple[str, ...]
    ports: dict[str, int]  # "plain", "tls" (by upstream)
    env: dict[str, str] = field(default_factory=dict)
    log_dir: pathlib.Path | None = None  # where token-usage.jsonl is written, for those that write one
    admin: int | None = None  # port of the admin listener, for those that have one
    workers: int = 1  # processes that take calls


@dataclass(frozen=True, slots=True)
class Peer:
    """One port of a program. `program` None: the upstream itself, for what the load tools see without a proxy."""

    name: str
    program: Program | None
    port: int
    upstream: str  # "plain" or "tls"


@dataclass(frozen=True, slots=True)
class Upstream:
    plain: int
    tls: int


def free_ports(count: int) -> list[int]:
    """Ports that nobody had at this moment. All are held open together, so that no two are the same."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def fill(template: str, target: pathlib.Path, values: dict[str, object]) -> pathlib.Path:
    text = (BENCH / "conf" / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    target.write_text(text)
    return target


def nginx(work: pathlib.Path, upstream: Upstream, connections: int) -> Program:
    plain, tls = free_ports(2)
    values = {"WORK": work, "UPSTREAM": upstream.plain, "UPSTREAM_TLS": upstream.tls, "PLAIN": plain, "TLS": tls}
    conf = fill("nginx.conf.in", work / "nginx.conf", {**values, "CONNECTIONS": connections})
    argv = ("nginx", "-p", str(work), "-e", str(work / "nginx.err"), "-c", str(conf))
    return Program("nginx", argv, {"plain": plain, "tls": tls})


def naive(work: pathlib.Path, upstream: Upstream) -> Program:
    plain, tls = free_ports(2)
    argv: tuple[str, ...] = (sys.executable, "-m", "bench.naive")
    argv += (str(plain), f"http://127.0.0.1:{upstream.plain}", str(tls), f"https://127.0.0.1:{upstream.tls}")
    return Program("naive", (*argv, str(work / "ca.crt")), {"plain": plain, "tls": tls})


def awfproxy(
    work: pathlib.Path, upstream: Upstream, name: str, *twistd_options: str, budget: str = "", workers: int = 1
) -> Program:
    plain, tls, admin = free_ports(3)
    values = {"WORK": work, "NAME": name, "UPSTREAM": upstream.plain, "UPSTREAM_TLS": upstream.tls, "ADMIN": admin}
    values |= {"BUDGET": f"enabled = true, {budget}" if budget else "enabled = false", "WORKERS": workers}
    conf = fill("awfproxy.toml.in", work / f"{name}.toml", {**values, "PLAIN": plain, "TLS": tls})
    log_dir, state_dir = work / f"{name}-log", work / f"{name}-state"
    log_dir.mkdir(exist_ok=True)
    shutil.rmtree(state_dir, ignore_errors=True)  # the ledger of an earlier run is not this one's
    state_dir.mkdir()
    twistd = str(pathlib.Path(sys.executable).with_name("twistd"))
    argv = (twistd, "-n", "--pidfile=", *twistd_options, "awfproxy", "--config", str(conf))
    env = {"BENCH_KEY": "sk-real", "SSL_CERT_FILE": str(work / "ca.crt")}
    return Program(name, argv, {"plain": plain, "tls": tls}, env, log_dir, admin, workers)


def programs(work: pathlib.Path, upstream: Upstream, connections: int) -> list[Program]:
    """nginx first: it is what the others are compared with. "epoll" is awfproxy on Twisted's own transports."""
    return [
        nginx(work, upstream, connections),
        awfproxy(work, upstream, "awfproxy"),
        *(awfproxy(work, upstream, name, budget=budget) for name, budget in BUDGETS.items()),
        awfproxy(work, upstream, WORKERS, workers=2),
        awfproxy(work, upstream, "epoll", "--reactor=epoll"),
        naive(work, upstream),
    ]


def peers(listed: list[Program], upstream: Upstream) -> list[Peer]:
    """By name: nginx, nginx-tls, awfproxy, ... and direct, which has no TLS form (the load tools speak none)."""
    out = [Peer("direct", None, upstream.plain, "plain")]
    for program in listed:
        out.append(Peer(program.name, program, program.ports["plain"], "plain"))
        out.append(Peer(f"{program.name}-tls", program, program.ports["tls"], "tls"))
    return out


def environment(program: Program) -> dict[str, str]:
    """The caller's, without proxy settings that would send the loopback elsewhere, and with this checkout first."""
    base = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    path = os.pathsep.join(filter(None, (str(ROOT), base.get("PYTHONPATH"))))
    return {**base, "PYTHONPATH": path, **program.env}
