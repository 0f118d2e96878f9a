"""`/metrics`: the plain counters as Prometheus text, or OpenMetrics where the scraper asks for it.

All metrics are named and explained in `metric_families`.

Both formats are written here, for ``prometheus_client``'s own way, families of sample objects, takes 14 to 22 µs of the
interpreter's lock a series (30 ms for five ports with five models each, 300 ms with a hundred), which calls would feel;
this takes about 1.  The library chooses the format, adds the metrics of the process, and its parsers check the text in
the tests.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from awfproxy import __version__
from awfproxy.core.budgets import dollars
from awfproxy.server.bookkeeper import LedgerFigures
from awfproxy.server.intake import Intake
from awfproxy.server.metric_families import FAMILIES
from awfproxy.server.process_metrics import one_process
from awfproxy.server.reload_figures import ReloadFigures
from awfproxy.server.tallies import Histogram, PortTallies, Tallies, code_of
from awfproxy.server.totals import JournalFigures, Totals

_TOKENS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
#: of `tallies.BudgetFigures`
_AMOUNTS: Final = ("limit", "used", "reserved", "remaining")


class Exposition:
    """Renders all metrics of a service.  Only reads, so that it may run in any thread.

    :param process: the metrics of its processes; by default of this one
    :param workers: how many accept calls, and how many have died
    :param ledger: asked at each scrape
    :param alerts: what became of them (`alerts.RESULTS`)
    :param reloads: of the configuration
    """

    def __init__(
        self,
        tallies: Tallies | Totals,
        journal: Intake | JournalFigures,
        process: CollectorRegistry | None = None,
        workers: Callable[[], tuple[int, int]] = lambda: (1, 0),
        ledger: Callable[[], LedgerFigures] = LedgerFigures,
        alerts: Mapping[str, int] = MappingProxyType({}),
        reloads: ReloadFigures | None = None,
    ) -> None:
        self._tallies = tallies
        self._journal = journal
        self._process = process or one_process()
        self._workers = workers
        self._ledger = ledger
        self._alerts = alerts
        self._reloads = reloads or ReloadFigures()

    def render(self, accept: str, degraded: bool) -> tuple[str, bytes]:
        """Content type and body.

        :param accept: the scrape's ``Accept`` header
        :param degraded: whether `/health` says so: asked in the reactor thread, because this may run in another
        """
        encode, content_type = choose_encoder(accept)
        page = _Page(content_type.startswith("application/openmetrics-text"))
        ports = list(self._tallies.ports.values())
        _write_models(page, ports)
        _write_ports(page, ports)
        _write_budgets(page, ports)
        _write_journal(page, self._journal)
        _write_ledger(page, self._ledger())
        ready, deaths = self._workers()
        page.family("awfproxy_workers", [("", ready)])
        page.family("awfproxy_worker_deaths", [("", deaths)])
        page.family("awfproxy_webhook", [(_labels(result=name), count) for name, count in self._alerts.items()])
        _write_reloads(page, self._reloads)
        page.family("awfproxy_degraded", [("", int(degraded))])
        page.family("awfproxy_build", [(_labels(version=__version__, python=platform.python_version()), 1)])
        # The library's part goes last: in OpenMetrics it brings the end mark.
        return content_type, page.text().encode() + encode(self._process)


class _Page:
    """Lines of text; the two formats differ in the names of families only."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join([*self._lines, ""])

    def family(self, name: str, samples: Iterable[tuple[str, float]]) -> None:
        """A counter, gauge or info: labels as text, and the value."""
        kind = FAMILIES[name][0]
        sample = name + _SUFFIXES[kind]
        self._head(name if self._openmetrics else sample, name)
        self._lines += [f"{sample}{{{labels}}} {value}" if labels else f"{sample} {value}" for labels, value in samples]

    def histograms(self, name: str, samples: Iterable[tuple[str, Histogram]]) -> None:
        """Likewise, of histograms; their counts become cumulative."""
        self._head(name, name)
        for labels, histogram in samples:
            counts = list(accumulate(histogram.counts))
            bounds = [*histogram.bounds, "+Inf"]
            self._lines += [
                f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)
            ]
            self._lines.append(f"{name}_sum{{{labels}}} {histogram.sum}")
            self._lines.append(f"{name}_count{{{labels}}} {counts[-1]}")

    def _head(self, shown: str, name: str) -> None:
        kind, explanation, _labels = FAMILIES[name]
        if kind == "info" and not self._openmetrics:
            kind = "gauge"
        self._lines += [f"# HELP {shown} {explanation}", f"# TYPE {shown} {kind}"]


_SUFFIXES: Final = {"counter": "_total", "info": "_info", "gauge": ""}


def _write_models(page: _Page, ports: list[PortTallies]) -> None:
    # list(): the reactor thread may add a model while this one reads
    models = [
        (_labels(provider=port.provider, port=port.name, model=name), model)
        for port in ports
        for name, model in list(port.models.items())
    ]
    page.family(
        "awfproxy_requests",
        [
            (f'{labels},outcome="{outcome}",status="{code}"', count)
            for labels, model in models
            for (outcome, code), count in _by_code(list(model.requests.items())).items()
        ],
    )
    page.family(
        "awfproxy_usage_records",
        [
            (f"{labels},{_labels(source=source, reason=reason)}", count)
            for labels, model in models
            for (source, reason), count in list(model.usage_records.items())
        ],
    )
    page.histograms("awfproxy_request_duration_seconds", [(labels, model.duration) for labels, model in models])
    page.histograms("awfproxy_time_to_first_byte_seconds", [(labels, model.first_byte) for labels, model in models])
    for what in ("request_bytes", "response_bytes", *(f"{kind}_tokens" for kind in _TOKENS)):
        page.family(f"awfproxy_{what}", [(labels, getattr(model, what)) for labels, model in models])


