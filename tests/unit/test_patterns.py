"""Patterns that every Python of ours matches alike."""

import importlib
import pkgutil
import re

import shim

# A possessive group: Python before 3.11.5, Debian 12's among them, matches it wrongly (gh-106052). An atomic group
# does the same, and right: (?>…).
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)[*+?]\+")


def patterns():
    """All that are compiled when a module is imported, by where they stand."""
    for module in pkgutil.walk_packages(shim.__path__, "shim."):
        if module.name.rpartition(".")[2] == "__main__":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                text = value.pattern
                yield f"{module.name}.{name}", text.decode("latin-1") if isinstance(text, bytes) else text


def test_no_pattern_has_a_possessive_group():
    found = dict(patterns())
    assert len(found) > 20
    assert [place for place, text in found.items() if POSSESSIVE_GROUP.search(text)] == []
