"""From text and variables to whole settings."""

import pytest

from awfproxy.core.budgets import Budget
from awfproxy.core.credentials import NOT_REPEATED, CredentialKind
from awfproxy.core.providers import PROVIDERS
from awfproxy.core.rates import RateLimits
from awfproxy.core.secret import Secret
from awfproxy.core.settings import (
    Client,
    Database,
    Feature,
    Port,
    PortBudget,
    Proxy,
    Settings,
    SettingsError,
    Upstream,
)
from awfproxy.core.settings_environment import from_environment
from awfproxy.core.settings_file import from_file
from awfproxy.report.effective import effective

HOME = {"HOME": "/home/me"}
KEY = Secret("sk-the-key")
OTHER_KEY = Secret("sk-the-clients-key")


def reader(variables: dict[str, str]) -> object:
    """Credentials: variables by value; the file `good` holds KEY, the systemd credential OTHER_KEY; others hold none."""

    def read(kind: CredentialKind, name: str) -> Secret | str | None:
        if kind == "env":
            return Secret(variables[name]) if variables.get(name) else None
        return (OTHER_KEY if kind == "systemd" else KEY) if name == "good" else f"names `{name}`, which cannot be read"

    return read


def of_environment(**variables: str) -> Settings:
    every = HOME | variables
    return from_environment(every, "/work", reader(every))  # type: ignore[arg-type]


def of_file(text: str, **variables: str) -> Settings:
    every = HOME | variables
    return from_file(text, "a.toml", every, directory="/work", file_directory="/etc/awf", read=reader(every))  # type: ignore[arg-type]


def refused(text: str, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        of_file(text, **variables)
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines


def only(settings: Settings) -> Port:
    (port,) = settings.ports
    return port


def test_a_key_in_the_environment_opens_its_port() -> None:
    """The provider's own port, on loopback, to its own upstream."""
    assert only(of_environment(OPENAI_API_KEY="sk-the-key")) == Port(
        name="openai",
        listen="tcp:10000:interface=127.0.0.1",
        provider="openai",
        upstream=Upstream("https", "api.openai.com", 443, "/v1"),
        credential=KEY,
        include_usage="invisible",
    )


def test_all_keys_open_all_ports() -> None:
    """AWF's five, in its order; generic has no port of its own."""
    keys = {provider.env_keys[0]: "k" for provider in PROVIDERS.values() if provider.env_keys}
    ports = {port.name: port.listen.split(":")[1] for port in of_environment(**keys).ports}
    assert ports == {"openai": "10000", "anthropic": "10001", "copilot": "10002", "gemini": "10003", "vertex": "10004"}


@pytest.mark.parametrize("name", ["COPILOT_GITHUB_TOKEN", "COPILOT_API_KEY"])
def test_either_name_of_the_copilot_key(name: str) -> None:
    """The second counts where the first is empty."""
    settings = of_environment(**{"COPILOT_GITHUB_TOKEN": " ", name: "sk-the-key"})
    assert only(settings).credential == KEY
    assert settings.sources["ports.copilot.credential"] == f"environment {name}"


def test_the_environment_shapes_the_ports() -> None:
    """Address, target, hosts, proxy, folders."""
    settings = of_environment(
        OPENAI_API_KEY="k",
        OPENAI_API_TARGET="gw.example",
        AWFPROXY_BIND="0.0.0.0",
        AWFPROXY_ALLOWED_HOSTS="p.example",
        AWFPROXY_ADMIN="unix:/run/a.sock",
        AWFPROXY_STATE_DIR="/s",
        AWF_TOKEN_LOG_DIR="/l",
        HTTPS_PROXY="http://squid:3128",
        AWFPROXY_WORKERS="2",
        AWFPROXY_PRICES="~/p.toml",
        HOME="/home/me",
        AWF_RATE_LIMIT_ENABLED="true",
        AWF_RATE_LIMIT_RPH="5",
    )
    port = only(settings)
    assert port.listen == "tcp:10000:interface=0.0.0.0"
    assert port.upstream == Upstream("https", "gw.example", 443, "/v1")
    assert (port.allowed_hosts, port.proxy) == (("p.example",), Proxy("squid", 3128))
    service = settings.service
    assert (service.log_dir, service.state_dir, service.admin) == ("/l", "/s", "unix:/run/a.sock")
    assert (service.ledger, service.workers) == (Database("sqlite:////s/ledger.db"), 2)
    assert (service.prices, settings.sources["service.prices"]) == ("/home/me/p.toml", "environment AWFPROXY_PRICES")
    assert port.limits == RateLimits(requests_per_minute=600, requests_per_hour=5, bytes_per_minute=52428800)
    assert settings.sources["ports.openai.limits.requests_per_hour"] == "environment AWF_RATE_LIMIT_RPH"
    assert settings.sources["ports.openai.limits.requests_per_minute"] == "environment AWF_RATE_LIMIT_ENABLED"
    assert settings.sources["service.workers"] == "environment AWFPROXY_WORKERS"
    assert settings.source == "environment"
    assert settings.sources["ports.openai.upstream"] == "environment OPENAI_API_TARGET"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "set one of OPENAI_API_KEY, ANTHROPIC_API_KEY"),
        ({"OPENAI_API_KEY": "  "}, "set one of OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "k", "OPENAI_API_TARGET": "ftp://x"}, "OPENAI_API_TARGET: has the scheme"),
        ({"OPENAI_API_KEY": "k", "AWFPROXY_ADMIN": "tcp:10000"}, "AWFPROXY_ADMIN: is `tcp:10000:"),
        ({"OPENAI_API_KEY": "k", "AWFPROXY_ADMIN": "10009"}, "AWFPROXY_ADMIN: is a port number alone"),
        ({"OPENAI_API_KEY": "k", "AWF_RATE_LIMIT_ENABLED": "perhaps"}, "AWF_RATE_LIMIT_ENABLED: must be"),
        ({"OPENAI_API_KEY": "k", "AWFPROXY_WORKERS": "0"}, "AWFPROXY_WORKERS: must be a whole number from 1 to"),
        ({"OPENAI_API_KEY": "k", "AWFPROXY_STATE_DIR": "/a?b"}, "AWFPROXY_STATE_DIR: has a path with `?`"),
        ({"OPENAI_API_KEY": "k", "HOME": ""}, "no folder for logs"),
    ],
)
def test_what_the_environment_gets_wrong_is_told(variables: dict[str, str], words: str) -> None:
    """One sentence, with the variable in it."""
    with pytest.raises(SettingsError) as caught:
        of_environment(**variables)
    (line,) = caught.value.lines
    assert words in line


