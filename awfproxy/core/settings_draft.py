"""What the parts of a file's reading share: the document, where each value is from, and the keys it names.

Rules: a text that may be secret is never repeated, nor what looks like a key where a name belongs; a credential is
found by exactly one of `env`, `file`, `systemd`.
"""

from awfproxy.core.credentials import CredentialKind, ReadCredential, shown, variable_problem
from awfproxy.core.secret import Secret
from awfproxy.core.settings import KeyFile
from awfproxy.core.toml_document import Document
from awfproxy.core.toml_lines import Path
from awfproxy.core.toml_tables import CredentialTable

#: settings that are a key and nothing else; what is made of the others' files is known after checks only
_KEYS = ("credential", "key")
_PLACES: dict[CredentialKind, str] = {"env": "environment", "file": "file", "systemd": "systemd credential"}


class Draft:
    """One file on its way to settings."""

    def __init__(self, document: Document, read: ReadCredential) -> None:
        self.document = document
        self.warnings: list[str] = []
        #: as `settings.Settings.sources`
        self.sources = {".".join(path): document.place(path) for path in document.given}
        #: as `settings.Settings.key_files`
        self.key_files: list[KeyFile] = []
        self._read = read

    def find(self, path: Path, table: CredentialTable) -> tuple[str, Secret | None] | None:
        """The name of the variable, file or systemd credential, and what it holds (None: the variable is not set).

        The name is for messages: in place of one that looks like a key, and under which nothing is, stand other words.

        :returns: None where it is wrong; the fault is noted.
        """
        given: list[tuple[CredentialKind, str]] = []
        if table.env is not None:
            given.append(("env", table.env))
        if table.file is not None:
            given.append(("file", table.file))
        if table.systemd is not None:
            given.append(("systemd", table.systemd))
        if len(given) != 1:
            self.document.fault(path, "must have exactly one of `env`, `file` and `systemd`")
            return None
        kind, name = given[0]
        if kind == "env" and (problem := variable_problem(name)) is not None:
            self.document.fault(path, problem)
            return None
        found = self._read(kind, name)
        if found is None:
            name = shown(name)
        self.sources[".".join(path)] = f"{self.document.place(path)}, {_PLACES[kind]} {name}"
        if isinstance(found, str):
            self.document.fault(path, found)
            return None
        if kind != "env" and path[-1] in _KEYS:
            self.key_files.append(KeyFile(path, kind, name))
        return name, found

    def need(self, path: Path, table: CredentialTable) -> Secret | None:
        """The secret itself; None: it is wrong or not there, and the fault is noted."""
        found = self.find(path, table)
        if found is None:
            return None
        name, secret = found
        if secret is None:
            self.document.fault(path, f"names the variable {name}, which is not set")
        return secret

    def text(self, path: Path, given: str | CredentialTable) -> str | None:
        """A text that may hold a secret, and so may stand elsewhere; None: a fault was noted."""
        if isinstance(given, str):
            return given
        secret = self.need(path, given)
        return None if secret is None else secret.reveal().decode()
