"""What the service would not keep is not taken."""

import pytest

from awfproxy.core.secret import Secret
from awfproxy.core.settings import Settings
from awfproxy.core.settings_environment import from_environment
from awfproxy.core.settings_file import from_file
from awfproxy.core.unsupported import unsupported

PORT = '[ports.a]\nprovider = "openai"\n'
BUDGET = "[ports.a.budget]\nenabled = true\n"
DOLLARS = "budget = { enabled = true, hard_cap_usd = 5.0 }"
CLIENT = '[ports.a.clients.ci]\nkey = { env = "K" }'


def of_file(text: str) -> Settings:
    return from_file(
        text, "a.toml", {"HOME": "/h"}, directory="/", file_directory="/", read=lambda kind, name: Secret("k" * 20)
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (PORT + BUDGET + "hard_cap_usd = 5.0", "a.toml:5: `ports.a.budget.hard_cap_usd` "),
        (PORT + BUDGET + 'webhook = "https://h.test/x"', "a.toml:5: `ports.a.budget.webhook` "),
        (PORT + CLIENT + "\n" + DOLLARS, "a.toml:5: `ports.a.clients.ci.budget.hard_cap_usd` "),
        (PORT + "features.review." + DOLLARS, "a.toml:3: `ports.a.features.review.budget.hard_cap_usd` "),
    ],
)
def test_names_what_would_not_be_kept(text: str, place: str) -> None:
    """With its place."""
    (line,) = unsupported(of_file(text))
    assert line.startswith(place)
    assert line.endswith("is not supported in this version; take it out.")


@pytest.mark.parametrize(
    "text",
    [
        PORT, "[service]\nworkers = 2\nadmission_wait = 1\n" + PORT, PORT + "limits.requests_per_minute = 1",
        PORT + BUDGET + 'mode = "strict"', PORT + CLIENT, PORT + "features.review.budget.enabled = true",
        PORT + "[ports.a.budget]\nenabled = false\nhard_cap_usd = 5.0",
    ],
)  # fmt: skip
def test_what_is_kept_is_taken(text: str) -> None:
    """Workers, limits, budgets of tokens, clients, features; and dollars where nothing is enabled."""
    assert unsupported(of_file(text)) == []


def test_limits_of_the_environment_are_kept() -> None:
    """As AWF has them."""
    variables = {"HOME": "/h", "OPENAI_API_KEY": "k", "AWF_RATE_LIMIT_ENABLED": "true", "AWF_RATE_LIMIT_RPM": "5"}
    assert unsupported(from_environment(variables, "/", lambda kind, name: Secret("k"))) == []
