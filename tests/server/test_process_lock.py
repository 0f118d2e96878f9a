"""Two services with one state folder, as real processes: the second does not start, and touches nothing."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from awfproxy.simulator.processes import ProxyProcess, free_ports
from awfproxy.simulator.setting import Setting, write_setting
from tests.daemons import daemonised, failed_start
from tests.processes import once, proxy_process, running

pytestmark = once

#: nobody listens there, and nothing is asked of it
UPSTREAM = {"any": 9}
#: a last line that no newline ends: whoever mends the journal closes it
TORN = b'{"_schema":"token-usage/v1.0.0","torn'
BUDGET = '[ports.openai.budget]\nenabled = true\nmode = "strict"'


def elsewhere(setting: Setting) -> Setting:
    """The same folders, on other ports."""
    admin, port = free_ports(2)
    text = setting.config.read_text()
    text = text.replace(f"tcp:{setting.admin_port}:", f"tcp:{admin}:")
    text = text.replace(f"tcp:{setting.ports['openai']}:", f"tcp:{port}:")
    config = setting.config.with_name("other.toml")
    config.write_text(text)
    return Setting(config, setting.log_dir, {"openai": port}, admin, setting.environment)


def touched(setting: Setting) -> list[object]:
    """What a start would change in the folders."""
    state = setting.log_dir.parent / "state"
    socket = (state / "admin.sock").stat()
    usage = (setting.log_dir / "token-usage.jsonl").read_bytes()
    return [sorted(os.listdir(state / "holdings")), (socket.st_ino, socket.st_mtime), usage]


def wait_until_held(setting: Setting, processes: int) -> None:
    """All have a piece of the budget's account: their files do not come and go by themselves any more."""
    deadline = time.monotonic() + 10
    while True:
        names = os.listdir(setting.log_dir.parent / "state" / "holdings")
        if len(names) == processes and all(name.isdecimal() for name in names):
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("first_daemon", [False, True])
@pytest.mark.parametrize(("workers", "daemon"), [(1, False), (2, True)])
def test_the_second_does_not_start(tmp_path: Path, workers: int, daemon: bool, first_daemon: bool) -> None:
    """One clear line, exit 1, and journal, socket and holdings of the first are as they were."""
    setting = write_setting(
        tmp_path, UPSTREAM, providers=["openai"], service=f"workers = {workers}", port_options=BUDGET
    )
    with ExitStack() as stack:
        if first_daemon:
            pid = stack.enter_context(daemonised(tmp_path, setting)).pid
        else:
            pid = stack.enter_context(proxy_process(tmp_path, setting)).pid
        wait_until_held(setting, workers)
        with (setting.log_dir / "token-usage.jsonl").open("ab") as file:
            file.write(TORN)
        before = touched(setting)
        ended = failed_start(tmp_path, elsewhere(setting).config, setting.environment, daemon=daemon)
        assert ended.status == 1
        assert "state_dir is in use" in ended.stderr
        assert daemon or f"(process {pid})" in ended.stderr
        assert touched(setting) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_one_leaves_no_lock(tmp_path: Path, workers: int) -> None:
    """The next starts at once; after it has stopped, another one does."""
    setting = write_setting(tmp_path, UPSTREAM, providers=["openai"], service=f"workers = {workers}")
    with proxy_process(tmp_path, setting) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        other = elsewhere(setting)
        for _ in range(2):
            with running(ProxyProcess(tmp_path, other.config, other.admin_port, other.environment)) as next_one:
                next_one.signal(signal.SIGTERM)
                assert next_one.wait(30) == 0
