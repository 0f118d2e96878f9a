"""Every finding there is: its code, what it means, how its figures are made, how sure it is, what to do.

Rules: codes are fixed for ever, and one that is no longer found is never used for something else.  `rule` names
thresholds in braces; reports show it with those that applied.  Confidences are percent; `sure` says what they go by.
docs/findings.md has a section for each, which a test holds against this table.
"""

from __future__ import annotations

from typing import Final

import msgspec

from awfproxy.report.analysis.thresholds import Thresholds, written


class Kind(msgspec.Struct, frozen=True):
    """One kind of finding."""

    title: str
    #: when it is found, with the names of thresholds in braces
    rule: str
    #: how tokens and money at stake and saved are worked out
    figures: str
    #: what the confidence goes by
    sure: str
    #: what to do about it
    fix: str


def filled(text: str, thresholds: Thresholds) -> str:
    """A text with the thresholds that applied."""
    return text.format(**{name: written(name, getattr(thresholds, name)) for name in thresholds.__struct_fields__})


CONTEXT_GROWTH: Final = "context-growth"
REPEATED_TOOL_CALLS: Final = "repeated-tool-calls"
REREAD_FILES: Final = "reread-files"
DETERMINISTIC_RETRIEVAL: Final = "deterministic-retrieval"
UNUSED_TOOL_SCHEMAS: Final = "unused-tool-schemas"
CACHE_PREFIX_BREAK: Final = "cache-prefix-break"
NO_PROMPT_CACHING: Final = "no-prompt-caching"
PAID_RETRIES: Final = "paid-retries"
ABORTED_BUT_BILLED: Final = "aborted-but-billed"
MODEL_DOWNGRADE: Final = "model-downgrade"
REASONING_HEAVY: Final = "reasoning-heavy"
ESTIMATED_SHARE: Final = "estimated-share"
CAP_REFUSALS: Final = "cap-refusals"

_WHOLE: Final = "At stake and saved is the whole call."
_CALLED_AGAIN: Final = (
    "Where all calls of a turn are such, the whole prompt of the request that carries them; else their part of what "
    "the turn added to the prompt. What later requests pay for it again is not counted."
)