def test_a_target_without_a_key_is_worth_a_warning() -> None:
    """No port is opened for it, and that is said."""
    settings = of_environment(OPENAI_API_KEY="k", ANTHROPIC_API_TARGET="gw.example")
    assert [port.name for port in settings.ports] == ["openai"]
    assert settings.warnings == ("ANTHROPIC_API_TARGET is set without ANTHROPIC_API_KEY: no port is opened for it.",)


SMALL = """
[ports.main]
listen = "tcp:10000"
provider = "openai"
credential = { env = "KEY" }
"""


def test_a_small_file() -> None:
    """Everything that is not said has its default."""
    settings = of_file(SMALL, KEY="sk-the-key")
    assert only(settings) == Port(
        name="main",
        listen="tcp:10000:interface=127.0.0.1",
        provider="openai",
        upstream=Upstream("https", "api.openai.com", 443, "/v1"),
        credential=KEY,
        include_usage="invisible",
    )
    assert (settings.source, settings.warnings) == ("a.toml", ())
    assert settings.sources["ports.main.credential"] == "a.toml:5, environment KEY"
    assert settings.sources["ports.main.listen"] == "a.toml:3"


def test_a_file_with_everything() -> None:
    """Each key of a file arrives."""
    text = """
    [service]
    log_dir = "log"
    state_dir = "/s"
    admin = "tcp:9:interface=127.0.0.2"
    workers = 3
    ledger = "sqlite:///a.db"
    admission_wait = 0
    drain_timeout = 1
    record_wait = 2.5
    request_memory = 3
    [ports.a]
    listen = "tcp:10"
    provider = "generic"
    upstream = "http://h:1/b/"
    credential = { file = "good" }
    credential_header = "api-key"
    include_usage = "visible"
    allowed_hosts = ["H.example"]
    allowed_origins = ["https://O.example"]
    on_client_abort = "drain"
    max_request_body = 4
    connect_timeout = 5
    first_byte_timeout = 6
    idle_timeout = 7
    [ports.a.limits]
    requests_per_minute = 1
    requests_per_hour = 2
    bytes_per_minute = 3
    tokens_per_minute = 4
    concurrent_requests = 5
    [ports.a.budget]
    enabled = true
    period = "week"
    soft_cap_tokens = 1
    hard_cap_tokens = 2
    mode = "learned"
    unbounded = 3
    count = "all"
    hard_cap_usd = 2.5
    on_ledger_loss = "allow"
    webhook = "https://hooks.example/T0"
    [ports.a.clients.ci]
    key = { systemd = "good" }
    user = "CI"
    limits = { requests_per_hour = 6 }
    budget = { enabled = true, mode = "strict" }
    [ports.a.features.review.budget]
    enabled = true
    period = "day"
    """
    settings = of_file(text, AWFPROXY_ALLOWED_HOSTS="i.example")
    service = settings.service
    assert (service.log_dir, service.state_dir, service.admin) == ("/etc/awf/log", "/s", "tcp:9:interface=127.0.0.2")
    assert (service.drain_timeout, service.record_wait, service.request_memory) == (1.0, 2.5, 3)
    assert (service.workers, service.ledger) == (3, Database("sqlite:////etc/awf/a.db"))
    assert service.admission_wait == 0
    assert only(settings) == Port(
        name="a",
        listen="tcp:10:interface=127.0.0.1",
        provider="generic",
        upstream=Upstream("http", "h", 1, "/b"),
        credential=KEY,
        credential_header="api-key",
        include_usage="visible",
        allowed_hosts=("h.example", "i.example"),
        allowed_origins=("https://o.example",),
        on_client_abort="drain",
        max_request_body=4,
        connect_timeout=5.0,
        first_byte_timeout=6.0,
        idle_timeout=7.0,
        limits=RateLimits(
            requests_per_minute=1, requests_per_hour=2, bytes_per_minute=3, tokens_per_minute=4, concurrent_requests=5
        ),
        budget=PortBudget(
            enabled=True,
            period="week",
            soft_cap_tokens=1,
            hard_cap_tokens=2,
            mode="learned",
            unbounded=3,
            count="all",
            hard_cap_usd=2.5,
            on_ledger_loss="allow",
            webhook=Secret("https://hooks.example/T0"),
        ),
        clients=(
            Client(
                name="ci",
                key=OTHER_KEY,
                user="CI",
                limits=RateLimits(requests_per_hour=6),
                budget=Budget(enabled=True, mode="strict"),
            ),
        ),
        features=(Feature(name="review", budget=Budget(enabled=True, period="day")),),
    )


