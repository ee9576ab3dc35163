"""The maps in the docstrings of large rooms: every module stands there, and nothing else does."""

import importlib
import pkgutil
import re

import pytest


@pytest.mark.parametrize("room", ["shim.server", "shim.upstream"])
def test_a_map_names_every_module_of_its_room(room):
    package = importlib.import_module(room)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    # Names with a dot are modules of other rooms.
    assert set(re.findall(r"``(\w+)``", package.__doc__)) == modules
