"""A certificate for the loopback address, made by the openssl command for one run and thrown away with it.

Nobody checks it: what is measured is encryption, and that is the same for every certificate of its kind.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path

    def values(self) -> dict[str, Path]:
        """For templates."""
        return {"certificate": self.certificate, "key": self.key}


def make_certificate(folder: Path) -> Certificate | None:
    """A new one on the curve P-256, the same for all; None where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    made = Certificate(folder / "server.pem", folder / "server.key")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    files = ("-keyout", made.key, "-out", made.certificate)
    subprocess.run([openssl, "req", "-x509", *kind, *name, *files], check=True, capture_output=True)
    return made
