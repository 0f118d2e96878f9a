"""One table of unfinished works for several processes."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.background import WORKS_MAX, Works
from awfproxy.server.shared_memory import Area
from awfproxy.server.shared_works import NAME, TABLE, SharedWorks

NAMES = st.integers(0, 7).map(lambda number: f"{number:0{NAME}x}")


@pytest.fixture
def area() -> Iterator[Area]:
    """Tables of two ports."""
    made = Area("test", TABLE * 2)
    yield made
    made.close()


def in_child(what: object) -> int:
    """What a function returns in a process of its own, as its exit status."""
    assert callable(what)
    pid = os.fork()
    if not pid:
        status = 99
        try:
            status = int(what())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@given(steps=st.lists(st.tuples(st.sampled_from(["began", "ended"]), NAMES), max_size=40))
def test_it_is_what_a_process_alone_has(steps: list[tuple[str, str]]) -> None:
    """Any order of beginnings and ends: the same names, and the same answers."""
    area = Area("test", TABLE)
    shared, alone = SharedWorks(area, 0), Works()
    for step, name in steps:
        assert getattr(shared, step)(name) == getattr(alone, step)(name)
    names = [f"{number:0{NAME}x}" for number in range(8)]
    assert [name in shared for name in names] == [name in alone for name in names]
    assert (len(shared) > 0) >= (len(alone) > 0)
    area.close()


def test_another_process_sees_it_at_once_and_takes_it_out(area: Area) -> None:
    """What is begun here ends there; then it is not for us to count."""
    name = "a" * NAME
    SharedWorks(area, 1).began(name)
    assert in_child(lambda: name in SharedWorks(Area("test", TABLE * 2, os.dup(area.fd)), 1)) == 1
    assert in_child(lambda: SharedWorks(Area("test", TABLE * 2, os.dup(area.fd)), 1).ended(name)) == 1
    assert name not in SharedWorks(area, 1)
    assert SharedWorks(area, 1).ended(name) is False


def test_exactly_one_of_many_counts(area: Area) -> None:
    """Eight processes are shown the end of each of 200 works: every one is counted once."""
    works = SharedWorks(area, 0)
    names = [f"{number:0{NAME}x}" for number in range(200)]
    for name in names:
        works.began(name)
    children = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            status = 255
            try:
                status = sum(SharedWorks(area, 0).ended(name) for name in names)
            finally:
                os._exit(status)
        children.append(pid)
    assert sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children) == len(names)


def test_a_process_that_dies_with_the_lock_gives_it_back(area: Area) -> None:
    """The kernel does."""

    def dies() -> int:
        with area.lock(0, TABLE):
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert in_child(dies) == -signal.SIGKILL
    works = SharedWorks(area, 0)
    works.began("b" * NAME)
    assert works.ended("b" * NAME)


def test_the_oldest_are_forgotten(area: Area) -> None:
    """As by a process alone; and ports do not see each other's."""
    works = SharedWorks(area, 0)
    for number in range(WORKS_MAX + 2):
        works.began(f"{number:0{NAME}x}")
    assert [f"{number:0{NAME}x}" in works for number in (0, 1, 2, WORKS_MAX + 1)] == [False, False, True, True]
    assert len(works) == WORKS_MAX
    assert len(SharedWorks(area, 1)) == 0