def test_own_variables_go_before_the_file() -> None:
    """What the operator exports wins over what the package installed."""
    text = '[service]\nstate_dir = "/a"\nadmin = "tcp:1"\nworkers = 2\n' + SMALL
    settings = of_file(
        text,
        KEY="k",
        AWFPROXY_STATE_DIR="/b",
        AWFPROXY_ADMIN="tcp:2",
        AWFPROXY_BIND="10.0.0.1",
        AWFPROXY_WORKERS="4",
    )
    assert settings.service.workers == 4
    assert settings.service.ledger.path == "/b/ledger.db"
    assert settings.sources["service.workers"] == "environment AWFPROXY_WORKERS"
    assert settings.service.state_dir == "/b"
    assert settings.service.admin == "tcp:2:interface=127.0.0.1"
    assert only(settings).listen == "tcp:10000:interface=10.0.0.1"
    assert settings.sources["service.admin"] == "environment AWFPROXY_ADMIN"


def test_the_file_of_prices() -> None:
    """Relative to the configuration file, or to the working folder where the variable names it, which goes first."""
    text = '[service]\nprices = "own/prices.toml"\n' + SMALL
    assert of_file(text, KEY="k").service.prices == "/etc/awf/own/prices.toml"
    settings = of_file(text, KEY="k", AWFPROXY_PRICES="/p.toml")
    assert (settings.service.prices, settings.sources["service.prices"]) == ("/p.toml", "environment AWFPROXY_PRICES")
    assert of_file(SMALL, KEY="k").service.prices is None


