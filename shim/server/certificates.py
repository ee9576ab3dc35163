"""The server's certificate: loaded once, loaded anew when its files change, never replaced by a faulty one.

A connection keeps what it was made with, so that nothing is dropped when a certificate is renewed.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from shim.timing import Seconds

log = logging.getLogger("shim.server")

# How often the files are looked at; renewals are days ahead of what they replace.
WATCH_INTERVAL: Seconds = 5.0

# The last is a key of another kind: OpenSSL keeps certificates by kind, and finds none.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class CertificateFault(Exception):
    """Certificate, key or authority cannot be used; the text says which file, why, and what to do."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files (``server.tls.*``).

    Attributes:
        certificate: The server's, followed by those that signed it.
        key: Its private key, without a passphrase.
        client_ca: Who signs clients' certificates; set, every client must have one (mTLS).
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> list[Path]:
        """Those that are set."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """What connections are made with.

    Raises:
        CertificateFault: One of the files cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that asks for new keys over and over would have us do all the work (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Said aloud, so that nobody takes the lack of HTTP/2 for a fault of the network.
    context.set_alpn_protocols(["http/1.1"])
    for path in files.all:
        _check_readable(path)
    try:
        _load_pair(context, files)
        if files.client_ca is not None:
            _load_authority(context, files.client_ca)
    except OSError as error:
        # Gone since it was looked at, just now: a reload must survive that too.
        raise CertificateFault(
            f"the files of server.tls cannot be read: {error.strerror or error}"
        ) from error
    return context


def _check_readable(path: Path) -> None:
    # OpenSSL names neither the file nor the reason.
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise CertificateFault(f"{path}: cannot be read: {error.strerror}") from error


def _load_authority(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise CertificateFault(f"{path}: holds no certificate as PEM") from error
    context.verify_mode = ssl.CERT_REQUIRED


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    def refuse() -> str:
        # Without this OpenSSL would ask for the passphrase on the terminal, and wait.
        raise CertificateFault(
            f"{files.key}: has a passphrase, which nobody could type: store it without one"
        )

    try:
        context.load_cert_chain(files.certificate, files.key, password=refuse)
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise CertificateFault(f"{files.key}: is not the key of {files.certificate}") from error
        whose = files.key if _has_certificate(files.certificate) else files.certificate
        what = "private key" if whose is files.key else "certificate"
        raise CertificateFault(f"{whose}: holds no {what} as PEM ({error.reason or error})") from error


def _has_certificate(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError):
        return False
    return True


class ServerCertificate:
    """What new connections are made with; ``reload`` may change it at any moment."""

    def __init__(self, files: TlsFiles) -> None:
        """Load the files.

        Raises:
            CertificateFault: One of them cannot be used.
        """
        self._files = files
        self._loaded = self._seen = _stamp(files)
        self.context = make_context(files)

    def __repr__(self) -> str:
        return f"<ServerCertificate {self._files.certificate}>"

    def reload(self) -> bool:
        """Load the files anew; what is in force stays where they are faulty, and the log says why.

        Returns:
            Whether they were taken.
        """
        self._loaded = _stamp(self._files)
        try:
            self.context = make_context(self._files)
        except CertificateFault as fault:
            log.error("TLS: the old certificate stays in force, for the new one is faulty: %s", fault)  # noqa: TRY400 - the text says all there is to mend
            return False
        log.info("TLS: %s is loaded anew", self._files.certificate)
        return True

    def reload_if_changed(self) -> None:
        """Load the files where they have changed, once they have stayed the same since the last call.

        A tool that renews writes certificate and key one after the other: between them no pair fits.
        """
        before, self._seen = self._seen, _stamp(self._files)
        if self._seen == before and self._seen != self._loaded:
            self.reload()

    async def watch(self, interval: Seconds = WATCH_INTERVAL) -> None:
        """Look at the files for ever, away from the loop: they may lie on a network."""
        while True:
            await asyncio.sleep(interval)
            await asyncio.to_thread(self.reload_if_changed)


def _stamp(files: TlsFiles) -> _Stamp:
    """What changes when a file is written or replaced; None for one that is missing."""
    return tuple(_stamp_of(path) for path in files.all)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
