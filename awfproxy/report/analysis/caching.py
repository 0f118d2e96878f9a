"""What prompt caches were not used for: prefixes that fell out, and conversations without any cache.

Rules: only the provider's final figures of calls that came to their end are looked at (the caller sees to it).  A
cache belongs to a model: a conversation that goes to and fro between two is followed for each.
"""

from __future__ import annotations

from typing import Final

from awfproxy.report.analysis.board import Board
from awfproxy.report.analysis.codes import CACHE_PREFIX_BREAK, NO_PROMPT_CACHING
from awfproxy.report.analysis.conversations import CACHES_MAX, Cached, Conversation
from awfproxy.report.analysis.groups import Group
from awfproxy.report.analysis.steps import Step, kept_an_hour
from awfproxy.report.analysis.thresholds import Thresholds

#: seconds for which Anthropic keeps what is written for an hour (platform.claude.com/docs, "Prompt caching")
HOUR: Final = 3600.0
#: percent, by what broke the prefix
SURE: Final = {"model": 95, "tools": 95, "system": 95, "idle": 85, "unknown": 50}
SURE_UNCACHED: Final = 90
#: in the names of models whose caches have to be asked for, on ports of whatever provider
_ASKED_FOR: Final = "claude"


def prefix_broken(board: Board, conversation: Conversation, step: Step, limits: Thresholds) -> None:
    """Looks whether what was in the cache was read from it."""
    read, written = step.read, step.written
    if read is None:
        return
    caches = conversation.caches
    cached = caches.get(step.model)
    switched = cached is None
    if cached is None and caches:
        cached = max(caches.values(), key=lambda each: each.end.key)
    if (
        cached is not None
        and cached.tokens >= limits.cache_prefix
        and read <= limits.cache_kept * cached.tokens
        and (step.prompt or 0) >= limits.cache_prefix
    ):
        lost = min(cached.tokens, step.prompt or 0) - read
        cause, idle = ("model", 0) if switched else _cause(cached, step, limits)
        paid = cheapest = 0
        if step.rates is not None:
            rewritten = min(lost, written or 0)
            paid = rewritten * step.rates.cache_write + (lost - rewritten) * step.rates.input
            cheapest = lost * step.rates.cache_read
        claim = step.claim(lost, paid, 0, paid - cheapest)
        board.claim(
            CACHE_PREFIX_BREAK, step, claim, SURE[cause], cached.end,
            cause=cause, in_cache=cached.tokens, read_from_cache=read, seconds_before=idle,
        )  # fmt: skip
    if switched and len(caches) >= CACHES_MAX:
        del caches[next(iter(caches))]
    caches[step.model] = Cached(step, read + (written or 0))


def _cause(cached: Cached, step: Step, limits: Thresholds) -> tuple[str, int]:
    """What broke the prefix, and how many seconds there were before the call."""
    before, now = cached.end.hints, step.hints
    idle = step.seconds_after(cached.end)
    seconds = 0 if idle is None else max(int(idle), 0)
    if before is not None and now is not None:
        if before.tools_hash != now.tools_hash:
            return "tools", seconds
        if before.system_hash != now.system_hash:
            return "system", seconds
    kept = max(HOUR, limits.cache_seconds) if kept_an_hour(cached.end) else limits.cache_seconds
    return ("idle" if idle is not None and idle >= kept else "unknown"), seconds


def never_cached(board: Board, conversation: Conversation, step: Step, limits: Thresholds) -> None:
    """Looks whether a prompt was sent again that could have been in the cache."""
    last = conversation.last
    if last is None or not (_uncached(step, limits) and _uncached(last, limits)) or step.model != last.model:
        return
    idle = step.seconds_after(last)
    if idle is None or idle > limits.cache_seconds:
        return
    again = min(last.prompt or 0, step.prompt or 0)
    if conversation.uncached is None:
        conversation.uncached, conversation.uncached_calls = Group(NO_PROMPT_CACHING), 1
        written = step.prompt or 0  # the first prompt and what this call adds
    else:
        written = (step.prompt or 0) - again
    conversation.uncached_calls += 1
    paid = saved = 0
    if step.rates is not None:
        rates = step.rates
        paid = again * rates.input
        saved = again * (rates.input - rates.cache_read) - written * max(rates.cache_write - rates.input, 0)
    conversation.uncached.claim(step, step.claim(again, paid, 0, saved))


def _uncached(step: Step, limits: Thresholds) -> bool:
    return (
        step.read == 0
        and step.written == 0
        and step.prompt is not None
        and step.prompt >= limits.uncached_prompt
        and step.exact
        and step.whole
        and (not step.row.includes_cache or _ASKED_FOR in (step.model or ""))
    )


def conversation_done(board: Board, conversation: Conversation, limits: Thresholds) -> None:
    """Whether it had enough calls without any cache."""
    group = conversation.uncached
    if group is not None and conversation.uncached_calls >= limits.uncached_calls:
        board.conclude(group, SURE_UNCACHED, calls=conversation.uncached_calls)
