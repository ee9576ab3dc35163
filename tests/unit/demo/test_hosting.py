"""Command lines and URLs of the servers; no server is started."""

import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import KINDS, Application, choose_url, server_command, start_server

SCHEMES = {
    "uwsgi-unix": "uwsgi+unix:///",
    "uwsgi-tcp": "uwsgi://127.0.0.1:",
    "uwsgi-http-socket": "http://127.0.0.1:",
    "gunicorn": "http://127.0.0.1:",
}


@pytest.fixture
def application(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("python", "uwsgi", "gunicorn"):
        (tmp_path / "bin" / name).touch()
    return Application(Environment(tmp_path), tmp_path, "server-1", "package.module:application", {})


def command(application, urls, **options):
    return [str(word) for word in server_command(application, urls, **{"workers": 2, "threads": 1} | options)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_upstream_url(application, kind):
    assert choose_url(kind, application).startswith(SCHEMES[kind])


def test_several_sockets_are_one_uwsgi(application):
    words = command(
        application, {"uwsgi-unix": "uwsgi+unix:///run/a.sock", "uwsgi-http-socket": "http://127.0.0.1:80"}
    )
    assert words[0].endswith("bin/uwsgi")
    assert words[-4:] == ["--socket", "/run/a.sock", "--http-socket", "127.0.0.1:80"]


@pytest.mark.parametrize(
    "option",
    [
        "--master",
        "--enable-threads",
        "--lazy-apps",
        "--die-on-term",
        "--need-app",
        "--thunder-lock",
        "--no-orphans",
    ],
)
def test_uwsgi_is_set_up_as_an_operator_should(application, option):
    words = command(application, {"uwsgi-tcp": "uwsgi://127.0.0.1:80"})
    assert option in words
    assert words[words.index("--buffer-size") + 1] == "65535"
    assert "--threads" not in words


def test_uwsgi_with_threads(application):
    words = command(application, {"uwsgi-tcp": "uwsgi://127.0.0.1:80"}, threads=4, workers=3)
    assert words[words.index("--threads") + 1] == "4"
    assert words[words.index("--processes") + 1] == "3"


@pytest.mark.parametrize(("threads", "worker_class"), [(1, "sync"), (4, "gthread")])
def test_gunicorn_by_threads(application, threads, worker_class):
    words = command(application, {"gunicorn": "http://127.0.0.1:80"}, threads=threads)
    assert words[words.index("--worker-class") + 1] == worker_class
    assert words[words.index("--bind") + 1] == "127.0.0.1:80"
    assert words[-1] == "package.module:application"


@pytest.mark.parametrize("kinds", [(), ("gunicorn", "uwsgi-tcp")])
def test_sockets_of_different_servers_are_refused(application, kinds):
    with pytest.raises(ValueError, match="not sockets of one server"):
        start_server(application, kinds, workers=1, threads=1, arguments=())
