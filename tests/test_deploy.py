"""What is in deploy/ for systemd and logrotate works, and fits the configuration beside it.

The units under a real systemd: server/test_process_systemd.py.
"""

import configparser
import gzip
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from awfproxy import configuration
from awfproxy.core.endpoints import parse_endpoint
from awfproxy.core.settings import ADMIN, Settings
from awfproxy.server.crew import BEYOND_HELP, SILENT_LOOKS
from awfproxy.server.network import BACKLOG
from awfproxy.server.notify_standing import LOOK_SECONDS
from awfproxy.server.ports import FILES_WANTED, FLUSH_SECONDS

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
TOML = DEPLOY / "awfproxy.toml"
#: Where the units expect the configuration.
INSTALLED = "/etc/awfproxy/awfproxy.toml"
#: what `systemd-analyze security` may say; a service that needs the network has 0.9 for that alone
EXPOSURE_MAX = 1.8

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit file, all sections together; one that is given twice has two values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def credentials(folder: Path) -> dict[str, str]:
    """An environment as systemd makes it for the service: a folder with every credential of the unit."""
    folder.mkdir()
    for value in unit("awfproxy.service")["LoadCredential"]:
        path = folder / value.partition(":")[0]
        path.write_text("key-of-a-test\n")
        path.chmod(0o400)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What the configuration comes to, as the service reads it."""
    return configuration.load(str(TOML), credentials(tmp_path / "credentials"))


@needs_analyze
def test_systemd_takes_the_units() -> None:
    """`systemd-analyze verify` has nothing to say."""
    result = subprocess.run(
        ["systemd-analyze", "verify", *map(str, DEPLOY.glob("awfproxy*.s[eo]*"))], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@needs_analyze
def test_systemd_finds_little_that_the_service_may_do() -> None:
    """`systemd-analyze security`: its figure for how exposed the service is, from 0 to 10."""
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(DEPLOY / "awfproxy.service")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for awfproxy.service: ([\d.]+)", result.stdout)
    assert found is not None, result.stdout + result.stderr
    assert float(found[1]) <= EXPOSURE_MAX


def test_every_unit_is_an_ini_file_with_the_usual_sections() -> None:
    """Also where systemd is not there to say so."""
    units = list(DEPLOY.glob("awfproxy*.s[eo]*"))
    assert len(units) == 3
    for path in units:
        parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",), inline_comment_prefixes=None)
        parser.read(path)
        assert parser.sections() == ["Unit", path.suffix[1:].capitalize(), "Install"]


def test_the_configuration_is_right(settings: Settings) -> None:
    """It loads without a remark, and each of its ports has its key."""
    assert not settings.warnings
    assert [port.name for port in settings.ports if port.credential is None] == []


def test_the_service_fits_the_configuration(settings: Settings) -> None:
    """Folders, credentials, time to drain, and the name of the file."""
    service = unit("awfproxy.service")
    assert settings.service.log_dir == f"/var/log/{service['LogsDirectory'][0]}"
    assert settings.service.state_dir == f"/var/lib/{service['StateDirectory'][0]}"
    asked = set(re.findall(r'systemd = "(\w+)"', TOML.read_text()))
    assert {value.partition(":")[0] for value in service["LoadCredential"]} == asked
    assert float(service["TimeoutStopSec"][0]) > settings.service.drain_timeout + FLUSH_SECONDS
    assert int(service["LimitNOFILE"][0]) == FILES_WANTED
    assert INSTALLED in service["ExecStart"][0]
    assert INSTALLED in service["ExecReload"][0]
    # a worker that hangs is killed before its silence keeps the watchdog from being fed, which is every LOOK_SECONDS
    assert SILENT_LOOKS < BEYOND_HELP - 2
    assert float(service["WatchdogSec"][0]) >= BEYOND_HELP + 10 * LOOK_SECONDS


def test_every_socket_that_is_asked_for_is_passed(settings: Settings) -> None:
    """`systemd:...:name=X` needs a unit with FileDescriptorName=X, which the service names."""
    names = [re.findall(r"name=(\w+)", port.listen) for port in settings.ports if port.listen.startswith("systemd:")]
    units = {name: unit(name) for name in unit("awfproxy.service")["Sockets"][0].split()}
    assert sorted(name for found in names for name in found) == sorted(
        made["FileDescriptorName"][0] for made in units.values()
    )
    for made in units.values():
        assert int(made["Backlog"][0]) == BACKLOG
        assert made["ListenStream"][0].startswith("127.0.0.1:")
        assert made["Service"] == ["awfproxy.service"]


def test_prometheus_scrapes_the_admin_listener(settings: Settings) -> None:
    """The target is where the admin listener is, here and by default."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    (static,) = job["static_configs"]
    for text in (ADMIN, settings.service.admin):
        endpoint = parse_endpoint(text)
        assert not isinstance(endpoint, str)
        assert static["targets"] == [f"{endpoint.interface}:{endpoint.port}"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not on this machine")
def test_a_user_that_stays_is_made(tmp_path: Path) -> None:
    """For who runs without DynamicUser=: by systemd's own programs, under another root."""
    unit_user = unit("awfproxy.service")["User"]
    for folder in ("etc", "var/log", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "awfproxy.sysusers")], check=True, capture_output=True
    )
    user = (tmp_path / "etc/passwd").read_text().split(":")
    assert [user[0]] == unit_user
    assert user[6].strip() == "/usr/sbin/nologin"
    assert (tmp_path / "etc/group").read_text().startswith(f"{user[0]}:")
    if os.geteuid() != 0:
        return  # folders cannot be given away
    subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(DEPLOY / "awfproxy.tmpfiles")],
        check=True, capture_output=True,
    )  # fmt: skip
    service = unit("awfproxy.service")
    for folder, mode, owner in (
        ("var/log/awfproxy", int(service["LogsDirectoryMode"][0], 8), int(user[2])),
        ("var/lib/awfproxy", int(service["StateDirectoryMode"][0], 8), int(user[2])),
        ("etc/awfproxy/keys", 0o700, 0),
    ):
        found = (tmp_path / folder).stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, owner, owner)


