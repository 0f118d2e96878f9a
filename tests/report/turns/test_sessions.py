"""Sessions put together from events, whatever files they stood in."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.report.turns.agent_events import Event, Prompt, Step, Usage
from awfproxy.report.turns.agent_logs import Log
from awfproxy.report.turns.sessions import Session, put_together


def prompt(time: float | None, key: str, session: str = "s", subagent: str | None = None, line: int = 0) -> Prompt:
    return Prompt(session, subagent, key, time, line=line)


def step(time: float | None, key: str, session: str = "s", subagent: str | None = None, line: int = 0) -> Step:
    return Step(session, subagent, key, time, time, line=line, usage=Usage(10, 0, 0, 1))


def together(*files: list[Event]) -> list[Session]:
    return put_together([Log(f"{number}.jsonl", "claude-code", events) for number, events in enumerate(files)])


def turns(session: Session) -> dict[str, int]:
    return {step.key: step.turn for stream in session.streams for step in stream.steps}


def test_a_turn_is_from_one_prompt_to_the_next() -> None:
    """What comes before the first prompt is a turn that the agent began."""
    (session,) = together([step(1, "a"), prompt(2, "p"), step(3, "b"), step(4, "c"), prompt(5, "q"), step(6, "d")])
    assert turns(session) == {"a": 1, "b": 2, "c": 2, "d": 3}
    assert [turn.kind for turn in session.turns] == ["agent", "user", "user"]


def test_lines_without_a_time_keep_their_places() -> None:
    """They stand where the file has them."""
    events: list[Event] = [prompt(2, "p", line=1), step(None, "a", line=2), prompt(9, "q", line=3)]
    events.append(step(None, "b", line=4))
    (session,) = together(events)
    assert turns(session) == {"a": 1, "b": 2}


def test_what_a_sub_agent_does_belongs_to_the_turn_in_which_it_was_asked() -> None:
    """By the call of the tool that started it, or else by the time of its prompt; however long it works."""
    starts = step(3, "a")
    starts.tools = {"toolu_1": "Task"}
    main: list[Event] = [prompt(1, "p"), starts, prompt(50, "q"), step(60, "b")]
    linked: list[Event] = [step(None, "x", subagent="toolu_1")]
    timed: list[Event] = [prompt(4, "r", subagent="a9"), step(5, "y", subagent="a9"), step(70, "z", subagent="a9")]
    (session,) = together(main, linked, timed)
    assert turns(session) == {"a": 1, "b": 2, "x": 1, "y": 1, "z": 1}
    assert [stream.subagent for stream in session.streams] == [None, "a9", "toolu_1"]


def test_copies_stay_with_the_session_that_began_first() -> None:
    """A resumed session repeats the lines of the one before it; a sub-agent's file those of its session."""
    first: list[Event] = [prompt(1, "p"), step(2, "a")]
    again: list[Event] = [prompt(1, "p", "t"), step(2, "a", "t"), prompt(9, "q", "t"), step(10, "b", "t")]
    beside: list[Event] = [step(2, "a", subagent="x"), step(3, "c", subagent="x")]
    for files in ((first, again, beside), (beside, again, first)):
        one, other = together(*(list(events) for events in files))
        assert (one.id, turns(one)) == ("s", {"a": 1, "c": 1})
        assert (other.id, turns(other)) == ("t", {"b": 1})


EVENTS = st.lists(
    st.builds(
        lambda kind, time, key, session, subagent: kind(time, key, session, subagent),
        st.sampled_from([prompt, step]),
        st.none() | st.integers(0, 20).map(float),
        st.sampled_from("abcdefgh"),
        st.sampled_from("st"),
        st.sampled_from([None, "x"]),
    ),
    max_size=12,
)


@given(EVENTS, EVENTS, st.randoms(use_true_random=False))
def test_every_call_is_in_one_place(one: list[Event], other: list[Event], dice: random.Random) -> None:
    """Each once, in a turn that its session has, with the turns' beginnings in order."""
    events = [*one, *other]
    for number, event in enumerate(events):
        event.line = number
        event.key += "step" if isinstance(event, Step) else "prompt"
    sessions = together(one, other)
    keys = [step.key for session in sessions for stream in session.streams for step in stream.steps]
    assert sorted(keys) == sorted({event.key for event in events if isinstance(event, Step)})
    for session in sessions:
        numbers = [turn.number for turn in session.turns]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(step.turn in numbers for stream in session.streams for step in stream.steps)
        assert session.streams[0].subagent is None
        assert session.turn_at(dice.uniform(-1, 30)) in numbers
