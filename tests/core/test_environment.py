"""Folders, addresses and proxies from variables."""

import pytest

from awfproxy.core.environment import Environment
from awfproxy.core.rates import RateLimits
from awfproxy.core.settings import Proxy, Upstream


def read(**variables: str) -> Environment:
    return Environment(variables, "/work")


@pytest.mark.parametrize(
    ("variables", "logs", "state"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/awfproxy/logs", "/home/me/.local/state/awfproxy"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/s"}, "/s/awfproxy/logs", "/s/awfproxy"),
        ({"HOME": "/h", "XDG_STATE_HOME": "relative"}, "/h/.local/state/awfproxy/logs", "/h/.local/state/awfproxy"),
        ({"LOGS_DIRECTORY": "/l:/m", "STATE_DIRECTORY": "/s:/t", "HOME": "/h"}, "/l", "/s"),
        (
            {"LOGS_DIRECTORY": "/l", "AWF_TOKEN_LOG_DIR": "/a", "AWFPROXY_STATE_DIR": "/b", "STATE_DIRECTORY": "/s"},
            "/a",
            "/b",
        ),
        ({"AWF_TOKEN_LOG_DIR": "logs/", "AWFPROXY_STATE_DIR": "./s/../t"}, "/work/logs", "/work/t"),
        ({"AWF_TOKEN_LOG_DIR": "~/logs", "AWFPROXY_STATE_DIR": "~", "HOME": "/h"}, "/h/logs", "/h"),
    ],
)
def test_folders(variables: dict[str, str], logs: str, state: str) -> None:
    """Our own variable, then systemd's, then XDG's; always absolute."""
    environment = read(**variables)
    log_dir, state_dir = environment.log_dir(awf=True), environment.state_dir()
    assert log_dir is not None
    assert state_dir is not None
    assert (log_dir[0], state_dir[0]) == (logs, state)


def test_without_a_home_there_is_no_folder() -> None:
    """Nothing is guessed."""
    assert read().log_dir(awf=True) is read().state_dir() is None


def test_awf_folder_counts_only_without_a_file() -> None:
    """A file has its own key for it."""
    assert read(AWF_TOKEN_LOG_DIR="/a").log_dir(awf=False) is None


@pytest.mark.parametrize(("value", "bind"), [("", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("[::1]", "::1")])
def test_bind(value: str, bind: str) -> None:
    """Loopback unless something else is said."""
    environment = read(AWFPROXY_BIND=value)
    assert (environment.bind, environment.faults) == (bind, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWFPROXY_BIND", "localhost"),
        ("AWFPROXY_WORKERS", "0"),
        ("AWFPROXY_WORKERS", "-1"),
        ("AWFPROXY_WORKERS", "two"),
        ("AWFPROXY_WORKERS", "257"),
        ("AWFPROXY_WORKERS", "9" * 5000),
        ("AWFPROXY_WORKERS", "\u0664"),
        ("AWFPROXY_ALLOWED_HOSTS", "a.example,http://b"),
        ("HTTPS_PROXY", "socks5://x"),
        ("https_proxy", "http://:x"),
    ],
)
def test_a_wrong_value_is_a_fault_that_names_its_variable(name: str, value: str) -> None:
    """One sentence, beginning with the variable."""
    (fault,) = read(**{name: value}).faults
    assert fault.startswith(f"{name}: ")
    assert fault.endswith(".")


@pytest.mark.parametrize(
    ("value", "limited"), [("", False), ("false", False), ("0", False), ("true", True), ("TRUE", True), ("1", True)]
)
def test_rates_hold_where_they_are_switched_on(value: str, limited: bool) -> None:
    """AWF sets the numbers beside `false` too: those ask for nothing."""
    environment = read(AWF_RATE_LIMIT_ENABLED=value, AWF_RATE_LIMIT_RPM="30")
    limits, sources = environment.limits()
    assert environment.faults == []
    switched_on = RateLimits(requests_per_minute=30, requests_per_hour=1000, bytes_per_minute=52428800)
    assert limits == (switched_on if limited else RateLimits())
    assert sources == (
        {
            "requests_per_minute": "environment AWF_RATE_LIMIT_RPM",
            "requests_per_hour": "environment AWF_RATE_LIMIT_ENABLED",
            "bytes_per_minute": "environment AWF_RATE_LIMIT_ENABLED",
        }
        if limited
        else {}
    )


