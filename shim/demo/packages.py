"""Putting packages into a virtual environment: by uv, which takes seconds, else by pip, in a minute.

pip's configuration says where packages come from, and uv does not read it: here uv is told. What it cannot
do all the same, pip is asked to. ``python -m shim.demo.packages PYTHON ARGUMENT…`` runs before anything is
installed, so nothing here needs a package.
"""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shim.timing import Seconds

# Options, extras and indexes are used here as this release understands them (pyproject.toml has it too).
UV = "uv>=0.9,<1"
_FETCH_LIMIT: Seconds = 300.0
_ANSWER_LIMIT: Seconds = 60.0

_PIP_OPTIONS = (
    "--disable-pip-version-check",
    "--no-input",
    "--no-user",
    "--progress-bar",
    "off",
    "--retries",
    "3",
)
# pip looks for the best version in all indexes, not in the first that knows the name.
_UV_OPTIONS = ("--no-progress", "--index-strategy", "unsafe-best-match")

# An option in pip's configuration -> the variable that tells uv the same, and what stands between its values.
_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", None),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", None),
    "default-timeout": ("UV_HTTP_TIMEOUT", None),
    "proxy": ("ALL_PROXY", None),
    "cert": ("SSL_CERT_FILE", None),
    "client-cert": ("SSL_CLIENT_CERT", None),
}


@dataclass(frozen=True, slots=True)
class Installer:
    """A program that installs packages.

    Attributes:
        name: As its user knows it.
        command: Its first words; options and packages follow.
        variables: Its whole environment.
    """

    name: str
    command: tuple[str | Path, ...]
    variables: Mapping[str, str]


def installers(python: Path, scratch: Path, *, compiled: bool = False) -> Iterator[Installer]:
    """The programs to try for the environment of an interpreter, the fastest first; never none.

    Args:
        python: Of the environment, in which pip is installed.
        scratch: A directory for what they need on the way; its owner removes it.
        compiled: Whether all modules are compiled at once, for those who run them later may not write there.
    """
    variables = os.environ | {"TMPDIR": str(scratch)}
    if uv := _find_uv(python, scratch):
        options = (*_UV_OPTIONS, "--compile-bytecode") if compiled else _UV_OPTIONS
        told = uv_variables(_pip_configuration(python)) | variables
        yield Installer("uv", (uv, "pip", "install", "--python", python, *options), told)
    yield Installer("pip", (python, "-m", "pip", "install", *_PIP_OPTIONS), variables)


def parse_configuration(text: str) -> dict[str, str]:
    """``pip config list`` by option: variables come before ``[install]``, that before ``[global]``."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if separator and section in found:
            found[section][option] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_variables(configuration: Mapping[str, str]) -> dict[str, str]:
    """Variables that tell uv what pip's configuration says of indexes, and of the way to them."""
    told = {}
    for option, (variable, separator) in _VARIABLES.items():
        if values := configuration.get(option, "").split():
            told[variable] = values[-1] if separator is None else separator.join(values)
    return told


def _find_uv(python: Path, scratch: Path) -> Path | None:
    """Ours, or one for this once; None where none can be had."""
    ours = Path(sys.prefix) / "bin" / "uv"
    if ours.exists():
        return ours
    target = scratch / "uv"
    command = (python, "-m", "pip", "install", "--quiet", *_PIP_OPTIONS, "--target", target, UV)
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_FETCH_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return target / "bin" / "uv" if ended.returncode == 0 else None


def _pip_configuration(python: Path) -> dict[str, str]:
    command = (python, "-m", "pip", "config", "list")
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_configuration(ended.stdout)


def main(python: Path, *arguments: str) -> int:
    """Install ``arguments`` into the environment of an interpreter; the exit status."""
    with tempfile.TemporaryDirectory(prefix="packages-") as scratch:
        for installer in installers(python, Path(scratch)):
            command = (*installer.command, "--quiet", *arguments)
            if subprocess.run(command, env=installer.variables, check=False).returncode == 0:
                return 0
            print(f"{installer.name} could not install {' '.join(arguments)}, see above", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
