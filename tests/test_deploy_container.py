"""The container file and the compose example: linted, in agreement with the program, and run without an engine.

Images are built where there is an engine; here what the file copies is enough to build a wheel, and what it starts starts.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from awfproxy.core.endpoints import parse_endpoint
from awfproxy.core.environment import OWN_NAMES
from awfproxy.core.providers import PROVIDERS
from awfproxy.core.settings import ADMIN, DRAIN_TIMEOUT
from awfproxy.server.ports import FILES_WANTED, FLUSH_SECONDS
from awfproxy.simulator.processes import Process, free_ports
from tests.processes import running

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"
HADOLINT = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())

#: of the provider whose port the test opens
KEY, PORT = "GEMINI_API_KEY", PROVIDERS["gemini"].default_port


def instructions() -> Iterator[tuple[str, str]]:
    """Those of the container file, joined over their lines."""
    text = "\n".join(line for line in CONTAINERFILE.read_text().splitlines() if not line.startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, " ".join(rest.split())


def last(name: str) -> str:
    """The instruction of this name that holds for what runs."""
    return [rest for found, rest in instructions() if found == name][-1]


def environment() -> dict[str, str]:
    """What the container's processes have."""
    return dict(word.split("=", 1) for word in shlex.split(last("ENV")))


def default_ports() -> set[int]:
    """Of all providers that have one, and of the admin listener."""
    admin = parse_endpoint(ADMIN)
    assert not isinstance(admin, str) and admin.port is not None
    return {provider.default_port for provider in PROVIDERS.values() if provider.default_port} | {admin.port}


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not on this machine")
def test_the_linter_has_nothing_to_say() -> None:
    """`hadolint`, with all its rules."""
    done = subprocess.run([str(HADOLINT), "--no-color", str(CONTAINERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_copied_is_enough_to_build(tmp_path: Path) -> None:
    """All sources exist, and a wheel is made of nothing else, with plugin and command in it."""
    source = tmp_path / "source"
    source.mkdir()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from="):
            *froms, into = rest.split()
            for each in froms:
                if (ROOT / each).is_dir():
                    shutil.copytree(ROOT / each, source / into, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / each, source / into)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "twisted/plugins/awfproxy_plugin.py" in names
    assert "awfproxy/py.typed" in names
    command = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"awf = awfproxy.cli:main" in zipfile.ZipFile(wheel).read(command)


def test_the_second_stage_has_no_tools_and_no_root() -> None:
    """Nothing is installed in it, and everything after USER has the number that owns the two folders."""
    stages = [position for position, (name, _) in enumerate(instructions()) if name == "FROM"]
    assert len(stages) == 2
    final = list(instructions())[stages[1] :]
    assert not any(re.search(r"\bpip\b|apt|curl", rest) for name, rest in final if name == "RUN")
    user = re.findall(r"--uid (\d+) --gid (\d+)", last("RUN"))
    assert [last("USER").split(":")] == [list(pair) for pair in user]
    names = [name for name, _ in final]
    assert names.index("USER") > names.index("RUN")


def test_the_container_fits_the_program() -> None:
    """Variables, folders, ports, and the signal that drains."""
    found = environment()
    assert {name for name in found if name.startswith("AWFPROXY_")} <= set(OWN_NAMES)
    folders = json.loads(last("VOLUME"))
    assert folders == [found["AWF_TOKEN_LOG_DIR"], found["AWFPROXY_STATE_DIR"]]
    for folder in folders:
        assert f" {folder}" in last("RUN")
    assert {int(port) for port in last("EXPOSE").split()} == default_ports()
    assert getattr(signal, last("STOPSIGNAL")) == signal.SIGTERM


def test_the_compose_example_fits_both() -> None:
    """Ports, keys, volumes, time to stop, and where Prometheus finds it."""
    proxy, server = COMPOSE["services"]["awfproxy"], COMPOSE["services"]["prometheus"]
    assert (DEPLOY / proxy["build"]["context"] / proxy["build"]["dockerfile"]).resolve() == CONTAINERFILE
    keys = {key for provider in PROVIDERS.values() if provider.default_port for key in provider.env_keys}
    assert set(proxy["environment"]) <= keys
    assert len(proxy["environment"]) == len(default_ports()) - 1
    for name, value in proxy["environment"].items():
        assert value == f"${{{name}:-}}"
    published = [entry.rsplit(":", 2) for entry in proxy["ports"]]
    assert {int(inner) for _, outer, inner in published if outer == inner} == default_ports()
    assert {host for host, _, _ in published} == {"127.0.0.1"}, "what needs no key must not be open to the network"
    assert [volume.split(":")[1] for volume in proxy["volumes"]] == json.loads(last("VOLUME"))
    assert {volume.split(":")[0] for each in (proxy, server) for volume in each["volumes"]} == set(COMPOSE["volumes"])
    assert int(proxy["stop_grace_period"].removesuffix("s")) > DRAIN_TIMEOUT + FLUSH_SECONDS
    assert proxy["ulimits"]["nofile"] == FILES_WANTED
    assert set(proxy["networks"]) | set(server["networks"]) == set(COMPOSE["networks"])

    inside = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    own = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = inside["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["awfproxy:10009"]}]
    job["static_configs"] = own["scrape_configs"][0]["static_configs"]
    assert inside == own
    assert (DEPLOY / COMPOSE["configs"]["rules"]["file"]).exists()


def test_what_the_container_starts_is_well_and_stops(tmp_path: Path) -> None:
    """Its command with its environment, but for folders and the admin port; its check says so, before and after."""
    (admin,) = free_ports(1)
    changed = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), KEY: "key-of-a-test"}
    variables = environment() | changed
    for name, folder in (("AWF_TOKEN_LOG_DIR", "log"), ("AWFPROXY_STATE_DIR", "state")):
        variables[name] = str(tmp_path / folder)
    variables["AWFPROXY_ADMIN"] = variables["AWFPROXY_ADMIN"].replace("10009", str(admin))
    check = re.search(r"CMD (\[.*\])", last("HEALTHCHECK"))
    assert check is not None

    def health() -> int:
        words = json.loads(check[1])
        return subprocess.run([shutil.which(words[0], path=changed["PATH"]) or "", *words[1:]],
                              env=variables, check=False, capture_output=True).returncode  # fmt: skip

    assert health() == 1
    command = json.loads(last("ENTRYPOINT"))
    command[0] = shutil.which(command[0], path=changed["PATH"])
    with running(Process("container", command, tmp_path, variables)) as process:
        while health():
            process.expect_running()
        assert re.search(rf"gemini \(gemini\) at tcp:{PORT}:interface=0\.0\.0\.0", process.output)
        process.signal(getattr(signal, last("STOPSIGNAL")))
        assert process.wait() == 0
    assert health() == 1
