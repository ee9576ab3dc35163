"""Small C libraries that stand between a program and the kernel (LD_PRELOAD), built for a test."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def compiler() -> str | None:
    """A C compiler (Debian: gcc, libc6-dev), None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


def build(name: str, folder: Path) -> Path:
    """The library of ``name.c`` beside this module, in ``folder``; there must be a compiler."""
    program = compiler()
    assert program is not None
    library = folder / f"{name}.so"
    command = [program, "-O2", "-Wall", "-shared", "-fPIC", "-o", library, HERE / f"{name}.c", "-ldl"]
    subprocess.run(command, check=True)
    return library
