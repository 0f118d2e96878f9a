"""The metrics of `/metrics`: names, kinds, explanations, labels.  docs/metrics.md is checked against them."""

from __future__ import annotations

from typing import Final

_PORT: Final = ("provider", "port")
_MODEL: Final = ("provider", "port", "model")
_BUDGET: Final = (*_PORT, "scope", "name")

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
    "awfproxy_connections_closed_for_others": (
        "counter", "Clients' connections without a call that were closed to make room for others.", _PORT
    ),
    "awfproxy_upstream_retries": ("counter", "Requests sent again because a kept connection had closed.", _PORT),
    "awfproxy_upstream_connections": ("gauge", "Connections to the upstream.", (*_PORT, "state")),
    "awfproxy_scan_errors": ("counter", "What the usage scanner rejected.", (*_PORT, "reason")),
    "awfproxy_released_unrecorded": (
        "counter",
        "Ends of answers released before their record was written, because the disk took too long.",
        _PORT,
    ),
    "awfproxy_rate_limited": ("counter", "Requests refused by a rate limit.", (*_PORT, "scope", "limit")),
    "awfproxy_budget_decisions": (
        "counter",
        "Calls that budgets were asked about, by what was decided, and the kind of budget that refused.",
        (*_PORT, "scope", "decision"),
    ),
    "awfproxy_budget_limit_tokens": ("gauge", "Hard cap of an enabled budget.", _BUDGET),
    "awfproxy_budget_soft_cap_tokens": ("gauge", "Soft cap of an enabled budget.", _BUDGET),
    "awfproxy_budget_used_tokens": ("gauge", "Used since the budget's window began.", _BUDGET),
    "awfproxy_budget_reserved_tokens": ("gauge", "Set aside for calls that run.", _BUDGET),
    "awfproxy_budget_remaining_tokens": ("gauge", "Neither used nor set aside.", _BUDGET),
    "awfproxy_budget_limit_usd": ("gauge", "Hard cap in dollars of an enabled budget that has one.", _BUDGET),
    "awfproxy_budget_used_usd": ("gauge", "Dollars used since its window began.", _BUDGET),
    "awfproxy_budget_reserved_usd": ("gauge", "Dollars set aside for calls that run.", _BUDGET),
    "awfproxy_budget_remaining_usd": ("gauge", "Dollars neither used nor set aside.", _BUDGET),
    "awfproxy_log_records_written": ("counter", "Records that the kernel has.", ("file",)),
    "awfproxy_log_records_dropped": ("counter", "Records that could not be kept. Must stay 0.", ()),
    "awfproxy_log_write_errors": ("counter", "Failed attempts to write records; they are tried again.", ()),
    "awfproxy_log_queue_records": ("gauge", "Records that wait to be written.", ()),
    "awfproxy_log_queue_bytes": ("gauge", "Bytes of records that wait to be written.", ()),
    "awfproxy_log_places_taken": ("gauge", "Places reserved for records of running calls, and waiting records.", ()),
    "awfproxy_log_oldest_waiting_seconds": ("gauge", "How long the oldest waiting record has waited; 0: none.", ()),
    "awfproxy_log_last_write_timestamp_seconds": ("gauge", "When records were last written; absent: never.", ()),
    "awfproxy_workers": ("gauge", "Processes that accept calls.", ()),
    "awfproxy_worker_deaths": ("counter", "Workers that ended without having been asked to.", ()),
    "awfproxy_ledger_records": ("counter", "Usage records that were added to the ledger.", ()),
    "awfproxy_ledger_lag_records": (
        "gauge",
        "Usage records that the journal has and the ledger has not, about: by bytes. Absent: not known yet.",
        (),
    ),
    "awfproxy_ledger_skipped_lines": ("counter", "Lines of the journal that are no usage records.", ()),
    "awfproxy_ledger_errors": ("counter", "Failed attempts to use the ledger; they are repeated.", ()),
    "awfproxy_ledger_lost_tokens": ("counter", "Tokens that processes had reserved when they died.", ()),
    "awfproxy_webhook": (
        "counter",
        "Attempts to tell a webhook of a soft cap that is passed; dropped: alerts, because too many waited.",
        ("result",),
    ),
    "awfproxy_unpriced_tokens": (
        "counter",
        "Tokens of models without a price, as they were added to the ledger.",
        ("provider", "model"),
    ),
    "awfproxy_config_reloads": ("counter", "Times that the configuration was read again, by result.", ("result",)),
    "awfproxy_config_last_reload_successful": (
        "gauge",
        "0 once the configuration was refused, until it is taken over again.",
        (),
    ),
    "awfproxy_config_last_reload_success_timestamp_seconds": (
        "gauge",
        "When the configuration that is in effect was read.",
        (),
    ),
    "awfproxy_degraded": ("gauge", "1 while /health says degraded.", ()),
    "awfproxy_build": ("info", "Version of the proxy and of Python.", ()),
}
