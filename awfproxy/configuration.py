"""The settings of this machine: the one place that reads configuration files, key files and the environment.

Everything that decides is pure and in `awfproxy.core`; here are only the reads, and the words for those that fail.
"""

import os
import stat
from collections.abc import Mapping

import msgspec

from awfproxy.core.credentials import CredentialKind, shown
from awfproxy.core.endpoints import Endpoint, parse_endpoint
from awfproxy.core.environment import Environment
from awfproxy.core.secret import SECRET_MAX, Secret, SecretError
from awfproxy.core.settings import ADMIN, Settings, SettingsError
from awfproxy.core.settings_environment import from_environment
from awfproxy.core.settings_file import from_file
from awfproxy.core.toml_document import Document

#: Bytes of the largest configuration file read.  A thousand ports fit; a log file given by mistake does not.
CONFIGURATION_MAX = 1024 * 1024
#: Bytes in which a file of certificates must begin its first; bundles open with comments of some KB at the most.
TRUST_MAX = 1024 * 1024


def load(config_path: str | None, environ: Mapping[str, str]) -> Settings:
    """The settings, from the file and the environment or from the environment alone.

    :param config_path: the configuration file; None: the one that AWFPROXY_CONFIG names, and if it names none, there
        is no file.
    :raises SettingsError: with every fault found, also for a file that cannot be read.
    """
    return Configuration(config_path, environ).read()


#: Of a file: which it is and when it was changed last.  Another one says that there may be something else in it.
Identity = tuple[int, int, int, int, int]