def test_keys_and_targets_of_the_environment_do_not_count_beside_a_file() -> None:
    """With a file, what is not in it is not opened, and a key goes only where the file sends it."""
    settings = of_file(
        SMALL, KEY="k", ANTHROPIC_API_KEY="k", OPENAI_API_TARGET="x.example", AWF_RATE_LIMIT_ENABLED="true"
    )
    assert only(settings).upstream.host == "api.openai.com"
    assert only(settings).limits == RateLimits()


def test_a_port_without_credential_is_kept_and_warned_about() -> None:
    """Its calls are answered 403, so that an agent learns what is missing."""
    for text, variable in ((SMALL, "KEY"), (SMALL.replace("credential", "#"), None)):
        settings = of_file(text)
        assert only(settings).credential_variable == variable
        assert only(settings).credential is None
        assert not only(settings).keyless
        assert len(settings.warnings) == 1
        assert "will be refused" in settings.warnings[0]
        assert "credential_variable" not in effective(settings, "pretty"), "it is no key of the file"


def test_a_generic_port_may_go_without() -> None:
    """Local servers take no key; but one that is named must be there."""
    text = '[ports.a]\nlisten = "tcp:1"\nprovider = "generic"\nupstream = "http://h"\n'
    settings = of_file(text)
    assert only(settings).keyless
    assert settings.warnings == ()
    assert not only(of_file(text + 'credential = { env = "KEY" }')).keyless


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'provider = "opnai"',
            "a.toml:4: `ports.a.provider` is `opnai`, which is not a provider; did you mean `openai`?",
        ),
        ("#", "a.toml:1: `ports.a` has no `provider`"),
        ('provider = "generic"', "a.toml:1: `ports.a` has no `upstream`"),
        ('provider = "openai"\nupstream = "api.openai.com"', "a.toml:5: `ports.a.upstream` has no scheme"),
        ('provider = "openai"\ncredential_header = "Host"', "a.toml:5: `ports.a.credential_header` is `Host`"),
        ('provider = "openai"\ncredential_header = "x y"', "is no header name"),
        ('provider = "openai"\nallowed_hosts = ["http://a"]', "has `http://a` in it, which is no host name"),
        ('provider = "openai"\nallowed_origins = ["*"]', "has `*` in it, which is no origin"),
    ],
)
def test_what_a_port_gets_wrong_is_told(line: str, words: str) -> None:
    """File, line, key, remedy."""
    lines = refused(f'[ports.a]\nlisten = "tcp:1"\ncredential = {{ file = "good" }}\n{line}')
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        ('{ file = "other" }', "names `other`, which cannot be read"),
        ('{ systemd = "other" }', "names `other`, which cannot be read"),
        ("{}", "exactly one of"),
        ('{ env = "A", file = "good" }', "exactly one of"),
        ('"sk-inline"', "must be a table; write `{ file = PATH }`"),
    ],
)
def test_a_credential_that_is_not_there_is_an_error(credential: str, words: str) -> None:
    """A key file is named on purpose; only a variable may be unset. A key in the file itself is not repeated."""
    (line,) = refused(f'[ports.a]\nprovider = "openai"\ncredential = {credential}')
    assert line.startswith("a.toml:3: `ports.a.credential` ")
    assert words in line
    assert "sk-inline" not in line


#: Wherever a credential can stand, in the place of %s.
PLACES = [
    '[ports.a]\nprovider = "openai"\ncredential = %s',
    '[ports.a]\nprovider = "openai"\ncredential = { file = "good" }\n[ports.a.clients.c]\nkey = %s',
    '[ports.a]\nprovider = "openai"\ncredential = { file = "good" }\n[ports.a.budget]\nwebhook = %s',
    '[ports.a]\nprovider = "openai"\ncredential = { file = "good" }\n[service]\nledger = %s',
]


@pytest.mark.parametrize("text", PLACES)
def test_a_key_in_the_place_of_a_variable_is_told_and_not_repeated(text: str) -> None:
    """Nobody could have set it, so that it is a mistake for sure."""
    (line,) = refused(text % '{ env = "sk-PASTEDKEY" }')
    assert "is no name of a variable; if it is the key itself" in line
    assert "PASTED" not in line


