"""The shipped configurations as tests run them: only addresses, paths and certificates are exchanged.

Each exchange must find what it replaces, so that a test never runs something else than what is shipped.
"""

from collections.abc import Mapping
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy" / "glance"
"""Where the configurations for operators are."""


def read_shipped(name: str, exchanges: Mapping[str, str]) -> str:
    """The text of a shipped file with each key of ``exchanges`` replaced by its value.

    Raises:
        ValueError: A key does not occur: the file has changed, and the table must follow.
    """
    return exchange((DEPLOY / name).read_text(), exchanges, name)


def exchange(text: str, exchanges: Mapping[str, str], name: str) -> str:
    """``text`` with each key replaced by its value, none of them missing."""
    missing = [old for old in exchanges if old not in text]
    if missing:
        raise ValueError(f"{name} has nothing to replace like {missing}")
    for old, new in exchanges.items():
        text = text.replace(old, new)
    return text
