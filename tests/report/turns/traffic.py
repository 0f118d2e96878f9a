"""Traffic of agents whose turns are known: records as the proxy writes them, and logs as the agents write them.

Everything is made up, in the shapes that docs/turns.md names.  Things go wrong as they do: clocks differ, requests are
sent again, lines are missing on both sides, sub-agents work at the same time, other programs use the same port.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

#: 2026-03-02T09:00:00Z
START = 1772442000.0
MODELS = {
    "claude-code": ("anthropic", "claude-sonnet-4-5-20250929"),
    "codex": ("openai", "gpt-5.2-codex"),
    "copilot": ("copilot", "claude-sonnet-4.5"),
}
TOOLS = ("Read", "Bash", "Grep", "Edit", "WebFetch")

#: where a call belongs: session, sub-agent, turn; None: nowhere
Truth = tuple[str, str | None, int] | None


class World(msgspec.Struct):
    """What was done, and what is left of it in files."""

    records: list[dict[str, Any]] = []
    #: lines of each log, by the name of its file
    logs: dict[str, list[str]] = {}
    #: by request id
    truth: dict[str, Truth] = {}

    def record_lines(self) -> list[bytes]:
        return [json.dumps(record).encode() + b"\n" for record in self.records]


class Setting(msgspec.Struct, frozen=True):
    agent: str = "claude-code"
    sessions: int = 6
    turns: int = 6
    #: requests carry ids that are in the logs too
    ids: bool = True
    #: records have hints at all (AWF's have none)
    hints: bool = True
    #: each agent's clock is wrong by up to this many seconds
    skew: float = 2.0
    #: shares of calls: sent again; not in the log; not recorded
    retries: float = 0.04
    unlogged: float = 0.03
    unrecorded: float = 0.03
    subagents: bool = True
    #: calls of other programs for each turn
    others: float = 1.0
    #: the sessions are runs of one prompt, at the same time: the same hashes, the same first prompts
    twins: bool = False
    #: share of Claude Code's calls whose lines have the output of the answer's beginning
    unfinished: float = 0.1
    #: seconds until an answer is in the agent's log
    lag: float = 0.5


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make(setting: Setting, seed: int) -> World:
    """A world; the same for the same setting and seed."""
    world = World()
    dice = random.Random(f"{setting}{seed}")
    for number in range(setting.sessions):
        # Some at the same time, some one after another.
        begin = START + (3.0 if setting.twins else 400.0) * number
        _Session(world, setting, dice, begin, number).run()
    _other_programs(world, setting, dice)
    world.records.sort(key=lambda record: record["timestamp"])
    return world


class _Conversation:
    def __init__(self, session: _Session, subagent: str | None) -> None:
        self.subagent = subagent
        twin = session.setting.twins and subagent is None
        self.hash = "feedfacecafebeef" if twin else f"{session.dice.getrandbits(64):016x}"
        self.messages = 1
        self.prompt = 12_345 if twin else session.dice.randrange(9_000, 16_000)
        self.cached = 0
        self.results: list[str] = []
        self.tools: list[str] = []
        self.running = [0, 0, 0]


class _Session:
    def __init__(self, world: World, setting: Setting, dice: random.Random, begin: float, number: int) -> None:
        self.world, self.setting, self.dice = world, setting, dice
        self.now = begin
        self.id = f"{dice.getrandbits(128):032x}"
        self.provider, self.model = MODELS[setting.agent]
        self.skew = dice.uniform(-setting.skew, setting.skew)
        self.number = number
        self.main = _Conversation(self, None)
        self.turn = 0
        self.turn_id = ""
        self.lines: dict[str | None, list[tuple[float, str]]] = {None: []}

    def run(self) -> None:
        self._head()
        for _ in range(self.setting.turns):
            self.turn += 1
            self.turn_id = f"{self.dice.getrandbits(64):016x}"
            self._prompt(self.main, self.now)
            self.now += self.dice.uniform(0.05, 0.5)
            self._work(self.main, self.dice.randrange(1, 8), may_delegate=self.setting.subagents)
            self.now += self.dice.uniform(0.5, 120.0)  # the person reads and types
            self.main.messages += 2
            self.main.results, self.main.tools = [], []
        for subagent, lines in self.lines.items():
            lines.sort(key=lambda each: each[0])
            name = f"{self.id}.jsonl" if subagent is None else f"{self.id}/subagents/agent-{subagent}.jsonl"
            self.world.logs[name] = [line for _, line in lines]

    def _work(self, talk: _Conversation, calls: int, *, may_delegate: bool) -> None:
        for _ in range(calls):
            self._call(talk)
            delegates = may_delegate and self.dice.random() < 0.12
            if delegates:
                self._delegate()
            else:
                self.now += self.dice.uniform(0.05, 8.0)  # tools run
            talk.messages += 2
            talk.results = [f"{self.dice.getrandbits(64):016x}"]
            talk.tools = [self.dice.choice(TOOLS)]

    def _delegate(self) -> None:
        """Sub-agents at the same time, while the agent waits."""
        begin = ends = self.now
        for _ in range(self.dice.randrange(1, 4)):
            self.now = begin + self.dice.uniform(0.0, 0.3)
            talk = _Conversation(self, f"a{self.dice.getrandbits(32):08x}")
            self.lines[talk.subagent] = []
            self._prompt(talk, self.now)
            self.now += 0.1
            self._work(talk, self.dice.randrange(2, 6), may_delegate=False)
            ends = max(ends, self.now)
        self.now = ends

    def _call(self, talk: _Conversation) -> None:
        dice = self.dice
        if dice.random() < self.setting.retries:
            # Cut off by the client or the network: recorded with what was known, and not in the agent's log.
            begin = self.now
            self.now += dice.uniform(0.5, 6.0)
            cut = dice.choice(("partial", "estimated"))
            self._record(talk, begin, self.now, f"req_{dice.getrandbits(64):016x}", talk.prompt, dice.randrange(1, 9), cut)
            self.now += dice.uniform(0.2, 2.0)
        begin = self.now
        output = int(dice.expovariate(1 / 250)) + 5
        self.now += dice.uniform(0.8, 3.0) + output / 90
        request = f"req_{dice.getrandbits(64):016x}"
        if dice.random() >= self.setting.unrecorded:
            self._record(talk, begin, self.now, request, talk.prompt, output, "reported")
        self._step(talk, self.now + self.skew + dice.uniform(0.0, self.setting.lag), request, output, lost=dice.random() < self.setting.unlogged)
        talk.cached = talk.prompt
        talk.prompt += output + int(dice.expovariate(1 / 900)) + 20

    # -- what the proxy writes --------------------------------------------------------------------------------------

    def _record(
        self, talk: _Conversation, begin: float, end: float, request: str, prompt: int, output: int, source: str
    ) -> None:
        anthropic = self.provider == "anthropic"
        record: dict[str, Any] = {
            "_schema": "token-usage/v1.0.0",
            "event": "token_usage",
            "timestamp": iso(end),
            "request_id": f"r{self.dice.getrandbits(96):024x}",
            "provider": self.provider,
            "model": self.model,
            "path": "/v1/messages",
            "status": 200,
            "streaming": True,
            "input_tokens": prompt - talk.cached - 3 if anthropic else prompt,
            "output_tokens": output,
            "cache_read_tokens": talk.cached,
            "cache_write_tokens": 3 if anthropic else 0,
            "input_tokens_include_cache": not anthropic,
            "duration_ms": round((end - begin) * 1000, 3),
            "usage_source": source,
            "outcome": "complete" if source == "reported" else "client_left",
            "port": self.provider,
            "attempts": 1,
        }
        if source == "estimated":
            record |= {"input_tokens": prompt + 77, "cache_read_tokens": 0, "cache_write_tokens": 0}
            record["unknown"] = ["cache_read_tokens", "cache_write_tokens"]
            del record["input_tokens_include_cache"]
        if self.setting.hints:
            hints: dict[str, Any] = {
                "messages": talk.messages,
                "conversation_hash": talk.hash,
                "tools_bytes": 9000,
                "tools_called": talk.tools,
                "tool_result_hashes": talk.results,
            }
            if self.setting.ids:
                hints |= {"agent": self.setting.agent, "session": self.id}
                if talk.subagent is not None:
                    hints["subagent"] = talk.subagent
                if self.setting.agent != "claude-code":
                    hints["turn"] = self.turn_id
            record["hints"] = hints
        if self.setting.ids and source == "reported":
            record["upstream_request_id"] = request
        self.world.records.append(record)
        self.world.truth[record["request_id"]] = (self.id, talk.subagent, self.turn)

    # -- what the agents write --------------------------------------------------------------------------------------

    def _write(self, talk: _Conversation, when: float, line: dict[str, Any]) -> None:
        own = self.setting.agent == "claude-code"
        self.lines[talk.subagent if own else None].append((when, json.dumps(line)))

    def _head(self) -> None:
        when = self.now - 5 + self.skew
        if self.setting.agent == "codex":
            meta = {"id": self.id, "cwd": "/work", "cli_version": "0.100.0"}
            self._write(self.main, when, {"timestamp": iso(when), "type": "session_meta", "payload": meta})
        elif self.setting.agent == "copilot":
            data = {"sessionId": self.id, "selectedModel": self.model}
            self._write(self.main, when, {"type": "session.start", "data": data, "id": "e0", "timestamp": iso(when)})

    def _prompt(self, talk: _Conversation, when: float) -> None:
        when += self.skew
        name = f"{self.dice.getrandbits(64):016x}"
        if self.setting.agent == "claude-code":
            line: dict[str, Any] = {"type": "user", "uuid": name, "sessionId": self.id, "timestamp": iso(when)}
            line |= {"message": {"role": "user", "content": "words"}, "isSidechain": talk.subagent is not None}
            self._write(talk, when, line | ({"agentId": talk.subagent} if talk.subagent else {}))
        elif self.setting.agent == "codex":
            for kind in ("task_started", "user_message"):
                payload = {"type": kind, "turn_id": self.turn_id} if kind == "task_started" else {"type": kind}
                self._write(talk, when, {"timestamp": iso(when), "type": "event_msg", "payload": payload})
            context = {"turn_id": self.turn_id, "model": self.model}
            self._write(talk, when, {"timestamp": iso(when), "type": "turn_context", "payload": context})
        else:
            data = {"content": "words", "interactionId": self.turn_id}
            line = {"type": "user.message", "data": data, "id": name, "timestamp": iso(when)}
            self._write(talk, when, line | ({"agentId": talk.subagent} if talk.subagent else {}))

    def _step(self, talk: _Conversation, when: float, request: str, output: int, *, lost: bool) -> None:
        dice = self.dice
        name = f"{dice.getrandbits(64):016x}"
        tool = dice.choice(TOOLS)
        if self.setting.agent == "claude-code":
            told = dice.randrange(1, 9) if dice.random() < self.setting.unfinished else output
            usage = {"input_tokens": talk.prompt - talk.cached - 3, "output_tokens": told}
            usage |= {"cache_read_input_tokens": talk.cached, "cache_creation_input_tokens": 3}
            for block in ({"type": "text", "text": "words"}, {"type": "tool_use", "id": f"toolu_{name}", "name": tool, "input": {}}):
                message = {"id": f"msg_{name}", "model": self.model, "role": "assistant", "content": [block], "usage": usage}
                line: dict[str, Any] = {"type": "assistant", "uuid": f"{dice.getrandbits(64):016x}", "requestId": request}
                line |= {"sessionId": self.id, "timestamp": iso(when), "message": message}
                line |= {"isSidechain": talk.subagent is not None}
                if not lost:
                    self._write(talk, when, line | ({"agentId": talk.subagent} if talk.subagent else {}))
        elif self.setting.agent == "codex":
            total = self.main.running
            for place, count in enumerate((talk.prompt, talk.cached, output)):
                total[place] += count
            call = {"type": "function_call", "name": tool, "call_id": f"call_{name}", "arguments": "{}"}
            names = ("input_tokens", "cached_input_tokens", "output_tokens")
            info = {
                "total_token_usage": dict(zip(names, total, strict=True)),
                "last_token_usage": dict(zip(names, (talk.prompt, talk.cached, output), strict=True)),
            }
            if not lost:
                self._write(talk, when, {"timestamp": iso(when), "type": "response_item", "payload": call})
                for _ in range(dice.choice((1, 1, 2))):
                    payload = {"type": "token_count", "info": info, "rate_limits": None}
                    self._write(talk, when, {"timestamp": iso(when), "type": "event_msg", "payload": payload})
        else:
            data = {"messageId": name, "apiCallId": f"chatcmpl-{name}", "requestId": request, "outputTokens": output}
            data |= {"content": "words", "interactionId": self.turn_id, "model": self.model}
            data |= {"toolRequests": [{"toolCallId": f"call_{name}", "name": tool}]}
            line = {"type": "assistant.message", "data": data, "id": name, "timestamp": iso(when)}
            if not lost:
                self._write(talk, when, line | ({"agentId": talk.subagent} if talk.subagent else {}))


def _other_programs(world: World, setting: Setting, dice: random.Random) -> None:
    provider, model = MODELS[setting.agent]
    for _ in range(int(setting.others * setting.sessions * setting.turns)):
        begin = START + dice.uniform(0, 400.0 * setting.sessions)
        talk = f"{dice.getrandbits(64):016x}"
        for place in range(dice.randrange(1, 4)):
            end = begin + dice.uniform(0.3, 6.0)
            record: dict[str, Any] = {
                "event": "token_usage",
                "timestamp": iso(end),
                "request_id": f"o{dice.getrandbits(96):024x}",
                "provider": provider,
                "model": model if dice.random() < 0.7 else "gpt-4o-mini",
                "input_tokens": dice.randrange(50, 20_000),
                "output_tokens": int(dice.expovariate(1 / 200)) + 1,
                "cache_read_tokens": 0,
                "cache_write_tokens": 0,
                "duration_ms": round((end - begin) * 1000, 3),
                "usage_source": "reported",
                "outcome": "complete",
                "port": provider,
            }
            if setting.hints:
                record["hints"] = {"messages": 1 + 2 * place, "conversation_hash": talk}
            if setting.ids:
                record["upstream_request_id"] = f"req_{dice.getrandbits(64):016x}"
            world.records.append(record)
            world.truth[record["request_id"]] = None
            begin = end + dice.uniform(0.1, 5.0)


def log_files(world: World) -> Iterator[tuple[str, bytes]]:
    """The logs as files: name, content."""
    for name, lines in world.logs.items():
        yield name, "".join(f"{line}\n" for line in lines).encode()
