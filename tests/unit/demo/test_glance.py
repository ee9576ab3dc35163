"""A Glance's empty database: made once for each installation, then copied."""

import pytest

from shim.demo import DemoError
from shim.demo.environment import Environment
from shim.demo.glance import Glance

# glance-manage --config-file FILE db sync
MANAGE = """#!/bin/sh
echo made >>"{log}"
{last}
echo empty >"${{2%/etc/*}}/glance.sqlite"
"""


@pytest.fixture
def environment(tmp_path):
    """Programs of an installation; ``log`` in it says how often a database was made."""
    made = tmp_path / "venv"
    (made / "bin").mkdir(parents=True)
    (made / "bin/python").touch()
    _write(made)
    return Environment(made)


def _write(made, last=""):
    program = made / "bin/glance-manage"
    program.write_text(MANAGE.format(log=made / "log", last=last))
    program.chmod(0o755)


def _times(environment):
    return (environment.directory / "log").read_text().count("made")


def test_it_is_made_once(environment, tmp_path):
    for name in ("first", "second", "third"):
        Glance.make(tmp_path / name, environment=environment)
        assert (tmp_path / name / "glance.sqlite").read_text() == "empty\n"
    assert _times(environment) == 1


def test_what_one_glance_does_with_it_no_other_sees(environment, tmp_path):
    Glance.make(tmp_path / "first", environment=environment)
    (tmp_path / "first/glance.sqlite").write_text("images")
    Glance.make(tmp_path / "second", environment=environment)
    assert (tmp_path / "second/glance.sqlite").read_text() == "empty\n"


def test_a_failure_is_not_kept(environment, tmp_path):
    _write(environment.directory, last="exit 1")
    with pytest.raises(DemoError, match="db sync failed"):
        Glance.make(tmp_path / "first", environment=environment)
    _write(environment.directory)
    Glance.make(tmp_path / "second", environment=environment)
    assert (tmp_path / "second/glance.sqlite").read_text() == "empty\n"


def test_a_database_of_ones_own_is_made_each_time(environment, tmp_path):
    for name in ("first", "second"):
        connection = f"sqlite:///{tmp_path / name}/glance.sqlite"
        Glance.make(
            tmp_path / name, environment=environment, settings={"database": {"connection": connection}}
        )
    assert _times(environment) == 2
