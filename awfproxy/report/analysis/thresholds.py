"""From where on something is a finding: the one table, and how it is changed.

Rules: every threshold has its name, its default, its bounds and its words here and nowhere else; docs/findings.md is
tested against it.  What is wrong with a file of thresholds is told all at once, with its lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from awfproxy.core.toml_document import TomlDocument
from awfproxy.core.toml_tables import Table

#: bytes of a file of thresholds; all of them, with long comments, have a tenth of it
FILE_MAX: Final = 64 * 1024

#: how `--set` is given; a second line would be another setting
_SETTING: Final = re.compile(r"[^=\n]*[^=\s][^=\n]*=.*\S.*")

Count = Annotated[int, Meta(ge=1, le=10**9)]
Tokens = Annotated[int, Meta(ge=0, le=10**12)]
Share = Annotated[float, Meta(ge=0, le=1)]
Times = Annotated[float, Meta(ge=1, le=10**6)]
Seconds = Annotated[float, Meta(ge=0, le=10**7)]


class ThresholdError(ValueError):
    """Thresholds that cannot be used; `faults` are sentences that name place, key and remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Thresholds(Table, frozen=True, kw_only=True):
    """All thresholds; as a file, a TOML table of these keys."""

    growth_calls: Count = 3
    growth_ratio: Times = 3.0
    growth_tokens: Tokens = 60_000
    repeated_calls: Annotated[int, Meta(ge=2, le=10**9)] = 2
    reread_calls: Annotated[int, Meta(ge=2, le=10**9)] = 2
    retrieval_turns: Count = 2
    retrieval_conversations: Annotated[int, Meta(ge=2, le=1_000)] = 3
    retrieval_output: Tokens = 300
    retrieval_input: Tokens = 4_000
    tools_offered: Count = 10
    tools_unused: Share = 0.7
    tools_calls: Count = 5
    tool_bytes_a_token: Annotated[float, Meta(ge=1, le=100)] = 4.5
    cache_prefix: Tokens = 2_048
    cache_kept: Share = 0.2
    cache_seconds: Seconds = 300.0
    uncached_prompt: Tokens = 4_096
    uncached_calls: Annotated[int, Meta(ge=2, le=10**9)] = 3
    retry_seconds: Seconds = 600.0
    aborted_tokens: Tokens = 500
    downgrade_prompt: Tokens = 2_000
    downgrade_output: Tokens = 150
    downgrade_calls: Count = 10
    downgrade_ratio: Times = 2.5
    estimated_calls: Count = 10
    estimated_share: Share = 0.1
    reasoning_calls: Count = 5
    reasoning_tokens: Tokens = 2_000
    reasoning_share: Share = 0.9
    reasoning_saved: Share = 0.5
    refused_again: Count = 10
    severity_high: Share = 0.1
    severity_medium: Share = 0.02
    severity_saved: Annotated[float, Meta(ge=0, le=10**9)] = 0.05


#: What each means, with its unit.
WORDS: Final = {
    "growth_calls": "calls of a conversation from which on its growth is looked at",
    "growth_ratio": "times its first prompt that a conversation's prompts may have",
    "growth_tokens": "tokens that a prompt may have, however short the first one was",
    "repeated_calls": "times that a tool is called alike with the same result, in one conversation; the first included",
    "reread_calls": "times that the same is read in one conversation; the first included",
    "retrieval_turns": "calls at the beginning of a conversation that only fetch",
    "retrieval_conversations": "conversations that make the same call of a tool, this one included",
    "retrieval_output": "tokens that a call which only asks for tools generates at most",
    "retrieval_input": "tokens that such a call reads at least",
    "tools_offered": "tools that are offered at least",
    "tools_unused": "share of the tools offered that nobody calls, at least",
    "tools_calls": "calls that offer the same tools, at least",
    "tool_bytes_a_token": "bytes of tools' JSON that are taken for a token",
    "cache_prefix": "tokens that were in the cache at least",
    "cache_kept": "share of them that is read from it at most, where it is broken",
    "cache_seconds": "seconds without a call after which a cache is gone; an hour where it was written for that",
    "uncached_prompt": "tokens of a prompt that is worth a cache",
    "uncached_calls": "calls of a conversation without any cache, at least",
    "retry_seconds": "seconds within which the same request again is a retry",
    "aborted_tokens": "tokens of a call that nobody waited for, at least",
    "downgrade_prompt": "tokens that a small call reads at most",
    "downgrade_output": "tokens that a small call generates at most",
    "downgrade_calls": "small calls of one model, at least",
    "downgrade_ratio": "times that the model costs of what its smaller sibling does, at least",
    "estimated_calls": "calls in all, at least",
    "estimated_share": "share of calls whose figures are not the provider's final ones, at least",
    "reasoning_calls": "calls of one model with much reasoning, at least",
    "reasoning_tokens": "tokens of reasoning in such a call, at least",
    "reasoning_share": "share of its output that is reasoning, at least",
    "reasoning_saved": "share of that reasoning taken to be saved by a lower effort",
    "refused_again": "requests refused after one that was refused alike, at least",
    "severity_high": "share of all cost, or of all tokens, from which on a finding is high",
    "severity_medium": "share of the same from which on it is medium",
    "severity_saved": "dollars that a finding saves at least where it is high, if what it saves has a price",
}


def written(name: str, value: float) -> str:
    """A threshold as people read it."""
    if WORDS[name].startswith("share"):
        return f"{value * 100:.4g} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def thresholds_of(file: str | None = None, settings: Sequence[str] = ()) -> Thresholds:
    """The thresholds that apply: what is set here, before the file's, before the defaults.

    :param file: a TOML file of `Thresholds`
    :param settings: ``name=value``, the later before the earlier
    :raises ThresholdError: the file cannot be read, or something is wrong
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    documents = [] if file is None else [TomlDocument(_read(file), file, Thresholds)]
    for setting in settings:
        if _SETTING.fullmatch(setting) is None:
            faults.append(f"--set {setting}: is not like NAME=VALUE.")
        else:
            documents.append(TomlDocument(setting, f"--set {setting}", Thresholds, one_line=True))
    for document in documents:
        faults += document.lines()
        if not document.faults:
            values |= {name: getattr(document.tables, name) for (name,) in document.given}
    if faults:
        raise ThresholdError(faults)
    return Thresholds(**values)


def changed(thresholds: Thresholds) -> dict[str, float]:
    """Those that are not the defaults."""
    return {
        field.name: value
        for field in msgspec.structs.fields(Thresholds)
        if (value := getattr(thresholds, field.name)) != field.default
    }


def _read(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            content = stream.read(FILE_MAX + 1)
        if len(content) > FILE_MAX:
            raise ThresholdError([f"{file}: longer than {FILE_MAX:,} bytes."])
        return content.decode()
    except OSError as error:
        raise ThresholdError([f"{file}: {error.strerror or error}."]) from None
    except UnicodeDecodeError:
        raise ThresholdError([f"{file}: not UTF-8."]) from None
