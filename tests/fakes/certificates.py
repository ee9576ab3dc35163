"""A certificate authority made on the spot by the openssl command: nothing of it is ever stored."""

import subprocess
from pathlib import Path


def make_authority(folder: Path) -> Path:
    """A new authority; gives its certificate."""
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", "authority.key", "-out", "authority.pem", "-days", "2", "-subj", "/CN=Test authority"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
    )
    return folder / "authority.pem"


def make_certificate(folder: Path, name: str, alternatives: str) -> tuple[Path, Path]:
    """A server's certificate and key, signed by the folder's authority, for ``DNS:...,IP:...``."""
    (folder / "extensions").write_text(f"subjectAltName={alternatives}\n")
    _openssl(
        folder,
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem"),
    )
    return folder / f"{name}.pem", folder / f"{name}.key"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
