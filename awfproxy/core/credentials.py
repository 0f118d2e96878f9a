"""How the settings ask for a credential without reading the machine themselves."""

from collections.abc import Callable
from typing import Literal

from awfproxy.core.secret import Secret

#: A variable of the environment, a file, or a credential that systemd handed over (LoadCredential=).
CredentialKind = Literal["env", "file", "systemd"]

#: Gives the credential; or what is wrong with it, as the rest of a sentence that begins with the key or the variable
#: and that shows nothing of the value; or None: there is none (only for a variable that is unset or empty).
ReadCredential = Callable[[CredentialKind, str], Secret | str | None]
