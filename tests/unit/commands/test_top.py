"""The status page in a terminal, where what it asks for ends in a fault."""

import asyncio
import io

import pytest
from rich.console import Console
from rich.live import Live

from shim.commands.top import Top
from tests.fakes.loops import run_leaping


class Surprising:
    """A client whose shim tells what nobody can draw."""

    address = "http://127.0.0.1:9293"

    async def status(self):
        return {"uploads": []}


def test_a_fault_of_the_asking_ends_the_view():
    """Instead of a screen that stands still until somebody doubts it."""

    async def story():
        live = Live(console=Console(file=io.StringIO()), auto_refresh=False)
        with pytest.raises(KeyError):
            await Top(Surprising(), live).run(asyncio.Queue())

    run_leaping(story())
