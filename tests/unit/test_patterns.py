"""Patterns that every Python of ours matches alike."""

import importlib
import pkgutil
import re

import shim

ONE_OCTET = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


def patterns():
    """All that are compiled when a module is imported, by where they stand."""
    for module in pkgutil.walk_packages(shim.__path__, "shim."):
        if module.name.rpartition(".")[2] == "__main__":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name}.{name}", value


def has_possessive_group(parsed):
    """Whether more than a single octet is repeated possessively, here or further in."""
    if isinstance(parsed, re._parser.SubPattern | list | tuple):
        if len(parsed) == 2 and str(parsed[0]) == "POSSESSIVE_REPEAT":
            repeated = parsed[1][2]
            if len(repeated) != 1 or str(repeated[0][0]) not in ONE_OCTET:
                return True
        return any(map(has_possessive_group, parsed))
    return False


def test_no_pattern_has_a_possessive_group():
    """Python before 3.11.5, Debian 12's too, matches it wrongly (gh-106052); (?>…) does the same, rightly."""
    assert has_possessive_group(re._parser.parse("a(?:b|cd)*+"))
    assert not has_possessive_group(re._parser.parse("a(?>(?:b|cd)*)[^/]*+[)*+]"))
    found = dict(patterns())
    assert len(found) > 20
    parsed = {place: re._parser.parse(value.pattern, value.flags) for place, value in found.items()}
    assert [place for place, tree in parsed.items() if has_possessive_group(tree)] == []
