"""What workers tell of themselves, as one answer."""

from awfproxy.server.reflection import all_reasons, together


def test_parts_become_one() -> None:
    """Numbers are added, lists united, tables put together; a flag stays a flag."""
    one = {"a": {"calls": 2, "configured": True, "models": ["m"], "connections": {"idle": 1}, "provider": "openai"}}
    other = {"a": {"calls": 3, "configured": True, "models": ["m", "k"], "connections": {"idle": 2}, "provider": "openai"}}
    assert together([one, other]) == {
        "a": {"calls": 5, "configured": True, "models": ["k", "m"], "connections": {"idle": 3}, "provider": "openai"}
    }
    assert together([one]) == one
    assert together([]) == {}


def test_reasons_of_all() -> None:
    """What all say is said once; else it is said who says it."""
    assert all_reasons({0: {"journal": "full"}, 1: {"journal": "full"}}, 2) == {"journal": "full"}
    assert all_reasons({0: {"journal": "full"}, 1: {}}, 2) == {"journal": "worker 0: full"}
    assert all_reasons({0: {"journal": "full"}, 1: {"journal": "slow"}}, 2) == {
        "journal": "worker 0: full; worker 1: slow"
    }
    assert all_reasons({0: {"journal": "full"}}, 2) == {"journal": "worker 0: full"}
    assert all_reasons({}, 2) == {}


def test_budgets_are_the_same_ones_everywhere() -> None:
    """They are not added up: whoever knows of the newest window, and of the most use in it, is right."""
    old = {"port": {"window_start": 1, "used": 90}}
    new = {"port": {"window_start": 2, "used": 5}, "user a": {"window_start": 2, "used": 1}}
    newer = {"port": {"window_start": 2, "used": 7}}
    for told in ([old, new, newer], [newer, new, old]):
        whole = together([{"budgets": each} for each in told])
        assert whole["budgets"] == {"port": newer["port"], "user a": new["user a"]}


def test_a_worker_that_does_not_know_is_not_asked() -> None:
    """Unknown is less than 0; all say so where nobody knows."""
    unknown = {"port": {"window_start": 2, "used": None}}
    nothing = {"port": {"window_start": 2, "used": 0}}
    for told in ([unknown, nothing], [nothing, unknown]):
        assert together([{"budgets": each} for each in told])["budgets"] == nothing
    assert together([{"budgets": unknown}, {"budgets": unknown}])["budgets"] == unknown
