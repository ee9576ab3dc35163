"""The command line by which the shim is started."""

import sys

from shim.demo.front import shim_command


def test_the_shim_is_started_by_its_own_command():
    command = shim_command(
        9292, "uwsgi+unix:///a.sock", ("admin.listen=127.0.0.1:9293", "spool.directory=/spool")
    )
    assert command[:4] == [sys.executable, "-m", "shim", "serve"]
    assert command[4:8] == ["--listen", "127.0.0.1:9292", "--upstream", "uwsgi+unix:///a.sock"]
    assert command[8:] == ["--set", "admin.listen=127.0.0.1:9293", "--set", "spool.directory=/spool"]
