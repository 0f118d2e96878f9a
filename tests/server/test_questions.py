"""What workers were asked: answered by all, given up, or nobody was there."""

from __future__ import annotations

from twisted.internet.task import Clock

from awfproxy.server.questions import Questions


def test_answered_by_all_that_were_asked() -> None:
    """Or by their death; each question for itself, and twice is once."""
    questions = Questions(Clock())
    done: list[str] = []
    numbers: list[int] = []
    questions.put([0, 1], numbers.append).addCallback(lambda _: done.append("first"))
    questions.put([1], numbers.append).addCallback(lambda _: done.append("second"))
    first, second = numbers
    for _ in range(2):
        questions.answered(0, first)
    assert questions.missing(first) == [1] and not done
    questions.answered(1, second)
    assert done == ["second"]
    questions.died(1)
    assert done == ["second", "first"] and questions.missing(first) == []


def test_nobody_to_ask() -> None:
    """That is answered at once."""
    sent: list[int] = []
    assert Questions(Clock()).put([], sent.append).called and not sent


def test_time_is_over() -> None:
    """Somebody is told, or nobody waits any longer; not after an answer."""
    clock = Clock()
    questions = Questions(clock)
    late: list[int] = []
    numbers: list[int] = []
    told = questions.put([0], numbers.append, 5.0, late.append)
    given_up = questions.put([0], numbers.append, 5.0)
    answered = questions.put([0], numbers.append, 5.0, late.append)
    questions.answered(0, numbers[2])
    clock.advance(5)
    assert late == numbers[:1] and not told.called and given_up.called and answered.called
    assert not clock.getDelayedCalls()