def test_a_key_that_could_be_a_variable_is_not_repeated() -> None:
    """Keys of some makers have letters, digits and `_` only; it stands in the note and in the source of the setting."""
    settings = of_file(PLACES[0] % '{ env = "ghp_PASTEDKEY" }')
    assert NOT_REPEATED in settings.warnings[0] and NOT_REPEATED in settings.sources["ports.a.credential"]
    assert only(settings).credential_variable is None
    assert "PASTED" not in repr(settings) + effective(settings, "pretty") + effective(settings, "json")
    for text in PLACES[1:]:
        (line,) = refused(text % '{ env = "ghp_PASTEDKEY" }')
        assert line.endswith(f"names the variable {NOT_REPEATED}, which is not set.")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('provider = "sk-PASTEDKEY"', f"is {NOT_REPEATED}, which is not a provider; valid are"),
        ('provider = "generic"\nlisten = "tcp:1"\nupstream = "sk-PASTEDKEY"', "has no scheme; write `https://HOST`"),
    ],
)
def test_a_key_in_the_place_of_something_else_is_not_repeated(lines: str, words: str) -> None:
    """What is valid is said."""
    (line,) = refused(f"[ports.a]\n{lines}")
    assert "PASTED" not in line
    assert words in line


def test_listeners_clash_also_with_the_admin_listener() -> None:
    """Two ports, or a port and the admin listener, in one place."""
    text = '[ports.a]\nlisten="tcp:10009"\nprovider="openai"\n[ports.b]\nlisten="tcp:10009"\nprovider="openai"\n'
    lines = refused(text)
    assert len(lines) == 2
    assert any("`ports.b.listen`" in line and "`ports.a` listens already" in line for line in lines)
    assert any("`service.admin`" in line for line in lines)


def test_all_faults_of_file_and_environment_at_once() -> None:
    """What is wrong with the variables is told beside what is wrong with the file."""
    lines = refused("[service]\nx = 1\n[ports.a]\ny = 2", AWFPROXY_BIND="nowhere")
    assert [line.split(" ")[0] for line in lines] == ["a.toml:2:", "a.toml:3:", "a.toml:4:", "AWFPROXY_BIND:"]


def test_an_empty_file_has_no_port() -> None:
    """A proxy without ports is a mistake."""
    assert refused("") == ["a.toml: there is no port; add a table like `[ports.openai]`."]


@pytest.mark.parametrize(
    ("webhook", "direct", "proxy"),
    [
        ("https://hooks.example/T0", "", Proxy("squid", 3128)),
        ("https://hooks.example/T0", "hooks.example", None),
        ("https://127.0.0.1/T0", "", None),
        ("http://hooks.example/T0", "", None),
    ],
)
def test_a_webhook_is_reached_as_upstreams_are(webhook: str, direct: str, proxy: Proxy | None) -> None:
    """Through the proxy, unless it is plain or NO_PROXY names its host; whatever the way to the port's upstream."""
    text = f'{SMALL}\n[ports.main.budget]\nwebhook = "{webhook}"'
    settings = of_file(text, KEY="k", HTTPS_PROXY="http://squid:3128", NO_PROXY=direct)
    assert only(settings).budget.webhook_proxy == proxy


def test_no_secret_in_the_settings_text() -> None:
    """The whole value can be logged."""
    text = f"""
    [service]
    ledger = {{ env = "LEDGER" }}
    {SMALL}
    [ports.main.budget]
    webhook = "https://hooks.example/sesame"
    [ports.main.clients.ci]
    key = {{ env = "CLIENT" }}
    """
    settings = of_file(
        text,
        KEY="sk-the-key",
        HTTPS_PROXY="http://u:sesame@p:1",
        LEDGER="postgresql://u:sesame@h/d",
        CLIENT="sesame-sesame-sesame",
    )
    assert settings.service.ledger.reveal() == "postgresql://u:sesame@h/d"
    assert "sk-the-key" not in repr(settings)
    assert "sesame" not in repr(settings)
    assert "dTpzZXNhbWU" not in repr(settings)  # u:sesame in base64
