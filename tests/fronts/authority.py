"""TLS as the tests have it: an authority and a certificate for the loopback address, made on the spot."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.fakes.certificates import make_authority, make_certificate


@dataclass(frozen=True)
class Authority:
    """Files in PEM form.

    Attributes:
        certificate: The authority's own, which clients must be told of.
        server: A server's certificate for 127.0.0.1, and ``key`` its key.
        both: The two in one file, as HAProxy wants them.
    """

    certificate: Path
    server: Path
    key: Path
    both: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A new one, with its files in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate = make_authority(folder)
        server, key = make_certificate(folder, "server", "IP:127.0.0.1,DNS:localhost")
        both = folder / "both.pem"
        both.write_text(server.read_text() + key.read_text())
        return cls(certificate, server, key, both)

    def context(self) -> ssl.SSLContext:
        """For a client that trusts nobody else."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def variables(self) -> dict[str, str]:
        """The environment that makes Python's clients and curl trust it."""
        return {"REQUESTS_CA_BUNDLE": str(self.certificate), "CURL_CA_BUNDLE": str(self.certificate)}
