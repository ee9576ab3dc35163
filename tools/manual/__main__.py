"""``python -m tools.manual [--check]``: writes the generated files anew, or tells which lag behind.

``make docs`` calls it before it builds the site.
"""

import argparse
import difflib
import sys
from pathlib import Path

from tools.manual.files import FILES

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Write or compare; 1 where ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m tools.manual", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    stale = [name for name, render in FILES.items() if not _bring_up(ROOT / name, render(), check=check)]
    if stale:
        print(f"behind the program: {', '.join(stale)}: run make docs", file=sys.stderr)
    return 1 if stale else 0


def _bring_up(file: Path, text: str, *, check: bool) -> bool:
    """Whether ``file`` holds ``text`` in the end; the difference is printed where it may not be written."""
    old = file.read_text("utf-8") if file.exists() else ""
    if old == text:
        return True
    if check:
        names = (str(file), "generated")
        sys.stderr.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), *names))
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    print(f"{file.relative_to(ROOT)} is written anew")
    return True


if __name__ == "__main__":
    sys.exit(main())
