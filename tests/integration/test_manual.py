"""Every command of the manual, run as it stands there, with a real Glance behind."""

import itertools
from pathlib import Path

import pytest

from shim.demo.environment import Environment
from tests.hosting.kinds import Hostings
from tests.manual.blocks import Command, all_commands
from tests.manual.excused import excuse
from tests.manual.sandbox import Sandbox

pytestmark = pytest.mark.servers


def chosen() -> dict[str, list[Command]]:
    """The commands to run by page; what an earlier page had too is run once, where nothing rests on it."""
    run = [command for command in all_commands() if excuse(command) is None]
    return {page: list(group) for page, group in itertools.groupby(run, lambda command: command.page)}


@pytest.mark.parametrize("page", chosen())
def test_each_command_does_what_the_page_says(
    page: str, environment: Environment, hostings: Hostings, tmp_path: Path
):
    socket = Path(hostings["uwsgi-unix"].removeprefix("uwsgi+unix://"))
    sandbox = Sandbox(
        tmp_path / "home",
        socket,
        programs={"glance": environment.program("glance")},
        variables={"OS_AUTH_TOKEN": "manual"},
    )
    with sandbox:
        sandbox.follow(chosen()[page])