KINDS: Final[dict[str, Kind]] = {
    CONTEXT_GROWTH: Kind(
        "Conversations that grow and grow",
        "From its call {growth_calls} on, a conversation has prompts of more than {growth_ratio} times its first "
        "one, and of more than {growth_tokens} tokens.",
        "At stake and saved are the tokens above that, in each call, as far as they were read from the cache at its "
        "rate, the others at the input's.",
        "60 %: some work needs all of it.",
        "Start a new conversation for each task, summarise earlier (compaction), let sub-agents do what needs much "
        "reading, and have tools answer with less.",
    ),
    REPEATED_TOOL_CALLS: Kind(
        "Tools called again with the same result",
        "In one conversation a tool is called {repeated_calls} times or more with the same arguments, and gives the "
        "same result.",
        _CALLED_AGAIN,
        "90 %: both hashes are the same.",
        "Have the agent keep results in notes, answer repeated calls from a cache in the tool, and say in the "
        "instructions that nothing is polled without a pause.",
    ),
    REREAD_FILES: Kind(
        "The same read again",
        "In one conversation a tool that reads files is called {reread_calls} times or more with the same arguments, "
        "and gives the same result.",
        _CALLED_AGAIN,
        "90 %: both hashes are the same.",
        "Say in the instructions that a file which was read and not changed is still in the context; give line "
        "ranges; keep conversations short, so that nothing is forgotten.",
    ),
    DETERMINISTIC_RETRIEVAL: Kind(
        "A model asked to fetch what could be fetched before",
        "A call reads {retrieval_input} tokens or more, generates at most {retrieval_output}, without reasoning, "
        "and all it does is call tools that fetch; and it is one of {retrieval_turns} or more such calls at the "
        "beginning of the conversation that fetch from another system, or {retrieval_conversations} conversations "
        "or more made the same calls.",
        "At stake is the whole call. Saved is the whole call, less what the next one would pay more because it does "
        "not find in the cache what this one brought there.",
        "80 % where other conversations made the same calls, 50 % where only their place speaks for it.",
        "Fetch it before the agent starts, in a step of its own (`gh`, an API, a script), and put the result into a "
        "file or the prompt.",
    ),
    UNUSED_TOOL_SCHEMAS: Kind(
        "Tools offered that nobody calls",
        "{tools_calls} or more calls of a run offer the same {tools_offered} or more tools, and {tools_unused} or "
        "more of them are never called in it.",
        "The tools' JSON at {tool_bytes_a_token} bytes a token, the share of the unused ones, in each call: at the "
        "cache's rate where the call read as much from it, else at that of writes or the input.",
        "70 %: the size is that of the mean tool, and another run may need them. 50 % without a label of the run.",
        "Offer fewer tools: restrict the tool sets of MCP servers, allow-list them in the workflow, or load tools "
        "when they are searched for.",
    ),
    CACHE_PREFIX_BREAK: Kind(
        "What was in the cache is paid for again",
        "A call of a conversation after one that had {cache_prefix} tokens or more in the cache reads at most "
        "{cache_kept} of them from it. Looked for in this order: the model changed, the tools changed, "
        "the system prompt changed, no call came for {cache_seconds} seconds (an hour where it was written for "
        "that).",
        "At stake is the prefix. Saved is the difference between what it cost and the cache's rate; no tokens.",
        "95 % where model, tools or system prompt changed, 85 % where the time was too long, 50 % where no cause "
        "shows.",
        "Keep tools and system prompt the same, and in the same order, over a conversation: no clock, no counter in "
        "them. Where pauses are long, write the cache for an hour, or begin anew.",
    ),
    NO_PROMPT_CACHING: Kind(
        "Prompts sent again without a cache",
        "{uncached_calls} or more calls of a conversation with a Claude model, of {uncached_prompt} tokens or more, "
        "none more than {cache_seconds} seconds after the one before, neither read from a cache nor write to one.",
        "At stake is the prompt of the call before, which was sent again. Saved is the difference to the cache's "
        "rate, less what writing would cost more; no tokens.",
        "90 %: other models cache by themselves, these do where the request asks for it.",
        "Set `cache_control` on the last block of the system prompt and of the newest message, or the SDK's option "
        "that does it.",
    ),
    PAID_RETRIES: Kind(
        "Paid for twice: sent again after a failure",
        "The same request of a conversation comes again, to the same port, API and model, within {retry_seconds} "
        "seconds after one that failed or was given up, and that one used tokens.",
        "At stake is the whole failed call. Saved is the whole call, less what the retry would have paid more, had it "
        "not found in the cache what the failed one brought there, and less the tokens that it found.",
        "90 % with the provider's figures, 60 % with estimated ones.",
        "Give the client a longer timeout than the model needs, stream, and have it retry only what failed before "
        "the model began.",
    ),
    ABORTED_BUT_BILLED: Kind(
        "Paid for, and nobody waited",
        "A call that did not come to its end used {aborted_tokens} tokens or more, and was not sent again (that "
        "would be paid-retries).",
        _WHOLE,
        "80 % with the provider's figures, 50 % with estimated ones.",
        "See who leaves: a timeout that is too short, a job that is cancelled, a person who interrupts. "
        "`on_client_abort` decides what the proxy does then.",
    ),
    MODEL_DOWNGRADE: Kind(
        "Small calls with a dear model",
        "{downgrade_calls} or more calls of one model read at most {downgrade_prompt} tokens and generate at most "
        "{downgrade_output}, without tools and without reasoning, and a smaller sibling costs less by "
        "{downgrade_ratio} times or more.",
        "At stake is the whole call. Saved is the difference to the sibling's price; no tokens.",
        "30 %: a candidate. Only a trial tells whether the answers are good enough.",
        "Try the smaller model for these calls (titles, classification, extraction), and compare the answers.",
    ),
    REASONING_HEAVY: Kind(
        "Much reasoning for short answers",
        "{reasoning_calls} or more calls of one model generate {reasoning_tokens} tokens of reasoning or more, and "
        "that is {reasoning_share} or more of their output.",
        "At stake is the reasoning. Saved is {reasoning_saved} of it, an assumption.",
        "30 %: hard questions have short answers too.",
        "Try a lower reasoning effort, or a smaller budget, for these calls.",
    ),
    ESTIMATED_SHARE: Kind(
        "Figures that are not the provider's",
        "Of {estimated_calls} or more calls, {estimated_share} or more have figures that are "
        "estimated, or not the final ones.",
        "At stake are these calls. Nothing is saved.",
        "100 %: the records say so.",
        "See `usage_reason` in requests.jsonl. Streams that are cut, clients that leave, and servers that report "
        "nothing are the usual reasons; `include_usage` asks for it.",
    ),
    CAP_REFUSALS: Kind(
        "Sent again and again against a limit",
        "{refused_again} or more requests were refused by a limit or a budget after another of the same port, user "
        "and run had been refused for the same reason.",
        "They cost no tokens, but the time of whoever waits.",
        "100 %: the records say so.",
        "Have clients obey `Retry-After` and `x-should-retry`, spread their calls, or raise the limit.",
    ),
}

#: what is told of the total
TOTAL_WORDS: Final = (
    "Nothing is counted twice: of each call only the finding that claims most counts, and what groups of calls claim "
    "(growth, unused tools, ...) only where nothing else does; the total is never less than the largest finding."
)
