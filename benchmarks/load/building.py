"""Building the C programs into ``.lab``, once for each version of their source.

Compiler and headers are Debian packages that ``make bench`` installs; without them nothing can be measured.
"""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine import NotMeasured

SOURCES = Path(__file__).parent
BUILT = Path(__file__).parents[2] / ".lab" / "bench"
_TLS = ("-DWITH_TLS", "-lssl", "-lcrypto")


@dataclass(frozen=True, slots=True)
class Programs:
    """The built programs.

    Attributes:
        speaks_tls: Whether the client can.
    """

    load: Path
    sink: Path
    limit: Path
    speaks_tls: bool


def build() -> Programs:
    """All three, built where they are not.

    Raises:
        NotMeasured: There is no compiler, or it failed.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotMeasured("no C compiler for the load generator (Debian: apt-get install gcc libc6-dev)")
    with_tls = _has_openssl(compiler)
    load = _build(compiler, "load", _TLS if with_tls else ())
    return Programs(load, _build(compiler, "sink"), _build(compiler, "limit"), with_tls)


def _has_openssl(compiler: str) -> bool:
    """Whether OpenSSL's headers are there (Debian: libssl-dev)."""
    asked = [compiler, "-E", "-x", "c", "-", "-o", "/dev/null"]
    source = b"#include <openssl/ssl.h>\n"
    return not subprocess.run(asked, input=source, capture_output=True, check=False).returncode


def _build(compiler: str, name: str, more: tuple[str, ...] = ()) -> Path:
    source = SOURCES / f"{name}.c"
    # Named for what it was made of: a changed source, or TLS that came later, is a program of its own.
    mark = hashlib.sha256(source.read_bytes() + " ".join(more).encode()).hexdigest()[:12]
    program = BUILT / f"{name}-{mark}"
    if program.exists():
        return program
    BUILT.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(".new")
    options = [word for word in more if word.startswith("-D")]
    libraries = [word for word in more if word.startswith("-l")]
    command: list[str | Path] = [compiler, "-O2", "-pthread", *options, "-o", unfinished, source, *libraries]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise NotMeasured(f"{source.name} could not be compiled: {made.stderr.strip()[-500:]}")
    unfinished.replace(program)
    return program
