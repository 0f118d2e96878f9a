"""A reverse proxy for LLM APIs that injects credentials and accounts for every token."""

__version__ = "0.1.0"
