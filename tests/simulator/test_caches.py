"""The cache that remembers: what was sent before is read, what is marked is written, what changed is neither."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awfproxy.simulator.caches import KNOWN_MAX, Caches, Weighed
from awfproxy.simulator.tokens import CACHE_FROM, CACHE_STEP
from tests.simulator.reading import serve, whole

LONG = "word " * 1500
MARK = {"cache_control": {"type": "ephemeral"}}


def body(*said: str, system: str = LONG, mark: bool = True, **more: Any) -> dict[str, Any]:
    """A request of Messages; its system prompt and the newest message are marked."""
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in said]
    if mark:
        messages[-1]["content"][-1] |= MARK  # type: ignore[operator,index]
    return {"system": [{"type": "text", "text": system} | (MARK if mark else {})], "messages": messages} | more


def test_a_conversation_reads_what_it_wrote() -> None:
    """The mark moves to the newest message, and what was marked before is still found."""
    caches = Caches()
    assert caches.weigh("messages", "m", body("one")) == Weighed(1501, 0, 1501)
    assert caches.weigh("messages", "m", body("one", "two")) == Weighed(1502, 1501, 1)
    assert caches.weigh("messages", "m", body("one", "two", "three four")) == Weighed(1504, 1502, 2)


@pytest.mark.parametrize(
    "other", [body("one", system=LONG + "later"), body("one", tools=[{"name": "t"}])], ids=["system", "tools"]
)
def test_what_changes_at_the_beginning_makes_all_new(other: dict[str, Any]) -> None:
    """As providers hash it: tools, system prompt, conversation, in this order; and each model has a cache of its own."""
    caches = Caches()
    caches.weigh("messages", "m", body("one"))
    assert caches.weigh("messages", "m", other).read == 0
    assert caches.weigh("messages", "n", body("one")).read == 0
    assert caches.weigh("messages", "m", body("another")).read == 1500


def test_without_marks_and_below_the_least_nothing_is_cached() -> None:
    """Anthropic's clients ask for it, and 1,024 tokens are the least."""
    caches = Caches()
    for _ in range(2):
        assert caches.weigh("messages", "m", body("one", mark=False)) == Weighed(1501, 0, 0)
        assert caches.weigh("messages", "m", body("one", system="few words")) == Weighed(3, 0, 0)


def test_openai_caches_by_itself_in_steps() -> None:
    """A whole number of steps, of what was sent before; never less than 1,024."""
    caches = Caches()
    said = [{"role": "user", "content": "one"}]
    asked = {"instructions": LONG, "input": said}
    assert caches.weigh("responses", "m", asked) == Weighed(1501, 0, 0)
    again = caches.weigh("responses", "m", {"instructions": LONG, "input": [*said, {"role": "user", "content": "two"}]})
    assert again == Weighed(1502, 1501 // CACHE_STEP * CACHE_STEP, 0)
    short = {"instructions": "word " * (CACHE_FROM - 2), "input": said}
    caches.weigh("responses", "m", short)
    assert caches.weigh("responses", "m", short).read == 0


def test_tools_weigh() -> None:
    """A token for 4.5 bytes of their JSON."""
    tools = [{"name": "t", "description": "d" * 400}]
    size = len(json.dumps(tools, separators=(",", ":")))
    assert Caches().weigh("messages", "m", body("one", tools=tools)).prompt == 1501 + int(size / 4.5)


def test_only_so_many_beginnings_are_remembered() -> None:
    """The oldest are forgotten first."""
    caches = Caches()
    caches.weigh("messages", "m", body("one"))
    for number in range(KNOWN_MAX):
        caches.weigh("responses", "m", {"input": f"question {number}"})
    assert caches.weigh("messages", "m", body("one")).read == 0


def test_the_answer_tells_it() -> None:
    """Through the site: the mode, the figures in the answer, and the tool that is asked for."""
    headers = {"x-sim-cache": "remember", "x-sim-tool": '["Read", {"path": "a"}]'}
    request = body("one") | {"model": "claude-sonnet-4-5", "tools": [{"name": "Other"}]}
    answer = json.loads(whole(serve("anthropic", "/v1/messages", request, headers).answer))
    assert answer["usage"]["cache_creation_input_tokens"] == 1501 + int(len('[{"name":"Other"}]') / 4.5)
    assert answer["content"] == [
        {"type": "tool_use", "id": "toolu_sim000001", "name": "Read", "input": {"path": "a"}}
    ]
    none = json.loads(whole(serve("anthropic", "/v1/messages", request, {"x-sim-tool": "none"}).answer))
    assert none["stop_reason"] == "end_turn"


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
def test_other_apis_are_refused(path: str) -> None:
    """A mode that would do nothing is an error."""
    served = serve("openai", path, {"model": "m", "input": "x", "prompt": "x"}, {"x-sim-cache": "remember"})
    assert served.answer.status == 400
