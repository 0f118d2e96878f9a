"""Thresholds: where they are from, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from awfproxy.report.analysis.codes import KINDS, filled
from awfproxy.report.analysis.thresholds import (
    FILE_MAX,
    WORDS,
    ThresholdError,
    Thresholds,
    changed,
    thresholds_of,
    written,
)


def test_what_is_set_goes_before_the_file(tmp_path: Path) -> None:
    """And the file before the defaults; the last one of several counts."""
    file = tmp_path / "thresholds.toml"
    file.write_text("growth_tokens = 10_000  # small\ncache_kept = 0.5\ngrowth_ratio = 2\n")
    limits = thresholds_of(str(file), ["cache_kept=0.1", "cache_kept = 0.3", "retry_seconds=5"])
    assert (limits.growth_tokens, limits.cache_kept, limits.growth_ratio, limits.retry_seconds) == (10_000, 0.3, 2.0, 5.0)
    assert changed(limits) == {"growth_tokens": 10_000, "growth_ratio": 2.0, "cache_kept": 0.3, "retry_seconds": 5.0}
    assert changed(Thresholds()) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("growth_token = 1", "did you mean `growth_tokens`?"),
        ("growth_tokens = -1", ">= 0"),
        ("growth_tokens = 1.5", "a whole number"),
        ("cache_kept = 2", "<= 1"),
        ("cache_kept = nan", "finite"),
        ('cache_kept = "much"', "a number"),
        ("repeated_calls = 1", ">= 2"),
        ("growth_tokens =", "not valid TOML"),
        ("[growth]\ntokens = 1", "is not a setting"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """In a file with its line, of an option with the option."""
    file = tmp_path / "thresholds.toml"
    file.write_text("# ours\n" + text)
    with pytest.raises(ThresholdError, match=r"thresholds\.toml(:\d)?: ") as caught:
        thresholds_of(str(file))
    assert told in str(caught.value)
    if "\n" not in text:
        with pytest.raises(ThresholdError, match="--set"):
            thresholds_of(None, [text])


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Of the file and of the options."""
    file = tmp_path / "thresholds.toml"
    file.write_text("a = 1\nb = 2\n")
    with pytest.raises(ThresholdError) as caught:
        thresholds_of(str(file), ["c=3", "d=4\nretry_seconds=5"])
    assert len(caught.value.faults) == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Too long, no text, not there."""
    file = tmp_path / "thresholds.toml"
    for content in (b"#" * (FILE_MAX + 1), b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(ThresholdError):
            thresholds_of(str(file))
    with pytest.raises(ThresholdError, match="No such file"):
        thresholds_of(str(tmp_path / "none.toml"))


def test_every_threshold_has_its_words_and_its_use() -> None:
    """None is idle: each stands in the text of a finding, or decides how severe it is."""
    assert list(WORDS) == list(Thresholds.__struct_fields__)
    texts = " ".join(kind.rule + kind.figures for kind in KINDS.values())
    for name in Thresholds.__struct_fields__:
        assert f"{{{name}}}" in texts or name.startswith("severity_"), name


def test_rules_are_told_with_the_thresholds_that_applied() -> None:
    """Numbers as people write them, shares in percent."""
    limits = Thresholds(growth_tokens=1_234_567, growth_ratio=2.5)
    rule = filled(KINDS["context-growth"].rule, limits)
    assert "1,234,567 tokens" in rule and "2.5 times" in rule
    assert written("cache_kept", 0.125) == "12.5 %"
    for kind in KINDS.values():
        for text in msgspec.structs.astuple(kind):
            assert "{" not in filled(text, limits)


def test_places_of_options_have_no_lines() -> None:
    """A fault of `--set` is told with what was given; what is no setting at all is told so."""
    given = ["tools_unused=7", "tools_unsued=1", "tools_unused=a b", "much", "tools_unused=", "=4"]
    with pytest.raises(ThresholdError) as caught:
        thresholds_of(None, given)
    assert sorted(caught.value.faults) == sorted([
        "--set =4: is not like NAME=VALUE.",
        "--set much: is not like NAME=VALUE.",
        "--set tools_unsued=1: `tools_unsued` is not a setting; did you mean `tools_unused`?",
        "--set tools_unused=: is not like NAME=VALUE.",
        "--set tools_unused=7: `tools_unused` is wrong: expected a number <= 1.0.",
        "--set tools_unused=a b: this is not valid TOML: invalid value; a text stands in quotes, numbers, true and false do not.",
    ])  # fmt: skip
