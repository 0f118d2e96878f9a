"""The fuzz targets without a fuzzer: they run, they see what is broken, and what was found once stays mended."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from awfproxy.core import finder, jsonbody, sse
from awfproxy.core.awsmessage import PRELUDE, lengths
from tests.fuzz import scanning
from tests.fuzz.__main__ import SHARES
from tests.fuzz.aws_messages import event, mended
from tests.fuzz.choices import HEAD, Choices
from tests.fuzz.seeds import WORDS, seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
#: TARGET-what-it-was.bin
FINDINGS = sorted((Path(__file__).parent / "findings").glob("*.bin"))
#: inputs made of each target's seeds
CHANGED = 250


def changed(seed: bytes, chance: random.Random) -> bytes:
    """A seed with a few changes, as a fuzzer makes them."""
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(WORDS)
            case 1:
                data[at : at + chance.randrange(40)] = b""
            case 2:
                data[at : at + 1] = chance.randbytes(1)
            case _:
                data[at:at] = data[:40]
    return bytes(data)


def all_seeds(name: str) -> None:
    """Give a target everything that it begins with."""
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_seeds_and_what_is_near_them_keep_the_promises(name: str) -> None:
    """Each seed, and some hundred changed ones, always the same."""
    chance = random.Random(name)
    known = seeds(name)
    all_seeds(name)
    for _ in range(CHANGED):
        TARGETS[name](changed(chance.choice(known), chance))


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_and_noise_keep_them_too(name: str) -> None:
    """No body, a part of the choices, and bytes of no meaning."""
    chance = random.Random(name)
    for size in (*range(HEAD + 3), *(chance.randrange(300) for _ in range(50))):
        TARGETS[name](chance.randbytes(size))


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    """Inputs that broke a promise, as the fuzzer wrote them; their names say what it was."""
    TARGETS[path.name.partition("-")[0]](path.read_bytes())


def test_every_target_gets_its_time() -> None:
    """And each begins with something."""
    assert set(SHARES) == set(TARGETS)
    assert all(seeds(name) for name in TARGETS)


def test_the_targets_see_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that depends on its pieces, one that raises, one that takes a text for usage: each is told."""
    with monkeypatch.context() as broken:
        feed = finder.Finder.feed
        broken.setattr(finder.Finder, "feed", lambda self, data: feed(self, data.removeprefix(b'"')))
        with pytest.raises(AssertionError):
            all_seeds("outlines")
    with monkeypatch.context() as broken:
        broken.setattr(jsonbody.JsonBody, "finish", lambda self: dict[str, str]()["nothing"])
        with pytest.raises(KeyError):
            all_seeds("scan")
    with pytest.raises(AssertionError):
        scanning._is_told(b'data: {"choices":[{"delta":{"content":"\\"prompt_tokens\\":5"}}]}\n\n', {"prompt_tokens": 5})
    with pytest.raises(AssertionError):
        scanning._is_usage_event(b'data: {"choices":[1],"usage":{"prompt_tokens":5}}\n\n')


def test_low_bounds_are_lifted_again() -> None:
    """What one input changes is no other's business."""
    usual = [sse.EVENT_MAX, jsonbody.BODY_MAX]
    with scanning._low_bounds():
        assert usual != [sse.EVENT_MAX, jsonbody.BODY_MAX]
    assert usual == [sse.EVENT_MAX, jsonbody.BODY_MAX]


def test_choices_cut_without_loss() -> None:
    """The pieces are the body, none empty, under any head; a body without a head is empty."""
    chance = random.Random(1)
    for first in (0, 255, *range(20)):
        choices = Choices(bytes([first]) + chance.randbytes(HEAD - 1) + b"the body itself" * first)
        pieces = choices.pieces(choices.body)
        assert b"".join(pieces) == choices.body
        assert all(pieces)
    assert Choices(b"abc").body == b""
    assert Choices(b"").one_of(["first", "second"]) == "first"


def test_mended_messages_are_sound() -> None:
    """Sound ones stay as they are; noise becomes messages whose checksums are right."""
    whole = event("metadata", b"{}") + event("chunk", b'{"bytes":""}')
    assert mended(whole) == whole
    data = mended(random.Random(1).randbytes(5000))
    at = 0
    while at + PRELUDE + 4 <= len(data):
        told = lengths(data, at)
        assert told is not None
        at += told[0]
    assert at > 4000


def test_the_fuzzer_runs(tmp_path: Path) -> None:
    """Two seconds of it, where atheris is installed."""
    pytest.importorskip("atheris", reason="atheris is not installed (the extra fuzz)")
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "2", "--jobs", "1", "--folder", str(tmp_path), "held"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "held" in done.stdout
    assert " runs, coverage/features " in done.stdout
