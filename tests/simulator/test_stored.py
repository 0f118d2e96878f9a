"""Answers that are kept: work in the background told once, polls, streams again, cancelling, deleting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awfproxy.simulator.site import Served, Site
from awfproxy.simulator.stored import MEMBER_MAX, USUAL_POLLS, WORKS_MAX
from tests.simulator.reading import events, serve, whole

BASES = {"openai": "/v1/responses", "gemini": "/v1beta/interactions"}
MODELS = {"openai": "gpt-5-mini", "gemini": "gemini-2.5-flash"}


class Provider:
    """One provider's stored answers, asked from outside."""

    def __init__(self, provider: str) -> None:
        self.name = provider
        self.site = Site(lambda: 1_700_000_000.0)

    def make(self, headers: dict[str, str] | None = None, **members: Any) -> Served:
        """Create an answer to a question of three words."""
        body = {"model": MODELS[self.name], "input": "one two three"} | members
        return serve(self.name, BASES[self.name], body, headers, self.site)

    def ask(self, name: str, tail: str = "", method: str = "GET") -> Served:
        """Ask about a stored one."""
        return serve(self.name, f"{BASES[self.name]}/{name}{tail}", None, None, self.site, method)


def value(served: Served) -> dict[str, Any]:
    """The JSON of an answer."""
    decoded: dict[str, Any] = json.loads(whole(served.answer))
    return decoded


def told(served: Served) -> int | None:
    """The output tokens that the ledger has for the call."""
    assert served.call is not None
    return served.call.output


@pytest.fixture(params=list(BASES))
def provider(request: pytest.FixtureRequest) -> Provider:
    """OpenAI's responses, Google's interactions."""
    return Provider(request.param)


@pytest.mark.parametrize("polls", [None, 0, 3])
def test_background_work_is_told_once(provider: Provider, polls: int | None) -> None:
    """A promise, so many answers that say 'in progress', then the usage as often as asked, once in the ledger."""
    made = provider.make({} if polls is None else {"x-sim-polls": str(polls)}, background=True)
    promise = value(made)
    assert promise["status"] == ("queued" if provider.name == "openai" else "in_progress")
    assert promise.get("usage") is None
    assert told(made) is None
    for _ in range(USUAL_POLLS if polls is None else polls):
        waiting = provider.ask(promise["id"])
        assert (value(waiting)["status"], value(waiting).get("usage"), told(waiting)) == ("in_progress", None, None)
    answers = [provider.ask(promise["id"]) for _ in range(3)]
    assert [value(answer)["status"] for answer in answers] == ["completed"] * 3
    assert [told(answer) for answer in answers] == [20, None, None]
    assert [answer.call.reported for answer in answers if answer.call] == [True, False, False]
    assert value(answers[1])["usage"]["total_tokens"] == 23


def test_an_answer_at_once_is_told_at_once(provider: Provider) -> None:
    """Asking for it again uses nothing; not stored, it cannot be asked for."""
    made = provider.make()
    assert told(made) == 20
    again = provider.ask(value(made)["id"])
    assert value(again) == value(made)
    assert told(again) is None
    assert provider.ask(value(provider.make(store=False))["id"]).answer.status == 404


def test_streams_of_background_work(provider: Provider) -> None:
    """The stream that makes it tells it; a later one repeats the events after the one named, and tells nothing."""
    made = provider.make(background=True, stream=True)
    first = events(whole(made.answer))
    assert told(made) == 20
    opening, ending = (
        ("response", "response.completed") if provider.name == "openai" else ("interaction", "interaction.completed")
    )
    name = first[0][opening]["id"]
    assert first[-1].get("type", first[-1].get("event_type")) == ending
    assert made.call is not None
    made.call.end = "complete"
    begin = "starting_after=3" if provider.name == "openai" else f"last_event_id={first[3].get('event_id')}"
    later = provider.ask(name, f"?stream=true&{begin}")
    assert events(whole(later.answer)) == first[4:]
    assert told(later) is None
    assert value(provider.ask(name))["status"] == "completed"


