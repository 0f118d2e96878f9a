"""The providers a port can stand for, and what is particular to each.

One row a provider; nothing elsewhere asks for a provider by name.  What a row says is explained, with the provider's
own page as source, in docs/providers.md.  Names of environment variables and default ports are those of the AWF
api-proxy, so that this program can stand in for it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import msgspec

IncludeUsage = Literal["invisible", "visible", "off"]
ErrorShape = Literal["openai", "anthropic", "google"]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What is fixed about one provider; what a port's settings may change is given here as its default."""

    name: str
    #: environment variables that may hold the key, the first one set wins
    env_keys: tuple[str, ...] = ()
    #: environment variable that may name another upstream (host, or a full URL)
    env_target: str | None = None
    #: full URL with base path; None: the settings must say
    default_upstream: str | None = None
    #: local TCP port when there is no config file; None: never opened from the environment
    default_port: int | None = None
    #: the default of the setting of that name (docs/configuration.md); only ever asked for on streaming chat
    include_usage: IncludeUsage = "off"
    #: the body of refusals, so that the provider's SDK reads them (`refusals.shape_of` refines it by path)
    error_shape: ErrorShape = "openai"
    #: the header that carries the key, and what stands before the key in it
    credential_header: bytes = b"Authorization"
    credential_scheme: bytes = b"Bearer "
    #: client keys may also come as query parameters (`targets.strip_keys`)
    key_in_query: bool = False
    #: headers added where the client sent none
    default_headers: tuple[tuple[bytes, bytes], ...] = ()
    #: add an `x-interaction-id` that stays the same for the life of the port, where the client sent none: Copilot keys
    #: its prompt cache off it
    interaction_id: bool = False
    #: upstream hosts (`*` for any run of characters) that want the key as `token KEY`
    token_scheme_hosts: tuple[str, ...] = ()

    def scheme(self, host: str) -> bytes:
        """What stands before the key for the upstream ``host`` (a name without port)."""
        name = host.lower().rstrip(".")
        if any(fnmatchcase(name, pattern) for pattern in self.token_scheme_hosts):
            return b"token "
        return self.credential_scheme


#: The API version for callers that name none: without one the API answers 400.
ANTHROPIC_VERSION = b"2023-06-01"

#: The AWF api-proxy's default.  Copilot keys quota and the list of allowed models off it.
COPILOT_INTEGRATION_ID = b"agentic-workflows"

_ALL = (
    Provider(
        name="openai",
        env_keys=("OPENAI_API_KEY",),
        env_target="OPENAI_API_TARGET",
        default_upstream="https://api.openai.com/v1",
        default_port=10000,
        include_usage="invisible",
    ),
    Provider(
        name="anthropic",
        env_keys=("ANTHROPIC_API_KEY",),
        env_target="ANTHROPIC_API_TARGET",
        default_upstream="https://api.anthropic.com",
        default_port=10001,
        error_shape="anthropic",
        credential_header=b"x-api-key",
        credential_scheme=b"",
        default_headers=((b"anthropic-version", ANTHROPIC_VERSION),),
    ),
    Provider(
        name="copilot",
        env_keys=("COPILOT_GITHUB_TOKEN", "COPILOT_API_KEY"),
        env_target="COPILOT_API_TARGET",
        default_upstream="https://api.githubcopilot.com",
        default_port=10002,
        include_usage="invisible",
        default_headers=(
            (b"Copilot-Integration-Id", COPILOT_INTEGRATION_ID),
            # Absent, every call of an agent's loop is billed as one that a person began: 10 to 100 times as much.
            (b"x-initiator", b"agent"),
        ),
        interaction_id=True,
        # Enterprise, business and data-residency hosts take a GitHub token itself, the others a Copilot token.
        token_scheme_hosts=(
            "api.enterprise.githubcopilot.com",
            "api.business.githubcopilot.com",
            "copilot-api.*.ghe.com",
        ),
    ),
    Provider(
        name="gemini",
        env_keys=("GEMINI_API_KEY",),
        env_target="GEMINI_API_TARGET",
        default_upstream="https://generativelanguage.googleapis.com",
        default_port=10003,
        error_shape="google",
        credential_header=b"x-goog-api-key",
        credential_scheme=b"",
        key_in_query=True,
    ),
    Provider(
        name="vertex",
        env_keys=("GOOGLE_API_KEY",),
        env_target="VERTEX_API_TARGET",
        default_upstream="https://aiplatform.googleapis.com",
        default_port=10004,
        error_shape="google",
        credential_header=b"x-goog-api-key",
        credential_scheme=b"",
        key_in_query=True,
    ),
    Provider(name="generic"),
)

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in _ALL}
