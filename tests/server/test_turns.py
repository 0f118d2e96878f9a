"""Each in turn, whatever each of them wants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.server.turns import Turns


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5))))
def test_all_is_taken_once_in_order_and_in_turns(wanted: list[tuple[str, int]]) -> None:
    """Of each in the order of the wanting; nobody is passed over while something of theirs is in line."""
    turns: Turns[int] = Turns()
    lines: dict[str, list[int]] = {}
    for who, what in wanted:
        turns.add(who, what)
        line = lines.setdefault(who, [])
        line += [what] if what not in line else []
    assert {who: turns.waiting(who) for who in lines} == {who: len(line) for who, line in lines.items()}
    taken: list[tuple[object, int]] = []
    while (turn := turns.next()) is not None:
        taken.append(turn)
    for who, line in lines.items():
        assert [what for each, what in taken if each == who] == line
    # the first round has each once, the second each who wants two, and so on
    rounds = [who for number in range(6) for who, line in lines.items() if len(line) > number]
    assert [who for who, _ in taken] == rounds
    assert turns.waiting("a") == 0