def _write_ports(page: _Page, ports: list[PortTallies]) -> None:
    labelled = [(_labels(provider=port.provider, port=port.name), port) for port in ports]
    page.family("awfproxy_in_flight_requests", [(labels, port.in_flight) for labels, port in labelled])
    page.histograms("awfproxy_overhead_seconds", [(labels, port.overhead) for labels, port in labelled])
    page.family("awfproxy_client_aborts", [(labels, port.client_aborts) for labels, port in labelled])
    page.family(
        "awfproxy_connections_closed_for_others", [(labels, port.closed_for_others) for labels, port in labelled]
    )
    page.family("awfproxy_upstream_retries", [(labels, port.retries) for labels, port in labelled])
    page.family("awfproxy_released_unrecorded", [(labels, port.released_unrecorded) for labels, port in labelled])
    page.family(
        "awfproxy_upstream_connections",
        [
            (f'{labels},state="{state}"', getattr(port, f"connections_{state}"))
            for labels, port in labelled
            for state in ("busy", "idle")
        ],
    )
    page.family(
        "awfproxy_scan_errors",
        [
            (f"{labels},{_labels(reason=reason)}", count)
            for labels, port in labelled
            for reason, count in list(port.scan_errors.items())
        ],
    )


def _write_budgets(page: _Page, ports: list[PortTallies]) -> None:
    labelled = [(_labels(provider=port.provider, port=port.name), port) for port in ports]
    page.family(
        "awfproxy_rate_limited",
        [
            (f"{labels},{_labels(scope=scope, limit=name)}", count)
            for labels, port in labelled
            for (scope, name), count in list(port.rate_limited.items())
        ],
    )
    page.family(
        "awfproxy_budget_decisions",
        [
            (f"{labels},{_labels(scope=scope, decision=reason)}", count)
            for labels, port in labelled
            for (scope, reason), count in list(port.budget_decisions.items())
        ],
    )
    budgets = [
        (f"{labels},{_labels(scope=scope, name=name)}", figures)
        for labels, port in labelled
        for (scope, name), figures in list(port.budgets.items())
    ]
    page.family("awfproxy_budget_soft_cap_tokens", _said((labels, each.soft_cap) for labels, each in budgets))
    for what in _AMOUNTS:
        page.family(f"awfproxy_budget_{what}_tokens", _said((labels, getattr(each, what)) for labels, each in budgets))
    usd = [
        (f"{labels},{_labels(scope=scope, name=name)}", figures)
        for labels, port in labelled
        for (scope, name), figures in list(port.budgets_usd.items())
    ]
    for what in _AMOUNTS:
        amounts = _said((labels, getattr(each, what)) for labels, each in usd)
        page.family(f"awfproxy_budget_{what}_usd", [(labels, dollars(amount)) for labels, amount in amounts])


def _write_journal(page: _Page, journal: Intake | JournalFigures) -> None:
    written = [("requests.jsonl", journal.written), ("token-usage.jsonl", journal.usage_written)]
    page.family("awfproxy_log_records_written", [(_labels(file=name), count) for name, count in written])
    page.family("awfproxy_log_records_dropped", [("", journal.dropped)])
    page.family("awfproxy_log_write_errors", [("", journal.errors)])
    page.family("awfproxy_log_queue_records", [("", journal.queue_records)])
    page.family("awfproxy_log_queue_bytes", [("", journal.queue_bytes)])
    page.family("awfproxy_log_places_taken", [("", journal.places_taken)])
    page.family("awfproxy_log_oldest_waiting_seconds", [("", journal.oldest_waiting() or 0)])
    last = journal.last_write
    page.family("awfproxy_log_last_write_timestamp_seconds", [] if last is None else [("", last)])


def _write_ledger(page: _Page, ledger: LedgerFigures) -> None:
    page.family("awfproxy_ledger_records", [("", ledger.recorded)])
    page.family("awfproxy_ledger_lag_records", [] if ledger.lag is None else [("", ledger.lag)])
    page.family("awfproxy_ledger_skipped_lines", [("", ledger.skipped)])
    page.family("awfproxy_ledger_errors", [("", ledger.errors)])
    page.family("awfproxy_ledger_lost_tokens", [("", ledger.lost)])
    unpriced = ledger.unpriced.items()
    page.family(
        "awfproxy_unpriced_tokens",
        [(_labels(provider=provider, model=model), count) for (provider, model), count in unpriced],
    )


def _write_reloads(page: _Page, reloads: ReloadFigures) -> None:
    results = (("applied", reloads.applied), ("refused", reloads.refused))
    page.family("awfproxy_config_reloads", [(_labels(result=name), count) for name, count in results])
    page.family("awfproxy_config_last_reload_successful", [("", int(reloads.successful))])
    page.family("awfproxy_config_last_reload_success_timestamp_seconds", [("", reloads.succeeded_at)])


def _by_code(requests: Iterable[tuple[tuple[str, int | None], int]]) -> Counter[tuple[str, str]]:
    """Counts by outcome and status, with rare statuses in one."""
    found: Counter[tuple[str, str]] = Counter()
    for (outcome, status), count in requests:
        found[outcome, code_of(status)] += count
    return found


def _said(samples: Iterable[tuple[str, int | None]]) -> list[tuple[str, int]]:
    """What is not known has no series."""
    return [(labels, value) for labels, value in samples if value is not None]


def _labels(**values: str) -> str:
    return ",".join(_pairs(values))


def _pairs(values: dict[str, str]) -> Iterator[str]:
    for name, value in values.items():
        escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        yield f'{name}="{escaped}"'
