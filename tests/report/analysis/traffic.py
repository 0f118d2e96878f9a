"""Traffic of agents in which it is known what is wrong.

`Agent` makes the records of one conversation as the proxy writes them: a prompt that grows, a cache that is used well,
tools that are called, each once.  Patterns are put in by calling its methods in another way.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from awfproxy.prices.price_list import open_price_list
from awfproxy.report.analysis.analysis import Analysis, analyse
from awfproxy.report.costs import Costs

#: 2026-03-02T09:00:00Z
START = 1772442000.0

CLAUDE = ("anthropic", "claude-sonnet-4-5-20250929")
GPT = ("openai", "gpt-5.2-2025-12-11")
#: tools that are offered, all of which are called in a conversation of some length
TOOLS = ["Bash", "Edit", "Grep", "Read", "Write"]

Record = dict[str, Any]


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Agent:
    """One conversation; `records` are what is left of it."""

    def __init__(
        self,
        dice: random.Random,
        *,
        speaks: tuple[str, str] = CLAUDE,
        run: str | None = "run-1",
        begin: float = START,
        prompt: int = 9_000,
        tools: Iterable[str] = TOOLS,
    ) -> None:
        self.dice = dice
        self.provider, self.model = speaks
        self.run = run
        self.now = begin
        self.prompt = prompt
        self.cached = 0
        self.caches = True
        self.tools = list(tools)
        self.session = f"{dice.getrandbits(128):032x}"
        self.conversation = self.hash()
        self.system = self.hash()
        self.tools_hash = self.hash()
        self.tools_bytes = 900 * len(self.tools)
        self.messages = 1
        #: what the newest turn called: tool, hash of the call, hash of its result
        self.newest: list[tuple[str, str, str]] = []
        self.records: list[Record] = []

    def hash(self) -> str:
        return f"{self.dice.getrandbits(64):016x}"

    def call(self, *, output: int | None = None, adds: int | None = None, **fields: Any) -> Record:
        """One call of the model, and its record.

        :param adds: tokens that the prompt grows by before it
        """
        dice = self.dice
        adds = dice.randrange(40, 400) if adds is None else adds
        output = dice.randrange(350, 900) if output is None else output
        if self.records:
            self.prompt += adds
        begin = self.now
        self.now += dice.uniform(0.8, 6.0)
        read = min(self.cached, self.prompt) if self.caches else 0
        written = self.prompt - read if self.caches else 0
        fresh = 0
        includes = self.provider != "anthropic"
        if includes:
            fresh, written = self.prompt, 0
        elif written > 8:
            fresh, written = 8, written - 8
        else:
            fresh = self.prompt - read - written
        record: Record = {
            "_schema": "token-usage/v1.0.0",
            "timestamp": iso(self.now),
            "request_id": f"{dice.getrandbits(128):032x}",
            "provider": self.provider,
            "model": self.model,
            "path": "/v1/messages" if self.provider == "anthropic" else "/v1/chat/completions",
            "status": 200,
            "streaming": True,
            "input_tokens": fresh,
            "output_tokens": output,
            "cache_read_tokens": read,
            "cache_write_tokens": written,
            "duration_ms": round((self.now - begin) * 1000, 3),
            "request_bytes": self.prompt * 4,
            "response_bytes": output * 60,
            "usage_source": "reported",
            "outcome": "complete",
            "port": self.provider,
            "event": "token_usage",
            "reasoning_tokens": None,
            "input_tokens_include_cache": includes,
            "admitted_at": iso(begin),
            "run": self.run,
            "hints": {
                "session": self.session,
                "messages": self.messages,
                "conversation_hash": self.conversation,
                "system_hash": self.system,
                "tools_hash": self.tools_hash if self.tools else None,
                "tools_bytes": self.tools_bytes if self.tools else None,
                "tools_offered": list(self.tools) or None,
                "tools_called": [tool for tool, _, _ in self.newest] or None,
                "tool_call_hashes": [call for _, call, _ in self.newest] or None,
                "tool_result_hashes": [result for _, _, result in self.newest] or None,
            },
        }
        hints = fields.pop("hints", {})
        record |= fields
        record["hints"] = {name: value for name, value in (record["hints"] | hints).items() if value is not None}
        record = {name: value for name, value in record.items() if value is not None}
        if record["outcome"] == "complete":
            self.cached = self.prompt - 8 if not includes else self.prompt // 128 * 128
        self.records.append(record)
        return record

    def use(self, *tools: str | tuple[str, str, str]) -> None:
        """The answer called these tools, and they gave results: new ones, but where hashes are given."""
        self.newest = [(each, self.hash(), self.hash()) if isinstance(each, str) else each for each in tools]
        self.messages += 2
        self.now += self.dice.uniform(0.1, 5.0)

    def ask(self) -> None:
        """A person says something."""
        self.newest = []
        self.messages += 2
        self.now += self.dice.uniform(2.0, 60.0)

    def work(self, calls: int) -> Agent:
        """So many calls in which nothing is wrong; each tool is used in turn."""
        for number in range(calls):
            self.call()
            if number % 6 == 5:
                self.ask()
            else:
                self.use(self.tools[number % len(self.tools)] if self.tools else "Bash")
        return self


def clean(dice: random.Random, conversations: int = 4) -> list[Record]:
    """Conversations in which nothing is wrong, some at the same time."""
    records: list[Record] = []
    for number in range(conversations):
        speaks = dice.choice((CLAUDE, GPT))
        run = dice.choice((None, f"run-{number % 2}"))
        begin = START + dice.uniform(0, 600)
        agent = Agent(dice, speaks=speaks, run=run, begin=begin, prompt=dice.randrange(2_000, 12_000))
        records += agent.work(dice.randrange(1, 30)).records
    return in_time(records)


def in_time(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record["timestamp"], record["request_id"]))


def refused(request_id: str, when: float, **fields: Any) -> Record:
    """A line of requests.jsonl of a request that a limit refused."""
    record: Record = {
        "_schema": "requests/v1.0.0",
        "timestamp": iso(when),
        "request_id": request_id,
        "provider": "openai",
        "port": "openai",
        "outcome": "refused",
        "usage_source": "none",
        "duration_ms": 0.5,
        "event": "request",
        "usage_reason": "not-sent",
        "method": "POST",
        "status": 429,
        "refusal": "rate_limit_error",
        "refusal_code": "requests-per-minute",
    }
    return record | fields


def lines(records: Iterable[Record]) -> list[bytes]:
    return [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records]


def write(path: Path, records: Iterable[Record]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines(records)))
    return str(path)


def growing(dice: random.Random) -> list[Record]:
    agent = Agent(dice, prompt=8_000)
    for _ in range(8):
        agent.call(adds=dice.randrange(12_000, 20_000))
        agent.use(dice.choice(TOOLS))
    return agent.records


def _calling_again(dice: random.Random, tool: str) -> list[Record]:
    agent = Agent(dice).work(4)
    same = (tool, agent.hash(), agent.hash())
    for _ in range(dice.randrange(2, 5)):
        agent.use(same)
        agent.call()
        agent.use("Edit")
        agent.call()
    return agent.records


def repeating(dice: random.Random) -> list[Record]:
    return _calling_again(dice, dice.choice(("Bash", "TaskOutput", "mcp__ci__run_status")))


def rereading(dice: random.Random) -> list[Record]:
    return _calling_again(dice, dice.choice(("Read", "read_file", "view")))


def fetching(dice: random.Random) -> list[Record]:
    """It begins with calls that only fetch; or three sessions make the same calls in their midst."""
    if dice.random() < 0.5:
        agent = Agent(dice, prompt=6_000)
        for tool in ("mcp__github__list_issues", "github-get_pull_request", "WebFetch")[: dice.randrange(2, 4)]:
            agent.call(output=dice.randrange(20, 200))
            agent.use(tool)
        return agent.work(4).records
    same = ("Grep", f"{dice.getrandbits(64):016x}", f"{dice.getrandbits(64):016x}")
    records: list[Record] = []
    for number in range(3):
        agent = Agent(dice, begin=START + 700 * number, prompt=6_000).work(4)
        agent.call(output=60)
        agent.use(same)
        records += agent.work(2).records
    return records


def overequipped(dice: random.Random, begin: float = START) -> list[Record]:
    agent = Agent(dice, begin=begin, tools=[*TOOLS, *(f"mcp__tracker__do_{number}" for number in range(15))])
    for number in range(12):
        agent.call()
        agent.use(TOOLS[number % 5])
    return agent.records


def breaking(dice: random.Random, cause: str | None = None) -> list[Record]:
    agent = Agent(dice, speaks=dice.choice((CLAUDE, GPT))).work(5)
    cause = cause or dice.choice(("model", "tools", "system", "idle", "unknown"))
    agent.cached = 0
    if cause == "model":
        agent.model = "claude-opus-4-1-20250805" if agent.provider == "anthropic" else "gpt-5-2025-08-07"
    elif cause == "tools":
        agent.tools_hash = agent.hash()
    elif cause == "system":
        agent.system = agent.hash()
    elif cause == "idle":
        agent.now += dice.uniform(301, 3_000)
    return agent.work(4).records


def uncached(dice: random.Random) -> list[Record]:
    agent = Agent(dice, prompt=dice.randrange(5_000, 20_000))
    agent.caches = False
    return agent.work(dice.randrange(4, 12)).records


def retrying(dice: random.Random) -> list[Record]:
    agent = Agent(dice).work(12)
    for _ in range(dice.randrange(1, 3)):
        outcome, status = dice.choice((("client_left", 200), ("upstream_cut", 200), ("timed_out", 200), ("complete", 529)))
        agent.call(output=dice.randrange(1, 60), outcome=outcome, status=status, usage_source="partial")
        agent.now += dice.uniform(0.5, 20)
        agent.call(adds=0)
        agent.use("Bash")
    return agent.work(12).records


def aborting(dice: random.Random) -> list[Record]:
    agent = Agent(dice).work(12)
    agent.call(outcome=dice.choice(("client_left", "drained", "timed_out")), usage_source="partial")
    agent.ask()
    return agent.work(12).records


def trifling(dice: random.Random) -> list[Record]:
    """Many small questions to a dear model."""
    records: list[Record] = []
    for number in range(dice.randrange(10, 20)):
        agent = Agent(dice, speaks=GPT, begin=START + 60 * number, prompt=dice.randrange(100, 1_900), tools=())
        agent.call(output=dice.randrange(5, 100))
        records += agent.records
    return records


def brooding(dice: random.Random) -> list[Record]:
    agent = Agent(dice, speaks=GPT)
    for number in range(8):
        thought = dice.randrange(2_500, 9_000)
        agent.call(output=thought + 40, reasoning_tokens=thought)
        agent.use(TOOLS[number % 5])
    return agent.records


def guessed(dice: random.Random) -> list[Record]:
    records: list[Record] = []
    for number in range(40):
        agent = Agent(dice, begin=START + 50 * number)
        agent.call(usage_source="estimated", unknown=["cache_read_tokens", "cache_write_tokens"])
        records += agent.records
    return records


def storming(dice: random.Random) -> list[Record]:
    return [refused(f"{dice.getrandbits(96):024x}", START + number) for number in range(dice.randrange(12, 30))]


#: by code, how records are made in which only that is wrong
PATTERNS: dict[str, Callable[[random.Random], list[Record]]] = {
    "context-growth": growing,
    "repeated-tool-calls": repeating,
    "reread-files": rereading,
    "deterministic-retrieval": fetching,
    "unused-tool-schemas": overequipped,
    "cache-prefix-break": breaking,
    "no-prompt-caching": uncached,
    "paid-retries": retrying,
    "aborted-but-billed": aborting,
    "model-downgrade": trifling,
    "reasoning-heavy": brooding,
    "estimated-share": guessed,
    "cap-refusals": storming,
}


def analysed(records: Iterable[Record], **options: Any) -> Analysis:
    """What is found in them, priced."""
    options.setdefault("costs", Costs(PRICES, START))
    return analyse(["-"], stdin=io.BytesIO(b"".join(lines(records))), **options)


#: reading the published prices takes a while
PRICES = open_price_list(None)
