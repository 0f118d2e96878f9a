"""Certificates of listeners with TLS, which may change under them.

They are read when the listener opens.  Once in `LOOK_SECONDS`, when somebody connects, their files are looked at, and
read again if they changed, so that a renewed certificate needs no signal; if they cannot be read, the ones before stay,
and the log says so once for each change.  Connections keep what they began with.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import txaio
from cryptography import x509

from awfproxy.core.endpoints import TlsFiles
from awfproxy.server.unraisable import quiet_names

txaio.use_twisted()
log = txaio.make_logger()

#: seconds between two looks at the files
LOOK_SECONDS = 10.0

#: names, sizes and times of files: another one means that something was written
_Signature = tuple[tuple[str, int, int], ...]
#: what `cryptography` raises where OpenSSL was content
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


class CertificateError(Exception):
    """Files hold no certificate with its key; the text says which, and nothing of what is in them."""


class Certificates:
    """What one listener shows its clients.

    :raises CertificateError: the files do not belong together, or are of another kind
    :raises OSError: they cannot be read
    """

    def __init__(self, files: TlsFiles, monotonic: Callable[[], float]) -> None:
        self._files = files
        self._monotonic = monotonic
        self._looked = monotonic()
        self._signature = self._sign()
        self._context = self._read()
        #: the last trouble that the log has, and of which files
        self._told: tuple[_Signature | None, str] | None = None

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now."""
        now = self._monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._context

    def _look(self) -> None:
        files = self._files
        named = files.folder or files.certificate
        signature: _Signature | None = None
        try:
            signature = self._sign()
            if signature == self._signature:
                self._told = None
                return
            self._context = self._read()  # tried each time: what was missing may have been a descriptor
        except (OSError, CertificateError) as error:
            if self._told != (signature, str(error)):
                self._told = signature, str(error)
                log.error("{named}: {error}; the certificates before stay in use", named=named, error=error)
            return
        self._signature, self._told = signature, None
        log.info("{named}: read again, new connections get it", named=named)

    def _paths(self) -> list[str]:
        files = self._files
        if files.folder:
            return sorted(str(path) for path in Path(files.folder).glob("*.pem"))
        return [path for path in (files.key, files.certificate, files.chain, files.parameters) if path]

    def _sign(self) -> _Signature:
        return tuple((path, (seen := os.stat(path)).st_mtime_ns, seen.st_size) for path in self._paths())

    def _read(self) -> ssl.SSLContext:
        files = self._files
        if files.folder:
            return _of_folder(files.folder, self._paths())
        context = _context(files.certificate, files.key, files.chain)
        if files.parameters:
            context.load_dh_params(files.parameters)
        return context


def _context(certificate: str, key: str, chain: str = "") -> ssl.SSLContext:
    """A server's side: TLS 1.2 or newer, HTTP/1.1, no renegotiation (a client could have us compute without end)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if not chain:
        _load(context, certificate, key)
        return context
    with tempfile.NamedTemporaryFile(suffix=".pem") as together:  # certificates only: they are public
        together.write(Path(certificate).read_bytes() + b"\n" + Path(chain).read_bytes())
        together.flush()
        _load(context, together.name, key)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        # a key with a password is refused: nobody is there to type it
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise CertificateError(f"no certificate with its key: {key}: {error.reason}") from error


def _of_folder(folder: str, paths: Iterable[str]) -> ssl.SSLContext:
    """The first one's, which goes over to that of the name that a client asks for (RFC 6066 section 3).

    :raises CertificateError: there is none
    """
    by_name: dict[str, ssl.SSLContext] = {}
    first: ssl.SSLContext | None = None
    for path in paths:
        context = _context(path, path)
        first = first or context
        for name in _names(path):
            by_name.setdefault(name, context)
    if first is None:
        raise CertificateError(f"no `.pem` file is in {folder}")

    def switch(connection: ssl.SSLObject, name: str | None, before: ssl.SSLContext) -> None:
        wanted = (name or "").lower()
        found = by_name.get(wanted) or by_name.get("*." + wanted.partition(".")[2])
        if found is not None:
            connection.context = found

    quiet_names()
    first.sni_callback = switch
    return first


def _names(path: str) -> list[str]:
    """DNS names of the first certificate in a file, in lower case.

    :raises CertificateError: it is of a kind that only OpenSSL reads (``BEGIN TRUSTED CERTIFICATE``), or damaged
    """
    data = Path(path).read_bytes()
    try:
        certificate = x509.load_pem_x509_certificates(data)[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except _UNREADABLE as error:
        raise CertificateError(f"no certificate whose names can be read: {path}") from error
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