def test_all_rates_of_awf() -> None:
    """Each variable is its own limit."""
    limits, _ = read(
        AWF_RATE_LIMIT_ENABLED="true", AWF_RATE_LIMIT_RPM="1", AWF_RATE_LIMIT_RPH="2", AWF_RATE_LIMIT_BYTES_PM="3"
    ).limits()
    assert limits == RateLimits(requests_per_minute=1, requests_per_hour=2, bytes_per_minute=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWF_RATE_LIMIT_ENABLED", "maybe"),
        ("AWF_RATE_LIMIT_RPM", "0"),
        ("AWF_RATE_LIMIT_RPH", "-5"),
        ("AWF_RATE_LIMIT_BYTES_PM", "50 MB"),
    ],
)
def test_a_wrong_rate_is_a_fault(name: str, value: str) -> None:
    """AWF would take its default in silence; who has set a limit wants that one."""
    environment = read(**{"AWF_RATE_LIMIT_ENABLED": "true", name: value})
    environment.limits()
    (fault,) = environment.faults
    assert fault.startswith(f"{name}: must be ")


@pytest.mark.parametrize(("value", "workers"), [("", None), ("1", 1), (" 8 ", 8), ("256", 256)])
def test_workers(value: str, workers: int | None) -> None:
    """A number of processes, where one is given."""
    environment = read(AWFPROXY_WORKERS=value)
    assert (environment.workers, environment.faults) == (workers, [])


@pytest.mark.parametrize(("enabled", "warnings"), [(None, 1), ("false", 0)])
def test_rates_that_nothing_enables_are_worth_a_warning(enabled: str | None, warnings: int) -> None:
    """Whoever sets a number alone may think that it holds."""
    environment = read(AWF_RATE_LIMIT_RPH="600", **({} if enabled is None else {"AWF_RATE_LIMIT_ENABLED": enabled}))
    assert environment.limits() == (RateLimits(), {})
    assert environment.faults == []
    assert [line.partition(":")[0] for line in environment.warnings] == ["AWF_RATE_LIMIT_RPH"] * warnings


def test_a_misspelt_name_is_worth_a_warning() -> None:
    """Ours are ours alone: one that we do not know is a slip."""
    assert read(AWFPROXY_STATEDIR="/x").warnings == [
        "AWFPROXY_STATEDIR is not a variable of awfproxy; did you mean AWFPROXY_STATE_DIR?"
    ]
    assert read(AWFPROXY_BIND="::1", AWFPROXY_WORKERS="1", OTHER="x").warnings == []


def test_allowed_hosts() -> None:
    """A list with commas, in lower case."""
    assert read(AWFPROXY_ALLOWED_HOSTS=" Proxy.Example, b.example ,").allowed_hosts == ("proxy.example", "b.example")


def test_proxy_for_https_alone() -> None:
    """Plain http goes straight: CONNECT is for what the proxy cannot read."""
    environment = read(HTTPS_PROXY="http://squid:3128", NO_PROXY="inside.example")
    assert environment.proxy_for(Upstream("https", "api.openai.com", 443)) == Proxy("squid", 3128)
    assert environment.proxy_for(Upstream("http", "api.openai.com", 80)) is None
    assert environment.proxy_for(Upstream("https", "inside.example", 443)) is None
    assert read().proxy_for(Upstream("https", "api.openai.com", 443)) is None


def test_the_lower_case_name_goes_first() -> None:
    """As with curl."""
    environment = read(HTTPS_PROXY="http://a:1", https_proxy="http://b:2")
    assert environment.proxy_for(Upstream("https", "h", 443)) == Proxy("b", 2)
