"""A configuration as ``--set`` would make it, with nothing from this machine in it."""

from shim.config.load import Loaded, load
from shim.config.sources import Flags


def loaded(*settings: str) -> Loaded:
    """The defaults, but for these ``KEY=VALUE``."""
    return load(None, Flags(settings=settings), environment={})
