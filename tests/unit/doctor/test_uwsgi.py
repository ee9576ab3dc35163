"""A uWSGI's options from command lines and ini files as people write them; and what cannot be seen."""

import json
import os
import socket

import pytest

from shim.doctor.uwsgi import listener_of, number, parse_statistics, read_setup
from tests.support.series import series

INI = """\
# a comment
[other]
harakiri = 1
[uwsgi]
harakiri = 3600
; buffer-size = 1
buffer-size=65535
die-on-term
socket-timeout = $(TIMEOUT)
"""


@pytest.fixture
def master(tmp_path):
    """A /proc in which pid 7 has this command line, in a directory with these files."""

    def start(*arguments, **files):
        process, here = tmp_path / "proc/7", tmp_path / "cwd"
        process.mkdir(parents=True)
        here.mkdir()
        (process / "cmdline").write_bytes(b"".join(f"{part}\0".encode() for part in arguments))
        (process / "cwd").symlink_to(here)
        for name, text in files.items():
            (here / f"{name}.ini").write_text(text)
        return read_setup(7, tmp_path / "proc")

    return start


@pytest.mark.parametrize(
    "arguments",
    [
        ["uwsgi", "--ini", "glance.ini"],
        ["/opt/glance/bin/uwsgi", "--ini=glance.ini"],
        ["uwsgi", "glance.ini"],
        ["/usr/bin/python3", "/opt/bin/pyuwsgi", "--master", "--ini", "glance.ini"],
        ["uwsgi", "--ini", "glance.ini:uwsgi"],
        ["uwsgi", "--ini", "outer.ini"],
    ],
)
def test_an_ini_file(master, arguments):
    setup = master(*arguments, glance=INI, outer="[uwsgi]\nini = glance.ini\n")
    assert number(setup.options, "harakiri") == 3600
    assert number(setup.options, "buffer-size") == 65535
    assert setup.options["die-on-term"] == "true"
    assert number(setup.options, "socket-timeout") is None, "only uWSGI knows what it is"


def test_the_command_line_alone_and_over_a_file(master):
    setup = master(
        "uwsgi", "-b", "32768", "-t", "60", "--socket-timeout=90", "--die-on-term", "--ini", "a.ini", a=INI
    )
    assert {name: setup.options[name] for name in ("buffer-size", "harakiri", "socket-timeout")} == {
        "buffer-size": "32768",
        "harakiri": "60",
        "socket-timeout": "90",
    }
    assert setup.options["die-on-term"] == "true"


LINES = [
    (["--master", "a.ini"], {"master": "true", "of-the-file": "true"}),
    (["a.ini", "--master"], {"master": "true", "of-the-file": "true"}),
    (["--enable-threads", "-b", "65535"], {"enable-threads": "true", "buffer-size": "65535"}),
    (["-b", "-t", "60"], {"buffer-size": "true", "harakiri": "60"}),
    (["--master", "--die-on-term"], {"master": "true", "die-on-term": "true"}),
    (["--threads", "4", "a.ini"], {"threads": "4", "of-the-file": "true"}),
    (["--ini", "a.ini", "--master"], {"of-the-file": "true", "master": "true"}),
    (["--touch-reload", "a.ini", "--threads", "4"], {"touch-reload": "a.ini", "threads": "4"}),
    (["--touch-reload", "a.ini", "a.ini"], {"touch-reload": "a.ini", "of-the-file": "true"}),
    (["--threads=4", "a.ini", "-p", "2"], {"threads": "4", "of-the-file": "true", "processes": "2"}),
    (["--socket", "127.0.0.1:80", "--master"], {"socket": "127.0.0.1:80", "master": "true"}),
]


@pytest.mark.parametrize(("arguments", "options"), LINES, ids=[" ".join(line[0]) for line in LINES])
def test_command_lines(master, arguments, options):
    assert master("uwsgi", *arguments, a="[uwsgi]\nof-the-file\n").options == options


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nginx", "-c", "/etc/nginx.conf"], "process 7 on this machine is not uWSGI"),
        (["uwsgi", "--ini", "missing.ini"], "missing.ini cannot be read by this user: No such file"),
        (
            ["uwsgi", "--ini", "loop.ini"],
            "loop.ini cannot be read by this user: its files include each other",
        ),
        (["uwsgi"], "names no ini file"),
        (["uwsgi", "--master", "a.yaml"], "names a file that is no ini file"),
        (["uwsgi", "--yaml", "a.yml", "--master"], "names a file that is no ini file"),
        (["uwsgi", "-p", "4", "--json=a"], "names a file that is no ini file"),
        ([], "is not uWSGI"),
    ],
)
def test_what_is_not_visible_says_why(master, arguments, why):
    setup = master(*arguments, loop="[uwsgi]\nini = loop.ini\n")
    assert not setup.options
    assert why in setup.why


def test_a_pipe_is_not_waited_for(tmp_path, master):
    os.mkfifo(tmp_path / "pipe.ini")
    assert "it is no regular file" in master("uwsgi", "--ini", str(tmp_path / "pipe.ini")).why


def test_a_process_that_is_not_there(tmp_path):
    assert "no process of this machine" in read_setup(7, tmp_path).why


@series(
    ("value", "found"),
    [("3600", 3600), ("", None), ("%(x)", None), ("many", None), ("5 ; x", 5), ("'", None)],
)
def test_numbers(value, found):
    assert number({"harakiri": value}, "harakiri") == found


def test_the_kernel_says_who_listens(tmp_path):
    path = str(tmp_path / "x.sock")
    assert listener_of(path) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert listener_of(path) == os.getpid()


def test_statistics():
    told = {"pid": 7, "listen_queue": 3, "workers": [{"harakiri_count": 1}, {"harakiri_count": 2}, {}]}
    found = parse_statistics(json.dumps(told).encode())
    assert (found.master, found.killed, found.waiting) == (7, 3, 3)


@series("text", [b"", b"[]", b"{}", b'{"workers": [1], "pid": 1}', b'{"workers": []}', b"[" * 10**5])
def test_what_is_no_statistics(text):
    assert parse_statistics(text) is None
