"""How the settings ask for a credential without reading the machine themselves.

Rule: a name under which nothing is found may be the key itself, pasted into the wrong place; one that looks like a key
is not repeated, wherever it would stand.
"""

import re
from collections.abc import Callable
from typing import Literal

from awfproxy.core.secret import Secret

#: A variable of the environment, a file, or a credential that systemd handed over (LoadCredential=).
CredentialKind = Literal["env", "file", "systemd"]

#: Gives the credential; or what is wrong with it, as the rest of a sentence that begins with the key or the variable
#: and that shows nothing of the value; or None: there is none (only for a variable that is unset or empty).
ReadCredential = Callable[[CredentialKind, str], Secret | str | None]

#: What stands for a name that is not repeated.
NOT_REPEATED = "(not repeated: it looks like a key; put a key into a file, and name that)"

#: As IEEE 1003.1 has names of variables (section 3.216), lower case beside upper.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: How keys of well-known makers begin: OpenAI, Anthropic and others (sk-), GitHub, Google, xAI, Groq, AWS; and any JWT.
_BEGINNINGS = ("sk-", "ghp_", "gho_", "github_pat_", "AIza", "xai-", "gsk_", "AKIA", "eyJ")
#: Other keys: as long as 16 random bytes in hexadecimal digits, without what the name of a file has.
_LONG = re.compile(r"[A-Za-z0-9_+=-]{32,}")


def variable_problem(name: str) -> str | None:
    """What is wrong with the name of a variable, as the rest of a sentence that does not repeat it; None: nothing."""
    if _VARIABLE.fullmatch(name):
        return None
    return (
        "is no name of a variable; if it is the key itself, put it into a file that only the service may read,"
        " `{ file = PATH }`"
    )


def looks_like_key(text: str) -> bool:
    """Whether what stands in the place of a name is rather a key; wrong at worst by hiding a long name."""
    bare = text.strip().removeprefix("Bearer ").strip()
    if "/" in bare:
        return False
    # A long name in capitals is of words (MY_COMPANY_PRODUCTION_OPENAI_API_KEY); a key of that length has digits.
    words = bare.isupper() and not any(char.isdigit() for char in bare)
    return bare.startswith(_BEGINNINGS) or (_LONG.fullmatch(bare) is not None and not words)


def shown(name: str, quote: str = "") -> str:
    """A name under which nothing was found, between quotes, for a message."""
    return NOT_REPEATED if looks_like_key(name) else f"{quote}{name}{quote}"
