"""Holdings in a file: what a process held when it was killed, read by those who live on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from awfproxy.core.budgets import Scope
from awfproxy.core.holdings import PLACES
from awfproxy.ledger.facts import Held, Window
from awfproxy.server import holdings_file
from awfproxy.server.holdings_file import FOLDER, SEGMENT_PLACES, HoldingsFile, HoldingsFull, dead

DAY = Window(Scope("openai"), "day", 0, 86_400)
MONTH = Window(Scope("openai", "user", 'someone "quoted" ü'), "month", 0, 31 * 86_400, "all")

#: spends, says so, and waits to be killed in the middle of a call
DIES = """
import sys, time
from tests.server.test_holdings_file import *
file = HoldingsFile(sys.argv[1])
one, two = file.holding(DAY), file.holding(MONTH)
one.agree(1000, 99)
one.reserve(400)
one.settle(400, 300)
one.reserve(200)
two.agree(50, 99)
print("held", flush=True)
time.sleep(60)
"""


def test_the_figures_of_a_killed_process_are_found(tmp_path: Path) -> None:
    """To the last write; while it lives nobody takes it for dead, and once settled it is gone."""
    with subprocess.Popen([sys.executable, "-c", DIES, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert not list(dead(str(tmp_path)))
        process.send_signal(signal.SIGKILL)
    (found,) = dead(str(tmp_path))
    assert found.helds == [Held(DAY, 1000, 300, 200), Held(MONTH, 50, 0, 0)]
    assert not list(dead(str(tmp_path)))  # somebody settles it
    found.close()
    (again,) = dead(str(tmp_path))
    assert again.number == found.number
    again.settled()
    again.close()
    assert not list(dead(str(tmp_path)))
    assert os.listdir(tmp_path / FOLDER) == []


def test_a_file_is_gone_when_nothing_is_held(tmp_path: Path) -> None:
    """And is left when something is."""
    file = HoldingsFile(str(tmp_path))
    holding = file.holding(DAY)
    file.close_holding(holding)
    file.close()
    assert os.listdir(tmp_path / FOLDER) == []
    file = HoldingsFile(str(tmp_path))
    holding = file.holding(DAY)
    holding.agree(5, 9)
    file.close()
    (found,) = dead(str(tmp_path))
    assert found.helds == [Held(DAY, 5, 0, 0)]
    found.close()


def test_places_are_used_again(tmp_path: Path) -> None:
    """A day's after the other; and when all are taken that is said."""
    file = HoldingsFile(str(tmp_path))
    held = [file.holding(DAY) for _ in range(PLACES)]
    with pytest.raises(HoldingsFull):
        file.holding(DAY)
    file.close_holding(held.pop())
    again = file.holding(MONTH)
    again.agree(7, 9)
    for holding in held:
        file.close_holding(holding)
    file.close()
    (found,) = dead(str(tmp_path))
    assert found.helds == [Held(MONTH, 7, 0, 0)]
    found.close()


def test_the_longest_names_fit(tmp_path: Path) -> None:
    """Every byte of a label escaped."""
    longest = Window(Scope("p" * 256, "feature", '"' * 256), "week", 2**40, 2**41, "reported")
    file = HoldingsFile(str(tmp_path))
    file.holding(longest)
    file.close()
    (found,) = dead(str(tmp_path))
    assert [held.window for held in found.helds or ()] == [longest]
    found.close()
    file = HoldingsFile(str(tmp_path))
    with pytest.raises(ValueError, match="too long"):
        file.holding(Window(Scope("p" * 3000), "day", 0, 1))
    file.close()


def test_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places of further segments are read as those of the first; without room on the disk those there are stay good."""
    file = HoldingsFile(str(tmp_path))
    small = os.path.getsize(file.path)
    windows = [Window(Scope("p", "user", f"u{number}"), "day", 0, 86_400) for number in range(SEGMENT_PLACES + 2)]
    for number, window in enumerate(windows[:-2]):
        file.holding(window).agree(number, 9)
    assert os.path.getsize(file.path) == small
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            file.holding(DAY)
    assert os.path.getsize(file.path) == small
    for number, window in enumerate(windows[-2:], SEGMENT_PLACES):
        file.holding(window).agree(number, 9)
    assert os.path.getsize(file.path) > small
    file.close()
    (found,) = dead(str(tmp_path))
    assert found.helds == [Held(window, number, 0, 0) for number, window in enumerate(windows)]
    found.close()


def full(*_: Any) -> None:
    """A disk without room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("damage", ["boot", "magic", "window", "empty", "short", "long"])
def test_what_cannot_be_believed_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """A file from before the last boot, or damaged: the ledger's own figures count then."""
    file = HoldingsFile(str(tmp_path))
    file.holding(DAY).agree(5, 9)
    path = Path(file.path)
    file.close()
    data = bytearray(path.read_bytes())
    if damage == "boot":
        monkeypatch.setattr(holdings_file, "boot_id", lambda: b"another\n")
    elif damage == "magic":
        data[0] ^= 1
    elif damage == "window":
        data[data.index(b"openai")] = 0
    elif damage == "empty":
        data.clear()
    elif damage == "long":
        data += b"x"
    path.write_bytes(data[:1000] if damage == "short" else data)
    (found,) = dead(str(tmp_path))
    assert found.helds is None
    found.close()


def test_a_full_disk_is_an_error_and_not_a_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in a mapped file that cannot be filled would kill the process; and no draft is left."""
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        HoldingsFile(str(tmp_path))
    assert os.listdir(tmp_path / FOLDER) == []
