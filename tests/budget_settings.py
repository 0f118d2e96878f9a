"""The settings of a service with one budget, for tests of what shows and changes budgets."""

from typing import Final

#: `credential` and `key` are in `ENVIRONMENT`; line 11 is `hard_cap_tokens`; the tables of features follow
BUDGETED: Final = """
[service]
log_dir = "logs"
state_dir = "state"
[ports.openai]
provider = "openai"
credential = { env = "KEY" }
[ports.openai.budget]
enabled = true
soft_cap_tokens = 500
hard_cap_tokens = 1000
[ports.openai.clients.one]
key = { env = "CI" }
user = "ci"
"""
ENVIRONMENT: Final = {"KEY": "k", "CI": "0123456789abcdef"}
