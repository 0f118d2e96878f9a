"""The tutorial, and the sample in the page of findings: every command in them is run on the demonstration's data, and
prints what the page says.

What differs from run to run is made the same on both sides: times, ids that are made at random, sizes; and money, where
another price list is installed than the page was written with.  A line ``...`` in the page stands for lines that are
left out.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from awfproxy.prices.published import published_version
from awfproxy.simulator.demo.runs import FIRST, SECOND
from tests.demonstrated import Demonstrated, environment_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
FINDINGS = (ROOT / "docs" / "findings.md").read_text()
BLOCKS, SAMPLES = (
    re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) for page in (PAGE, FINDINGS)
)
OMITTED = "..."
#: seconds that one command may take on a machine that does other things too
TIMEOUT = 60

#: What is different each time, and what stands for it.  The order counts.
VOLATILE = (
    (r"^Calls (of the hour of|from) .*", "Calls of some time."),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "<time>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$", "<id>"),
    (r"\b[0-9a-f]{16}\b", "<hash>"),
    (r"\d+ KB", "<size>"),
    (r"─+", "─"),
    (r"\s+", " "),
)
#: What is different with another price list: dollars, their share of the whole, and the list's name.
PRICED = (
    (r"[-+]?\$[\d,.]+( \([-+]?[\d.]+%\))?", "<money>"),
    (r"genai-prices [\w.]+", "genai-prices"),
)
#: whether the page was written with the prices that are installed
EXACT = set(re.findall(r"genai-prices ([\w.]*\w)", PAGE + FINDINGS)) == {published_version()}


def same(text: str, *, exact: bool = EXACT) -> list[str]:
    """The lines, without what is different each time.

    :param exact: dollars too are what they are
    """
    lines = text.rstrip("\n").split("\n")
    for pattern, word in VOLATILE if exact else (*PRICED, *VOLATILE):
        lines = [re.sub(pattern, word, line.rstrip()) for line in lines]
    return [line.strip() for line in lines]


def missing(expected: list[str], printed: list[str]) -> list[str]:
    """The first lines that are not there as the page has them; [] if all are."""
    at = 0
    parts = "\n".join(expected).split(f"\n{OMITTED}\n") if OMITTED in expected else ["\n".join(expected)]
    for number, part in enumerate(parts):
        lines = [line for line in part.split("\n") if line != OMITTED]
        places = range(at, len(printed) - len(lines) + 1) if number else [0]
        found = next((place for place in places if printed[place : place + len(lines)] == lines), None)
        if found is None:
            return lines
        at = found + len(lines)
    return [] if at == len(printed) or expected[-1] == OMITTED else printed[at:]


def printed_by(command: str, folder: Path) -> str:
    """Both outputs of the command, as a terminal shows them."""
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment_of(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=TIMEOUT, check=False,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def folder(demonstrated: Demonstrated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own, with the demonstration in `demo`: the commands write into it."""
    assert demonstrated.status == 0, demonstrated.printed
    here = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(demonstrated.folder, here / "demo")
    return here


@pytest.mark.parametrize(("command", "told"), [*SAMPLES, *BLOCKS], ids=[command for command, _ in [*SAMPLES, *BLOCKS]])
def test_it_prints_what_the_page_says(folder: Path, command: str, told: str) -> None:
    """Line by line, in order."""
    printed = printed_by(command, folder)
    lines = missing(same(told), same(printed))
    assert not lines, f"not as in the page (make docs):\n{chr(10).join(lines)}\nprinted:\n{printed}"


def test_make_docs_writes_the_same(folder: Path) -> None:
    """What writes the page anew changes nothing in it but what is different each time."""
    spec = importlib.util.spec_from_file_location("tutorial_output", ROOT / "docs" / "tutorial_output.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.anew("a 1\nb\n...\nd 3\n...\n", "a 2\nb\nc\nd 4\ne\n") == "a 2\nb\n...\nd 4\n...\n"
    assert module.anew("...\nb 1\nx\n", "a\nb 2\nc\nd\n") == "...\nb 2\nc\nd\n"
    for command, told in (*BLOCKS, *SAMPLES):
        if "logs token-usage" in command or OMITTED in told:
            done = printed_by(command, folder)
            assert same(module.anew(told, done)) == same(told)


def test_a_difference_is_found() -> None:
    """One line that is another, is missing, or is too many; in the middle, behind what was left out, and at the end."""
    printed = ["a", "b", "c", "d", "e"]
    assert missing(["a", "b", "c", "d", "e"], printed) == []
    assert missing(["a", OMITTED, "c", "d", OMITTED], printed) == []
    for wrong in (["a", "c"], ["a", OMITTED, "d", "c", OMITTED], ["a", "b"], ["b", "c", "d", "e"], ["a", OMITTED, "d"]):
        assert missing(wrong, printed) != []


def test_what_stays_the_same_is_compared() -> None:
    """Counts are not made the same, and neither are names."""
    line = "nightly-1  33  $0.81  72.1%"
    assert same(line, exact=True) == ["nightly-1 33 $0.81 72.1%"]
    assert same(line, exact=False) == ["nightly-1 33 <money> 72.1%"]


def test_the_page_explains_every_finding() -> None:
    """A row for each of the first run's, and those that are left in the second say that they are."""
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == set(FIRST.findings)
    assert {code for code, changed in rows.items() if changed.startswith("nothing yet")} == set(SECOND.findings)


def test_there_is_a_sample_of_findings() -> None:
    """One, with a finding in whole."""
    ((command, told),) = SAMPLES
    assert "logs analyze" in command and "To do: " in told and "Sure: " in told


def test_all_that_it_promises_is_there() -> None:
    """What it cost, which turns, what to do, what came of it, a gate, a page."""
    told = " ".join(command for command, _ in BLOCKS)
    assert all(word in told for word in ("token-usage", "turns", "analyze", "--compare-run", "--fail-on", "--html"))