def test_a_stream_that_was_cut_goes_on(provider: Provider) -> None:
    """Work in the background does not end with its client; who asks next is told."""
    made = provider.make(background=True, stream=True)
    assert made.call is not None
    made.call.end = "aborted"
    name = f"{'resp_' if provider.name == 'openai' else 'v1_'}sim000001"
    assert value(provider.ask(name))["status"] == "in_progress"
    assert [told(provider.ask(name)) for _ in range(2)] == [20, None]


def test_background_streams_begin_queued() -> None:
    """OpenAI's say created, queued, in progress; only those have the second."""
    provider = Provider("openai")
    types = [event["type"] for event in events(whole(provider.make(background=True, stream=True).answer))]
    assert types[:3] == ["response.created", "response.queued", "response.in_progress"]
    types = [event["type"] for event in events(whole(provider.make(stream=True).answer))]
    assert types[:3] == ["response.created", "response.in_progress", "response.output_item.added"]


def test_cancelling(provider: Provider) -> None:
    """Cancelled work never tells any usage; twice is once; what is done stays done, what was no work is refused."""
    name = value(provider.make(background=True))["id"]
    for _ in range(2):
        stopped = provider.ask(name, "/cancel", "POST")
        assert (value(stopped)["status"], told(stopped)) == ("cancelled", None)
    assert value(provider.ask(name))["status"] == "cancelled"
    done = value(provider.make({"x-sim-polls": "0"}, background=True))["id"]
    assert value(provider.ask(done, "/cancel", "POST"))["status"] == "completed"
    assert provider.ask(value(provider.make())["id"], "/cancel", "POST").answer.status == 400
    assert provider.ask("nobody", "/cancel", "POST").answer.status == 404


def test_deleting(provider: Provider) -> None:
    """What was deleted is gone."""
    name = value(provider.make(background=True))["id"]
    assert provider.ask(name, method="DELETE").answer.status == 200
    assert provider.ask(name, method="DELETE").answer.status == 404
    assert provider.ask(name).answer.status == 404


def test_work_that_fails(provider: Provider) -> None:
    """It ends, and nobody is told any usage."""
    name = value(provider.make({"x-sim-fails": "1", "x-sim-polls": "0"}, background=True))["id"]
    failed = provider.ask(name)
    assert (value(failed)["status"], value(failed).get("usage")) == ("failed", None)
    assert failed.call is not None
    assert failed.call.reported is False
    last = events(whole(provider.make({"x-sim-fails": "1"}, stream=True).answer))[-1]
    assert last["response" if provider.name == "openai" else "interaction"]["status"] == "failed"


def test_streams_of_what_was_none_are_refused(provider: Provider) -> None:
    """A stream again only of what was made as one, in the background."""
    provider.make(background=True)
    provider.make(stream=True)
    prefix = "resp_" if provider.name == "openai" else "v1_"
    for number in (1, 2):
        assert provider.ask(f"{prefix}sim{number:06d}", "?stream=true").answer.status == 400


def test_interactions_with_tools_and_limits() -> None:
    """A tool to run ends it as 'requires_action', a limit as 'incomplete'; both say the usage."""
    provider = Provider("gemini")
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    asked = value(provider.make(tools=[{"type": "function", "name": "look", "parameters": schema}]))
    assert (asked["status"], asked["steps"][-1]["arguments"]) == ("requires_action", {"place": "lighthouse"})
    assert asked["usage"]["total_output_tokens"] == 6
    short = value(provider.make(generation_config={"max_output_tokens": 10}))
    assert (short["status"], short["usage"]["total_output_tokens"]) == ("incomplete", 2)
    assert "model" not in value(provider.make(model=None, agent="deep-research"))


def test_memory_is_bounded() -> None:
    """Only the newest are kept, and of a request no more than is small."""
    provider = Provider("openai")
    first = value(provider.make(instructions="word " * MEMBER_MAX, background=True))
    assert len(first["instructions"]) > MEMBER_MAX
    assert value(provider.ask(first["id"]))["instructions"] is None
    for _ in range(WORKS_MAX - 1):
        provider.make()
    assert provider.ask(first["id"]).answer.status == 200
    provider.make()
    assert provider.ask(first["id"]).answer.status == 404
