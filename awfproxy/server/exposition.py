"""`/metrics`: the plain counters as Prometheus text, or OpenMetrics where the scraper asks for it.

A registry of our own with one collector over `tallies` and the journal, so that nothing is looked up or locked while
calls run.  All metrics are named and explained in `FAMILIES`; docs/metrics.md is checked against it.

Rendering takes about 6 µs a series, so `render` belongs in a thread: it only reads.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from awfproxy import __version__
from awfproxy.server.intake import Intake
from awfproxy.server.tallies import Histogram, ModelTallies, PortTallies, Tallies

_PORT: Final = ("provider", "port")
_MODEL: Final = ("provider", "port", "model")

#: name: (kind, explanation, labels).  Counters are exposed with ``_total``.
FAMILIES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "awfproxy_requests": (
        "counter",
        "Requests that ended, by how and with which status (or its class, or none).",
        (*_MODEL, "outcome", "status"),
    ),
    "awfproxy_in_flight_requests": ("gauge", "Requests that arrived and have not ended.", _PORT),
    "awfproxy_request_duration_seconds": ("histogram", "From the first byte of a request to its end.", _MODEL),
    "awfproxy_time_to_first_byte_seconds": (
        "histogram",
        "From the first byte of a request to the first byte of its answer.",
        _MODEL,
    ),
    "awfproxy_overhead_seconds": ("histogram", "What the proxy itself took of a call.", _PORT),
    "awfproxy_request_bytes": ("counter", "Bytes of request bodies as transferred.", _MODEL),
    "awfproxy_response_bytes": ("counter", "Bytes of answers' bodies as transferred.", _MODEL),
    "awfproxy_input_tokens": ("counter", "Prompt tokens as the provider counts them; estimates not included.", _MODEL),
    "awfproxy_output_tokens": ("counter", "Generated tokens, reasoning included; estimates not included.", _MODEL),
    "awfproxy_cache_read_tokens": ("counter", "Prompt tokens read from the provider's cache.", _MODEL),
    "awfproxy_cache_write_tokens": ("counter", "Prompt tokens written to the provider's cache.", _MODEL),
    "awfproxy_reasoning_tokens": ("counter", "The part of the output tokens that is reasoning.", _MODEL),
    "awfproxy_usage_records": (
        "counter",
        "Requests by where their figures are from, and why not from the provider.",
        (*_MODEL, "source", "reason"),
    ),
    "awfproxy_client_aborts": ("counter", "Clients that closed before the end of their answer.", _PORT),
    "awfproxy_upstream_retries": ("counter", "Requests sent again because a kept connection had closed.", _PORT),
    "awfproxy_upstream_connections": ("gauge", "Connections to the upstream.", (*_PORT, "state")),
    "awfproxy_scan_errors": ("counter", "What the usage scanner rejected.", (*_PORT, "reason")),
    "awfproxy_released_unrecorded": (
        "counter",
        "Ends of answers released before their record was written, because the disk took too long.",
        _PORT,
    ),
    "awfproxy_log_records_written": ("counter", "Records that the kernel has.", ("file",)),
    "awfproxy_log_records_dropped": ("counter", "Records that could not be kept. Must stay 0.", ()),
    "awfproxy_log_write_errors": ("counter", "Failed attempts to write records; they are tried again.", ()),
    "awfproxy_log_queue_records": ("gauge", "Records that wait to be written.", ()),
    "awfproxy_log_queue_bytes": ("gauge", "Bytes of records that wait to be written.", ()),
    "awfproxy_log_places_taken": ("gauge", "Places reserved for records of running calls, and waiting records.", ()),
    "awfproxy_log_oldest_waiting_seconds": ("gauge", "How long the oldest waiting record has waited; 0: none.", ()),
    "awfproxy_log_last_write_timestamp_seconds": ("gauge", "When records were last written; absent: never.", ()),
    "awfproxy_degraded": ("gauge", "1 while /health says degraded.", ()),
    "awfproxy_build": ("info", "Version of the proxy and of Python.", ()),
}

_TOKENS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")


class Exposition:
    """Renders all metrics of a process."""

    def __init__(self, tallies: Tallies, journal: Intake) -> None:
        self._counters = _Counters(tallies, journal)
        self._registry = CollectorRegistry()
        self._registry.register(self._counters)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str, degraded: bool) -> tuple[str, bytes]:
        """Content type and body.

        :param accept: the scrape's ``Accept`` header
        :param degraded: whether `/health` says so: asked in the reactor thread, because this may run in another
        """
        self._counters.degraded = degraded
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)


class _Counters(Collector):
    def __init__(self, tallies: Tallies, journal: Intake) -> None:
        self._tallies = tallies
        self._journal = journal
        self.degraded = False

    def describe(self) -> Iterable[Metric]:
        return []  # names are ours alone: nothing to check for duplicates, and no scrape at registration

    def collect(self) -> Iterator[Metric]:
        ports = list(self._tallies.ports.values())
        # list(): the reactor thread may add a model while this one reads
        models = [(port, name, model) for port in ports for name, model in list(port.models.items())]
        yield from _of_models(models)
        yield from _of_ports(ports)
        yield from self._of_journal()
        yield _gauge("awfproxy_degraded", float(self.degraded))
        build = InfoMetricFamily("awfproxy_build", FAMILIES["awfproxy_build"][1])
        build.add_metric([], {"version": __version__, "python": platform.python_version()})
        yield build

    def _of_journal(self) -> Iterator[Metric]:
        journal = self._journal
        written = _counter("awfproxy_log_records_written")
        written.add_metric(["requests.jsonl"], journal.written)
        written.add_metric(["token-usage.jsonl"], journal.usage_written)
        yield written
        for name, value in (
            ("awfproxy_log_records_dropped", journal.dropped),
            ("awfproxy_log_write_errors", journal.errors),
        ):
            counter = _counter(name)
            counter.add_metric([], value)
            yield counter
        yield _gauge("awfproxy_log_queue_records", journal.queue_records)
        yield _gauge("awfproxy_log_queue_bytes", journal.queue_bytes)
        yield _gauge("awfproxy_log_places_taken", journal.places_taken)
        yield _gauge("awfproxy_log_oldest_waiting_seconds", journal.oldest_waiting() or 0)
        yield _gauge("awfproxy_log_last_write_timestamp_seconds", journal.last_write)


def _of_models(models: list[tuple[PortTallies, str, ModelTallies]]) -> Iterator[Metric]:
    requests = _counter("awfproxy_requests")
    sources = _counter("awfproxy_usage_records")
    durations = _histogram("awfproxy_request_duration_seconds")
    first_bytes = _histogram("awfproxy_time_to_first_byte_seconds")
    sent = _counter("awfproxy_request_bytes")
    received = _counter("awfproxy_response_bytes")
    tokens = {kind: _counter(f"awfproxy_{kind}_tokens") for kind in _TOKENS}
    for port, name, model in models:
        labels = [port.provider, port.name, name]
        for key, count in list(model.requests.items()):
            requests.add_metric([*labels, *key], count)
        for key, count in list(model.usage_records.items()):
            sources.add_metric([*labels, *key], count)
        _add(durations, labels, model.duration)
        _add(first_bytes, labels, model.first_byte)
        sent.add_metric(labels, model.request_bytes)
        received.add_metric(labels, model.response_bytes)
        for kind, counter in tokens.items():
            counter.add_metric(labels, getattr(model, f"{kind}_tokens"))
    yield from (requests, sources, durations, first_bytes, sent, received, *tokens.values())


def _of_ports(ports: list[PortTallies]) -> Iterator[Metric]:
    in_flight = _gauge("awfproxy_in_flight_requests")
    overhead = _histogram("awfproxy_overhead_seconds")
    aborts = _counter("awfproxy_client_aborts")
    retries = _counter("awfproxy_upstream_retries")
    unrecorded = _counter("awfproxy_released_unrecorded")
    connections = _gauge("awfproxy_upstream_connections")
    errors = _counter("awfproxy_scan_errors")
    for port in ports:
        labels = [port.provider, port.name]
        in_flight.add_metric(labels, port.in_flight)
        _add(overhead, labels, port.overhead)
        aborts.add_metric(labels, port.client_aborts)
        retries.add_metric(labels, port.retries)
        unrecorded.add_metric(labels, port.released_unrecorded)
        connections.add_metric([*labels, "opening"], port.connections_opening)
        connections.add_metric([*labels, "busy"], port.connections_busy)
        connections.add_metric([*labels, "idle"], port.connections_idle)
        for reason, count in list(port.scan_errors.items()):
            errors.add_metric([*labels, reason], count)
    yield from (in_flight, overhead, aborts, retries, unrecorded, connections, errors)


def _counter(name: str) -> CounterMetricFamily:
    _kind, explanation, labels = FAMILIES[name]
    return CounterMetricFamily(name, explanation, labels=labels)


def _histogram(name: str) -> HistogramMetricFamily:
    _kind, explanation, labels = FAMILIES[name]
    return HistogramMetricFamily(name, explanation, labels=labels)


def _gauge(name: str, value: float | None = None) -> GaugeMetricFamily:
    _kind, explanation, labels = FAMILIES[name]
    gauge = GaugeMetricFamily(name, explanation, labels=labels)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    counts = list(histogram.counts)
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), histogram.sum)
