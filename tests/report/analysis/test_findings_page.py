"""docs/findings.md tells of every finding, threshold and limit as the program has them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from awfproxy.report.analysis import amounts, board, conversations, in_order, tool_calls, toolsets, turn_names
from awfproxy.report.analysis.analysis import SURE_ENOUGH
from awfproxy.report.analysis.codes import KINDS, filled
from awfproxy.report.analysis.forms import MARK
from awfproxy.report.analysis.thresholds import WORDS, Thresholds

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "findings.md").read_text()
#: of ours: codes are fixed for ever, so this list may only grow
CODES = {
    "aborted-but-billed",
    "cache-prefix-break",
    "cap-refusals",
    "context-growth",
    "deterministic-retrieval",
    "estimated-share",
    "model-downgrade",
    "no-prompt-caching",
    "paid-retries",
    "reasoning-heavy",
    "repeated-tool-calls",
    "reread-files",
    "unused-tool-schemas",
}


def plain(text: str) -> str:
    return " ".join(text.split())


def test_codes_are_fixed() -> None:
    """None is gone or called otherwise."""
    assert set(KINDS) >= CODES
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", code) for code in KINDS)


def test_the_page_has_a_section_for_every_code_and_no_other() -> None:
    """In the order of the table."""
    assert re.findall(r"^### `([^`]+)`$", PAGE, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("code", KINDS)
def test_a_section_says_what_the_program_says(code: str) -> None:
    """Title, rule with the defaults, figures, confidence, what to do."""
    section = plain(re.split(r"^##", PAGE.split(f"### `{code}`\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0])
    for text in msgspec.structs.astuple(KINDS[code]):
        assert plain(filled(text, Thresholds())) in section


def test_the_page_has_every_threshold_with_its_default() -> None:
    """And its words, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (.*) \|$", PAGE, re.MULTILINE)
    fields = {field.name: field.default for field in msgspec.structs.fields(Thresholds)}
    assert [(name, float(value), words) for name, value, words in rows] == [
        (name, float(fields[name]), words) for name, words in WORDS.items()
    ]


def test_the_page_has_the_limits() -> None:
    """The numbers are the program's."""
    limits = PAGE.split("## Limits\n", 1)[1]
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", limits.split("\n\n")[0])]
    assert numbers == [
        conversations.CONVERSATIONS_MAX,
        conversations.HASHES_MAX,
        conversations.HASHES_OF_ONE_MAX,
        tool_calls.RECURRING_MAX,
        toolsets.TOOLSETS_MAX,
        amounts.PLACES_MAX,
        in_order.WINDOW,
        in_order.OPEN_MAX,
        turn_names.CALLS_MAX,
    ]
    assert f"at most {board.EVIDENCE_MAX}" in PAGE and MARK in PAGE and f"at least {SURE_ENOUGH} % sure" in PAGE