def test_the_drop_in_for_that_user_changes_that_alone() -> None:
    """No user of systemd's own making, and its group."""
    assert unit("awfproxy-static-user.conf") == {"DynamicUser": ["no"], "Group": unit("awfproxy.service")["User"]}


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not on this machine")
def test_records_are_rotated_by_rename(tmp_path: Path) -> None:
    """By logrotate itself, twice: the newest old file stays as it was, the one before is compressed, nothing is lost."""
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o750)
    text = (DEPLOY / "awfproxy.logrotate").read_text()
    assert "/var/log/awfproxy/*.jsonl {" in text
    config = tmp_path / "logrotate.conf"
    config.write_text(text.replace("/var/log/awfproxy", str(logs)))
    config.chmod(0o644)
    current = logs / "requests.jsonl"
    for line in ("first\n", "second\n"):
        current.write_text(line)
        inode = current.stat().st_ino
        done = subprocess.run(
            [shutil.which("logrotate") or "", "--force", "--state", str(tmp_path / "state"), str(config)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert not current.exists(), "the proxy makes the new file"
        assert (logs / "requests.jsonl.1").stat().st_ino == inode
    assert (logs / "requests.jsonl.1").read_text() == "second\n"
    assert gzip.decompress((logs / "requests.jsonl.2.gz").read_bytes()) == b"first\n"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not on this machine"
)
def test_the_service_starts_on_systemds_socket_and_stops(tmp_path: Path) -> None:
    """The unit's own command line, with its credentials and a socket passed to it, answers the call that woke it."""
    passed, other, admin = free_ports(3)
    text = TOML.read_text()
    for old, new in (
        ("/var/log/awfproxy", str(tmp_path / "log")),
        ("/var/lib/awfproxy", str(tmp_path / "state")),
        ("systemd:domain=INET:name=anthropic", f"tcp:{other}:interface=127.0.0.1"),
        ("tcp:10009:", f"tcp:{admin}:"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "awfproxy.toml").write_text(text)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment |= credentials(tmp_path / "credentials")
    command = shlex.split(unit("awfproxy.service")["ExecStart"][0].replace(INSTALLED, str(tmp_path / "awfproxy.toml")))
    kept = [option for name in environment for option in ("-E", name)]
    process = subprocess.Popen(
        ["systemd-socket-activate", *kept, "--fdname=openai", "-l", f"127.0.0.1:{passed}", *command],
        env=environment | {key: value for key, value in os.environ.items() if key.startswith("COVERAGE")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        assert b"Listening" in process.stdout.readline()
        # The first connection waits in the socket until the proxy accepts it.
        with urllib.request.urlopen(f"http://127.0.0.1:{passed}/health", timeout=20) as answer:
            assert b'"state":"ready"' in answer.read()
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=20)[0].decode()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, output
    assert "listens on" in output
    assert {path.name for path in (tmp_path / "log").iterdir()} == {"requests.jsonl", "token-usage.jsonl"}
