"""Programs that ask a model by themselves, through Anthropic's SDK: no agent, no log."""

from __future__ import annotations

from typing import Any

import msgspec

from awfproxy.simulator.demo.sending import COMPLETE, Caller
from awfproxy.simulator.demo.work import Script

PATH = "/v1/messages"
#: What they let the model generate.
OUTPUT_MAX = 1024


def play(script: Script, caller: Caller) -> None:
    """All questions, in one conversation or each in its own."""
    messages: list[dict[str, Any]] = []
    for number, question in enumerate(script.questions, 1):
        if not script.conversation:
            messages = []
        messages.append({"role": "user", "content": question})
        text: dict[str, Any] = {"type": "text", "text": script.instructions}
        mark = {"cache_control": {"type": "ephemeral"}} if script.cached else {}
        body = {
            "model": script.model,
            "max_tokens": OUTPUT_MAX,
            "system": [text | mark],
            "messages": messages,
        }
        headers = {
            "User-Agent": "Anthropic/Python 0.70.0",
            "X-Api-Key": "placeholder-not-a-key",
            "anthropic-version": "2023-06-01",
            "x-awf-feature": script.feature,
            "x-sim-cache": "remember",
            "x-sim-events": str(script.words),
        }
        if script.conversation:
            headers["x-awf-conversation"] = script.conversation
        answered = caller.call("anthropic", PATH, body, headers, title=f"{script.feature}, question {number}")
        if answered.outcome == COMPLETE and not answered.problem:
            messages.append({"role": "assistant", "content": msgspec.json.decode(answered.body)["content"]})
