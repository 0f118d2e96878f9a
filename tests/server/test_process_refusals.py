"""A start that cannot be: one clear line on standard error and a non-zero status, in the foreground and daemonised."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from awfproxy.simulator.setting import Setting, write_setting
from tests.daemons import failed_start
from tests.processes import once

pytestmark = once

#: nobody listens there, and nothing is asked of it
UPSTREAM = {"any": 9}
FORMS = [("uvloop", False), ("uvloop", True), ("epoll", False), ("epoll", True)]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A configuration that is right, until the test has its way with it."""
    return write_setting(tmp_path, UPSTREAM, providers=["openai"])


def change(setting: Setting, old: str, new: str) -> None:
    """Write the configuration anew with ``new`` in place of ``old``."""
    text = setting.config.read_text()
    assert text.count(old) == 1
    setting.config.write_text(text.replace(old, new))


def complaint(tmp_path: Path, setting: Setting, reactor: str, daemon: bool) -> str:
    """What a start that fails says on standard error, where it says one thing only."""
    twistd = ["--reactor=epoll"] if reactor == "epoll" else []
    ended = failed_start(tmp_path, setting.config, setting.environment, daemon=daemon, twistd=twistd)
    assert ended.status == 1
    lines = [line for line in ended.stderr.splitlines() if line]
    if not daemon or lines[0].startswith("awfproxy: "):
        assert all(line.startswith("awfproxy: ") for line in lines)
        (line,) = lines
        return line
    # twistd's words around the first 98 bytes of ours; the log has them whole
    shown, _ = lines
    text = shown.removeprefix("An error has occurred: b").strip("'\"").removeprefix("StartFailure: ")
    log, pidfile = tmp_path / "failed.log", tmp_path / "failed.pid"
    deadline = time.monotonic() + 5
    while pidfile.exists() or text not in log.read_text():  # the parent is told before the child is through
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return text


@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
@pytest.mark.parametrize("which", ["port", "admin"])
def test_a_taken_port(tmp_path: Path, setting: Setting, taken: int, which: str, reactor: str, daemon: bool) -> None:
    """Of a listener or of the admin listener: the start ends with the address and the reason."""
    mine = setting.ports["openai"] if which == "port" else setting.admin_port
    change(setting, f"tcp:{mine}:", f"tcp:{taken}:")
    line = complaint(tmp_path, setting, reactor, daemon)
    assert f"`tcp:{taken}:interface=127.0.0.1`: the address is taken by another process" in line


@pytest.mark.parametrize("which", ["port", "admin"])
def test_a_listener_that_only_twisted_can_open(tmp_path: Path, setting: Setting, taken: int, which: str) -> None:
    """No different: a taken address, a file that is missing or a kind that nobody knows is one line, never a trace."""
    mine = setting.ports["openai"] if which == "port" else setting.admin_port
    change(setting, f"tcp:{mine}:", f"haproxy:tcp:{taken}:")
    line = complaint(tmp_path, setting, "uvloop", daemon=False)
    assert f"`haproxy:tcp:{taken}:interface=127.0.0.1`: the address is taken by another process" in line
    change(setting, f"haproxy:tcp:{taken}:", "ssl:0:privateKey=/nowhere/key.pem:")
    line = complaint(tmp_path, setting, "uvloop", daemon=False)
    assert "No such file or directory: /nowhere/key.pem" in line


@pytest.mark.parametrize(("reactor", "daemon"), FORMS)
def test_a_folder_that_cannot_be_written(tmp_path: Path, setting: Setting, reactor: str, daemon: bool) -> None:
    """No calls without records: the start ends with the file and the reason."""
    setting.log_dir.write_text("a file where a folder should be")
    line = complaint(tmp_path, setting, reactor, daemon)
    assert f"log_dir cannot be written to: File exists: {setting.log_dir}"[:84] in line


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("provider = ", "provder = ", "did you mean `provider`?"),
        ("[service]", "[service", "awfproxy.toml:1"),
        ('"openai"', '"opnai"', "openai"),
    ],
)
def test_a_wrong_configuration(
    tmp_path: Path, setting: Setting, old: str, new: str, words: str, daemon: bool
) -> None:
    """Told before anything is forked or opened; every fault in a line of its own."""
    change(setting, old, new)
    ended = failed_start(tmp_path, setting.config, setting.environment, daemon=daemon)
    lines = ended.stderr.splitlines()
    assert ended.status == 1
    assert lines
    assert all(line.startswith(f"awfproxy: {setting.config}:") for line in lines)
    assert words in ended.stderr
    assert not setting.log_dir.exists()


def test_no_configuration(tmp_path: Path, setting: Setting) -> None:
    """A file that is not there."""
    setting.config.unlink()
    assert complaint(tmp_path, setting, "uvloop", False).endswith("awfproxy.toml: cannot be read: no such file or directory.")
