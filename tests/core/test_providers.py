"""The providers' table."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from awfproxy.core.providers import PROVIDERS


def test_names_and_ports_are_those_of_the_contract() -> None:
    """The providers are fixed, and so are the ports that open without a config file."""
    assert {name: provider.default_port for name, provider in PROVIDERS.items()} == {
        "openai": 10000,
        "anthropic": 10001,
        "copilot": 10002,
        "gemini": 10003,
        "vertex": 10004,
        "generic": None,
    }


def test_environment_names_are_those_of_the_contract() -> None:
    """AWF's names, in the order in which they win."""
    assert {name: (provider.env_keys, provider.env_target) for name, provider in PROVIDERS.items()} == {
        "openai": (("OPENAI_API_KEY",), "OPENAI_API_TARGET"),
        "anthropic": (("ANTHROPIC_API_KEY",), "ANTHROPIC_API_TARGET"),
        "copilot": (("COPILOT_GITHUB_TOKEN", "COPILOT_API_KEY"), "COPILOT_API_TARGET"),
        "gemini": (("GEMINI_API_KEY",), "GEMINI_API_TARGET"),
        "vertex": (("GOOGLE_API_KEY",), "VERTEX_API_TARGET"),
        "generic": ((), None),
    }


def test_every_default_upstream_is_https_without_slash_at_its_end() -> None:
    """`targets.join` puts the base path right before a path that begins with a slash."""
    for provider in PROVIDERS.values():
        if provider.default_upstream is not None:
            parts = urlsplit(provider.default_upstream)
            assert parts.scheme == "https"
            assert parts.hostname
            assert not provider.default_upstream.endswith("/")


def test_usage_is_asked_for_invisibly_only_where_the_contract_says() -> None:
    """Invisible on openai and copilot, off elsewhere."""
    assert {name: provider.include_usage for name, provider in PROVIDERS.items()} == {
        "openai": "invisible",
        "anthropic": "off",
        "copilot": "invisible",
        "gemini": "off",
        "vertex": "off",
        "generic": "off",
    }


@pytest.mark.parametrize(
    ("provider", "host", "scheme"),
    [
        ("copilot", "api.githubcopilot.com", b"Bearer "),
        ("copilot", "api.individual.githubcopilot.com", b"Bearer "),
        ("copilot", "api.enterprise.githubcopilot.com", b"token "),
        ("copilot", "API.Business.GitHubCopilot.com.", b"token "),
        ("copilot", "copilot-api.acme.ghe.com", b"token "),
        ("copilot", "copilot-api.acme.ghe.com.evil.example", b"Bearer "),
        ("openai", "api.enterprise.githubcopilot.com", b"Bearer "),
        ("anthropic", "api.anthropic.com", b""),
    ],
)
def test_scheme_of_the_host(provider: str, host: str, scheme: bytes) -> None:
    """`token` for Copilot's enterprise and business hosts, told by the whole name, in any case."""
    assert PROVIDERS[provider].scheme(host) == scheme
