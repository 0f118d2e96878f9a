"""Plain counters."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from awfproxy.core.outcomes import OUTCOMES
from awfproxy.server.tallies import MODELS_MAX, OTHER, REASONS_MAX, UNNAMED, Histogram, PortTallies, Tallies, code_of


class Usage:
    """Figures as a provider reports them."""

    input_tokens: int | None = 10
    output_tokens: int | None = 20
    cache_read_tokens: int | None = 3
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = 5


def end(port: PortTallies, model: str | None = "m", **more: Any) -> None:
    """One call, from its start to its end."""
    facts: dict[str, Any] = {
        "outcome": "complete",
        "status": 200,
        "duration": 1.0,
        "ttfb": 0.5,
        "overhead": 0.001,
        "request_bytes": 100,
        "response_bytes": 1000,
        "usage": Usage(),
        "source": "reported",
        "reason": None,
    }
    port.started()
    port.ended(model, **(facts | more))


def test_a_port_is_counted_in_one_place() -> None:
    """Asked for twice, it is the same."""
    tallies = Tallies()
    assert tallies.port("a", "openai") is tallies.port("a", "openai")


def test_one_call_counts_once_everywhere() -> None:
    """What was not said adds nothing."""
    port = PortTallies("a", "openai")
    end(port)
    model = port.models["m"]
    assert model.requests == {("complete", 200): 1}
    assert model.usage_records == {("reported", ""): 1}
    assert (model.input_tokens, model.output_tokens, model.reasoning_tokens) == (10, 20, 5)
    assert (model.cache_read_tokens, model.cache_write_tokens) == (3, 0)
    assert (model.request_bytes, model.response_bytes) == (100, 1000)
    assert sum(model.duration.counts) == sum(model.first_byte.counts) == sum(port.overhead.counts) == 1
    assert port.in_flight == 0


def test_what_never_came_is_not_timed() -> None:
    """No first byte, no figure of it."""
    port = PortTallies("a", "openai")
    end(port, status=None, ttfb=None, overhead=None, usage=None, source="none", reason="not-sent")
    model = port.models[OTHER]
    assert sum(model.first_byte.counts) == 0
    assert model.requests == {("complete", None): 1}
    assert model.usage_records == {("none", "not-sent"): 1}


@given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from([200, 404, None, 529, 418])), max_size=300))
def test_labels_stay_bounded_and_no_call_is_lost(calls: list[tuple[str, int | None]]) -> None:
    """A client may name any number of models; the sum over all labels is what came."""
    port = PortTallies("a", "openai")
    for name, status in calls:
        end(port, name, status=status)
    assert len(port.models) <= MODELS_MAX + 2
    assert sum(sum(model.requests.values()) for model in port.models.values()) == len(calls)
    answered = {name for name, status in calls if status == 200}
    assert set(port.models) <= answered | {OTHER, UNNAMED}


def test_a_model_beyond_the_bound_shares_a_label() -> None:
    """The first hundred keep theirs."""
    port = PortTallies("a", "openai")
    for number in range(MODELS_MAX + 50):
        end(port, f"m{number}")
    assert len(port.models) == MODELS_MAX + 1
    assert sum(port.models[OTHER].requests.values()) == 50
    end(port, "m0")
    assert sum(port.models["m0"].requests.values()) == 2


def test_a_name_that_no_upstream_took_is_no_label() -> None:
    """Made-up names cannot push real ones out."""
    port = PortTallies("a", "openai")
    end(port, "made-up", status=404)
    assert set(port.models) == {OTHER}


def test_statuses_share_labels_by_class() -> None:
    """Those that operators act on stand alone."""
    codes = [code_of(status) for status in (200, 201, 204, 304, 418, 429, 599, None)]
    assert codes == ["200", "2xx", "2xx", "3xx", "4xx", "429", "5xx", "none"]
    assert len({code_of(status) for status in range(100, 600)}) < 25


def test_reasons_stay_bounded() -> None:
    """A mistake in a reason does not fill the memory."""
    port = PortTallies("a", "openai")
    for number in range(REASONS_MAX * 2):
        port.scan_error(f"r{number}")
        end(port, source="none", reason=f"r{number}", usage=None)
    assert len(port.scan_errors) == REASONS_MAX + 1
    assert sum(port.scan_errors.values()) == REASONS_MAX * 2
    assert len(port.models["m"].usage_records) == REASONS_MAX + 1


@given(st.lists(st.floats(0, 2000), max_size=50))
def test_a_histogram_counts_each_value_in_its_place(values: list[float]) -> None:
    """Cumulated up to a bound: the values not above it (Prometheus' ``le``)."""
    histogram = Histogram((0.1, 1.0, 10.0))
    for value in values:
        histogram.add(value)
    for place, bound in enumerate(histogram.bounds):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == sum(values)


def test_all_outcomes_are_labels() -> None:
    """Nine words, nine series."""
    port = PortTallies("a", "openai")
    for outcome in OUTCOMES:
        end(port, outcome=outcome)
    assert {outcome for outcome, _status in port.models["m"].requests} == set(OUTCOMES)