class Configuration:
    """Where the settings of a process are from, so that they can be read again while it runs; for any thread.

    Relative names stay relative to the folder in which the process was when this was made: a daemon goes elsewhere.

    :param config_path: as `load` has it.
    """

    def __init__(self, config_path: str | None, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._directory = os.getcwd()
        #: As people know it, for messages.
        self._name = config_path or environ.get("AWFPROXY_CONFIG", "").strip() or None
        self._path = None if self._name is None else os.path.abspath(self._name)

    def read(self) -> Settings:
        """All of it, as it is now.

        :raises SettingsError: as `load` does.
        """
        credentials = self._credentials()
        if self._name is None or self._path is None:
            settings = from_environment(self._environ, self._directory, credentials.read)
        else:
            settings = from_file(
                _text_of(self._path, self._name), self._name, self._environ, directory=self._directory,
                file_directory=os.path.dirname(self._path), read=credentials.read,
            )  # fmt: skip
        _check_trust(settings, self._environ)
        _check_prices(settings)
        return _with_warnings(settings, credentials.warnings)

    def key(self, kind: CredentialKind, name: str) -> Secret | str | None:
        """One key, as it is now: a `credentials.ReadCredential`."""
        return self._credentials().read(kind, name)

    def identity(self, kind: CredentialKind, name: str) -> Identity | None:
        """The identity of the file that holds a key; None: there is none, or it cannot be seen."""
        path = self._credentials().path(kind, name)
        try:
            facts = None if path is None else os.stat(path)
        except OSError:
            return None
        return facts and (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)

    def _credentials(self) -> "Credentials":
        return Credentials(self._environ, self._directory if self._path is None else os.path.dirname(self._path))


class Credentials:
    """Reads credentials from where the settings say they are.

    :param directory: what relative names of key files are relative to; absolute.
    """

    def __init__(self, environ: Mapping[str, str], directory: str) -> None:
        self._environ = environ
        self._directory = directory
        #: systemd's folder; empty: there is none
        self._systemd = environ.get("CREDENTIALS_DIRECTORY", "").strip()
        #: whole sentences, about key files that others may read
        self.warnings: list[str] = []

    def read(self, kind: CredentialKind, name: str) -> Secret | str | None:
        """A `credentials.ReadCredential`."""
        if kind == "env":
            value = self._environ.get(name, "")
            return _secret(value) if value.strip() else None
        path = self.path(kind, name)
        if path is not None:
            return self._from_file(path, name)
        if not self._systemd:
            given = shown(name, "`")
            return f"names the systemd credential {given}, but systemd gave none (is LoadCredential= in the unit?)"
        return f"names the systemd credential `{name}`, which is no file name"

    def path(self, kind: CredentialKind, name: str) -> str | None:
        """The file that holds a credential; None: there can be none."""
        if kind == "file":
            return os.path.join(self._directory, os.path.expanduser(name))
        if kind == "env" or not self._systemd or "/" in name or name in (".", ".."):
            return None
        return os.path.join(self._systemd, name)

    def _from_file(self, path: str, name: str) -> Secret | str:
        try:
            raw, mode = _read_file(path, SECRET_MAX + 2)  # two more: a line end does not count
        except OSError as error:
            return f"names the file {shown(name, '`')}, which cannot be read: {_why(error)}"
        if mode & stat.S_IROTH:
            self.warnings.append(f"{name}: everyone on this machine can read this key file; chmod it to 0600 or 0640.")
        return _secret(raw)


def _secret(value: bytes | str) -> Secret | str:
    try:
        return Secret(value)
    except SecretError as error:
        # The words alone: the exception's traceback has the value among its locals.
        return f"is not usable: {error}"


def _check_trust(settings: Settings, environ: Mapping[str, str]) -> None:
    """Is SSL_CERT_FILE of use?  OpenSSL passes over a file that it cannot read, and then trusts nobody."""
    path = environ.get("SSL_CERT_FILE")
    if not path or all(port.upstream.scheme != "https" for port in settings.ports):
        return
    try:
        with open(path, "rb") as file:
            found = b"-----BEGIN " in file.read(TRUST_MAX)
    except OSError as error:
        raise SettingsError([f"SSL_CERT_FILE: {path} cannot be read: {_why(error)}."]) from None
    if not found:
        raise SettingsError([f"SSL_CERT_FILE: {path} has no certificate in it; it must be PEM."])


def _check_prices(settings: Settings) -> None:
    """Is the file of the user's prices right?  A wrong one must be told before a budget goes by it."""
    path = settings.service.prices
    if path is None:
        return
    from awfproxy.prices.override_file import PriceFileError, read_overrides

    try:
        read_overrides(path)
    except PriceFileError as error:
        # Of the file as a whole, which may be another than was meant: who names it.
        where = f"{settings.sources['service.prices']}: `service.prices`: "
        lines = [f"{where if line.startswith(f'{path}: ') else ''}{line}" for line in error.faults]
        raise SettingsError(lines) from None


def _text_of(path: str, name: str | None = None) -> str:
    """A configuration file's text.

    :param name: the file's name as people know it, for messages; None: its path.
    """
    name = name or path
    try:
        return _read_file(path, CONFIGURATION_MAX)[0].decode()
    except OSError as error:
        raise SettingsError([f"{name}: cannot be read: {_why(error)}."]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{name}: is not UTF-8 (at byte {error.start}), which TOML must be."]) from None


def _document(path: str) -> Document:
    """A configuration file of which a part is wanted, whatever is wrong elsewhere in it.

    :raises SettingsError: it cannot be read, or is no TOML
    """
    document = Document(_text_of(path), path)
    if not document.readable:
        raise SettingsError(document.lines())
    return document


def _read_file(path: str, most: int) -> tuple[bytes, int]:
    """The bytes of a file, and its mode.

    :raises OSError: also for one of more than `most` bytes, and for anything that is not a file: opening a pipe
        without a writer would hang the start.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file")
    with open(descriptor, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"it is larger than {most} bytes")
    return data, mode


def _why(error: OSError) -> str:
    text = error.strerror or "the system does not say why"
    return text[:1].lower() + text[1:]


def _with_warnings(settings: Settings, warnings: list[str]) -> Settings:
    return msgspec.structs.replace(settings, warnings=(*settings.warnings, *warnings))


def log_dir(environ: Mapping[str, str], config_path: str | None = None) -> str:
    """The folder in which the proxy of this file and environment keeps its logs, found without its keys; absolute.

    :param config_path: as `load` has it
    :raises SettingsError: where nothing says which, or the file cannot be read.
    """
    directory = os.getcwd()
    environment = Environment(environ, directory)
    path = config_path or environment.get("AWFPROXY_CONFIG")
    if path is not None:
        given = _document(path).service.log_dir
        if given is not None:
            return environment.absolute(given, os.path.dirname(os.path.abspath(path)))
    found = environment.log_dir(awf=path is None)
    if found is None:
        raise SettingsError(["There is no folder of logs; set AWF_TOKEN_LOG_DIR (or HOME), or name the files to read."])
    return found[0]


def prices_file(environ: Mapping[str, str], config_path: str | None = None) -> str | None:
    """The file of the user's own prices, absolute; None: there is none.

    :param config_path: as `load` has it
    :raises SettingsError: the file cannot be read
    """
    environment = Environment(environ, os.getcwd())
    path = config_path or environment.get("AWFPROXY_CONFIG")
    if found := environment.prices():
        return found[0]
    given = None if path is None else _document(path).service.prices
    if given is None or path is None:
        return None
    return environment.absolute(given, os.path.dirname(os.path.abspath(path)))


def state_dir(config_path: str | None, environ: Mapping[str, str]) -> str:
    """The folder in which the proxy of this file and environment keeps its state, found without its keys; absolute.

    :param config_path: as `load` has it
    :raises SettingsError: where nothing says which, or the file cannot be read
    """
    directory = os.getcwd()
    environment = Environment(environ, directory)
    path = config_path or environment.get("AWFPROXY_CONFIG")
    if path is not None:
        given = _document(path).service.state_dir
        if given is not None:
            return environment.absolute(given, os.path.dirname(os.path.abspath(path)))
    found = environment.state_dir()
    if found is None:
        raise SettingsError(["There is no folder of state; set AWFPROXY_STATE_DIR (or HOME), or name the file."])
    return found[0]


def admin(config_path: str | None, environ: Mapping[str, str]) -> Endpoint:
    """Where the proxy of this file and environment has its admin listener, found without its keys.

    :param config_path: as `load` has it
    :raises SettingsError: what is said of it cannot be read or is wrong
    """
    environment = Environment(environ, os.getcwd())
    path = config_path or environment.get("AWFPROXY_CONFIG")
    given = None if path is None else _document(path).service.admin
    found = parse_endpoint(environment.admin or given or ADMIN)
    if isinstance(found, str):
        raise SettingsError([f"The admin listener {found}."])
    return found
