"""Hand-off to a real uWSGI: its worker opens the spool file, as our user or another, or is sent the body."""

import contextlib
import hashlib
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.integration.running import check_settings, run_shim, serve_echo
from tests.integration.test_uwsgi_application import Chain
from tests.support.client import chunked, put_chunked

pytestmark = pytest.mark.servers

MIB = 1 << 20
BODY = random.Random(15).randbytes(3 * MIB)
OTHER_USER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a server as another user")


@contextlib.contextmanager
def handing(environment, folder: Path, kind="uwsgi-unix", arguments=(), spool_group=None):
    """A chain that hands off, and its spool; the server takes arguments of uWSGI's."""
    spool = folder / "spool"
    spool.mkdir(mode=0o750)
    if spool_group is not None:
        os.chown(spool, -1, spool_group)
    with (
        serve_echo(environment, folder, kind, arguments=arguments) as server,
        run_shim(
            folder / "shim", server.url, service="none", body="handoff", spool__directory=str(spool)
        ) as shim,
    ):
        yield Chain(kind, server, shim), spool


def upload(chain: Chain, body: bytes = BODY) -> str:
    """What the worker was told to open; the body came whole, whatever way."""
    told = chain.echoed(put_chunked("/echo", chunked(body, MIB)))
    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    return told["variables"].get("UWSGI_POSTFILE", "")


def test_a_worker_of_the_same_user(environment, tmp_path):
    with handing(environment, tmp_path) as (chain, spool):
        for _ in range(3):
            assert upload(chain).startswith("/proc/")
        assert upload(chain, b"foobar") == "", "in memory there is no file"
        assert list(spool.iterdir()) == []
        assert not chain.shim.complaints(0)


@pytest.fixture
def open_folder(tmp_path_factory):
    """A directory that another user can enter."""
    folder = tmp_path_factory.mktemp("open")
    for place in (folder, *list(folder.parents)[:-2]):
        place.chmod(place.stat().st_mode | 0o011)
    yield folder
    shutil.rmtree(folder)


@needs_root
@pytest.mark.parametrize("group", [OTHER_USER, 0], ids=["in the spool's group", "a stranger"])
def test_a_worker_of_another_user(environment, open_folder, group):
    arguments = ["--uid", str(OTHER_USER), "--gid", str(OTHER_USER)]
    with handing(environment, open_folder, "uwsgi-tcp", arguments, spool_group=group) as (chain, spool):
        status, output = check_settings(
            open_folder, chain.server.url, 'body="handoff"', f"spool.directory={spool}"
        )
        paths = [upload(chain) for _ in range(3)]
        assert list(spool.iterdir()) == []
    assert status == 0
    if group:
        assert all(path.startswith(f"{spool}/handoff-") for path in paths)
        assert "opens spool files itself" in output
    else:
        assert paths[1:] == ["", ""], "sent, once it was seen that nothing was opened"
        assert "opens no spool files" in output


def test_a_server_that_speaks_http_is_sent_bodies(environment, tmp_path):
    with handing(environment, tmp_path, "gunicorn") as (chain, _):
        assert upload(chain) == ""
        status, output = check_settings(tmp_path, chain.server.url, 'body="handoff"')
    assert (status, "needs the uwsgi protocol" in output) == (0, True)
