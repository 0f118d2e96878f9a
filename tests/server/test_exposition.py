"""`/metrics` as scrapers read it."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.internet.task import Clock

from awfproxy.server.exposition import Exposition
from awfproxy.server.journal_memory import MemoryJournal
from awfproxy.server.metric_families import FAMILIES
from awfproxy.server.tallies import BudgetFigures, Tallies

ROOT = Path(__file__).resolve().parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

#: names that dashboards and alerts depend on
PROMISED = (
    "awfproxy_requests_total",
    "awfproxy_in_flight_requests",
    "awfproxy_request_duration_seconds",
    "awfproxy_time_to_first_byte_seconds",
    "awfproxy_overhead_seconds",
    "awfproxy_request_bytes_total",
    "awfproxy_response_bytes_total",
    "awfproxy_input_tokens_total",
    "awfproxy_output_tokens_total",
    "awfproxy_cache_read_tokens_total",
    "awfproxy_cache_write_tokens_total",
    "awfproxy_reasoning_tokens_total",
    "awfproxy_usage_records_total",
    "awfproxy_log_records_written_total",
    "awfproxy_log_records_dropped_total",
    "awfproxy_log_queue_bytes",
    "awfproxy_client_aborts_total",
    "awfproxy_scan_errors_total",
    "awfproxy_build_info",
    "process_resident_memory_bytes",
    "process_open_fds",
)


class Usage:
    """Figures of a call."""

    input_tokens: int | None = 10
    output_tokens: int | None = 20
    cache_read_tokens: int | None = 3
    cache_write_tokens: int | None = 4
    reasoning_tokens: int | None = 5


@pytest.fixture
def exposition() -> Exposition:
    """After one call, one scan error, and one record."""
    clock = Clock()
    journal = MemoryJournal(clock)
    journal.start()
    tallies = Tallies()
    port = tallies.port("openai", "openai")
    port.started()
    port.started()
    port.ended('m"1\n', "complete", 200, 2.0, 0.3, 0.0002, 100, 1000, Usage(), "reported", None)
    port.scan_error("bad-count", 2)
    port.connections_idle = 3
    journal.reserve()
    journal.append(b"{}\n", b"{}\n", lambda: None)
    clock.advance(7)
    journal.reserve()
    journal.append(None, b"{}\n", lambda: None)
    return Exposition(tallies, journal)


def samples(exposition: Exposition, accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All series and their values."""
    content_type, body = exposition.render(accept, False)
    parse: Any = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS], ids=["nothing", "text", "openmetrics"])
def test_both_formats_say_the_same(exposition: Exposition, accept: str) -> None:
    """Whatever the scraper asks for, and with a model name that needs escaping."""
    found = samples(exposition, accept)
    port = (("port", "openai"), ("provider", "openai"))
    model = (("model", 'm"1\n'), *port)
    assert found["awfproxy_requests_total", (*model[:1], ("outcome", "complete"), *port, ("status", "200"))] == 1
    assert found["awfproxy_in_flight_requests", port] == 1
    assert found["awfproxy_input_tokens_total", model] == 10
    assert found["awfproxy_output_tokens_total", model] == 20
    assert found["awfproxy_request_bytes_total", model] == 100
    assert found["awfproxy_scan_errors_total", (*port, ("reason", "bad-count"))] == 2
    assert found["awfproxy_upstream_connections", (*port, ("state", "idle"))] == 3
    assert found["awfproxy_log_records_written_total", (("file", "requests.jsonl"),)] == 1
    assert found["awfproxy_log_queue_bytes", ()] == 3
    assert found["awfproxy_log_last_write_timestamp_seconds", ()] == 7
    assert found["awfproxy_degraded", ()] == 0


def test_histograms_are_cumulative(exposition: Exposition) -> None:
    """A call of 2 s counts in every bucket from 2.5 up."""
    found = samples(exposition)
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in found.items()
        if name == "awfproxy_request_duration_seconds_bucket"
    }
    assert len(buckets) == 16
    assert all(value == (bound >= 2.0) for bound, value in buckets.items())


def test_the_content_type_is_of_the_format(exposition: Exposition) -> None:
    """Scrapers choose their parser by it."""
    assert exposition.render("", False)[0].startswith("text/plain")
    assert exposition.render(OPENMETRICS, False)[0].startswith("application/openmetrics-text")


def test_budgets_have_series_for_what_is_known() -> None:
    """Both caps always; no series where it is not known what was used, which is not 0."""
    tallies = Tallies()
    port = tallies.port("openai", "openai")
    shown = Exposition(tallies, MemoryJournal(Clock()))
    names = [f"awfproxy_budget_{what}_tokens" for what in ("limit", "soft_cap", "used", "reserved", "remaining")]
    for used, reserved, remaining in ((20, 30, 50), (None, None, None)):
        port.budgets = {("user", "ci"): BudgetFigures(100, used, reserved, remaining, 80, 0, 10)}
        port.budgets_usd = {("port", ""): BudgetFigures(2_000_000, used, reserved, remaining, None, 0, 10)}
        found = samples(shown)
        values = [[value for (name, _), value in found.items() if name == wanted] for wanted in names]
        assert values == [[100], [80], *([] if each is None else [each] for each in (used, reserved, remaining))]
        assert len([name for name, _ in found if name.endswith("_usd")]) == (1 if used is None else 4)


def test_degraded_is_a_series(exposition: Exposition) -> None:
    """To alert on."""
    assert b"\nawfproxy_degraded 1\n" in exposition.render("", True)[1]


def test_every_promised_name_is_there_from_the_first_scrape() -> None:
    """With no port and no call; its families at least."""
    body = Exposition(Tallies(), MemoryJournal(Clock())).render("", False)[1].decode()
    for name in PROMISED:
        assert f"# HELP {name} " in body, name


def test_metrics_and_their_page_name_each_other() -> None:
    """No metric without a line in docs/metrics.md, and none there that does not exist."""
    body = Exposition(Tallies(), MemoryJournal(Clock())).render("", False)[1].decode()
    ours = set(re.findall(r"# TYPE (awfproxy_\w+)", body))
    assert len(ours) == len(FAMILIES)
    page = set(re.findall(r"`(awfproxy_\w+)[`{]", (ROOT / "docs" / "metrics.md").read_text()))
    assert page == ours


def test_labels_of_a_series_are_those_of_its_family(exposition: Exposition) -> None:
    """What FAMILIES says is what comes out."""
    for (name, labels), _value in samples(exposition).items():
        family = re.sub(r"_(total|bucket|sum|count|info)$", "", name)
        if family in FAMILIES and family != "awfproxy_build":
            assert {label for label, _ in labels} - {"le"} == set(FAMILIES[family][2]), name
