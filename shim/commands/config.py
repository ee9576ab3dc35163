"""``glance-shim config``: what is in force and where from, all defaults with their reasons, or the schema."""

import enum
from collections.abc import Sequence
from pathlib import Path

from shim.commands import ENDED_AS_ASKED, WRONG_USAGE, load_or_report
from shim.config import describe


class View(enum.Enum):
    """What is printed."""

    EFFECTIVE = "effective"
    DEFAULTS = "defaults"
    SCHEMA = "schema"


def run(config: Path | None, upstream: str | None, settings: Sequence[str], view: View) -> int:
    """Print one view of the configuration to standard output; the exit status.

    Only the effective values read the file, the environment and the flags; the others are of the program.
    """
    if view is View.DEFAULTS:
        print(describe.defaults(), end="")
        return ENDED_AS_ASKED
    if view is View.SCHEMA:
        print(describe.schema(), end="")
        return ENDED_AS_ASKED
    loaded = load_or_report(config, upstream=upstream, settings=settings)
    if loaded is None:
        return WRONG_USAGE
    print(describe.effective(loaded), end="")
    return ENDED_AS_ASKED
