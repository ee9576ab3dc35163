"""How the uWSGI behind is set up, as far as it can be seen: its stats server, its command line, its ini file.

The stats server says nothing of limits. A master on this machine is found by its pid, which the stats server
tells, or the kernel for a unix socket; /proc has its command line, and that names the ini file.
"""

import json
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.local_peer import read_local_peer

_PROCESSES = Path("/proc")
# Of a settings file more is none.
_LONGEST_FILE = 1024 * 1024
_INCLUDES = 8
# Seconds for connecting to a socket on this machine.
_PATIENCE = 1.0
_SHORT = {"-b": "buffer-size", "-t": "harakiri", "-z": "socket-timeout", "-p": "processes", "-l": "listen"}
# By these endings uWSGI knows a settings file that stands without an option; only the first kind is read.
_FILE_KINDS = (".ini", ".yaml", ".yml", ".json", ".xml")
_OTHER_KINDS = frozenset({"yaml", "yml", "json", "xml"})
# Options whose value may well end like one, beside those of its kinds and touch-reload with its like.
_TAKE_FILES = frozenset({"ini", "config", "include", "inherit", "ini-paste", "ini-paste-logged", "paste"})
# What uWSGI fills in itself, and only it knows with what.
_PLACEHOLDERS = ("$(", "%(", "@(")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What matters of uWSGI's statistics.

    Attributes:
        master: The pid of its master, in uWSGI's own namespace.
        killed: Workers that harakiri has killed since the start.
        waiting: Connections in the listen queue.
    """

    master: int
    killed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Setup:
    """What was found out about its options; without any of them ``why`` says what stands in the way."""

    options: Mapping[str, str]
    place: str = ""
    why: str = ""


def parse_statistics(text: bytes) -> Statistics | None:
    """The statistics in what a stats server said; None where it is not uWSGI's."""
    try:
        told: Any = json.loads(text)
        killed = sum(worker.get("harakiri_count", 0) for worker in told["workers"])
        return Statistics(int(told["pid"]), killed, int(told.get("listen_queue", 0)))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None


def listener_of(path: str) -> int | None:
    """The pid of the process that listens on a unix socket; None where it cannot be had."""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_PATIENCE)
            asking.connect(path)
            peer = read_local_peer(asking)
    except OSError:
        return None
    # 0 is a process of another namespace.
    return None if peer is None else peer.pid or None


def read_setup(pid: int, processes: Path = _PROCESSES) -> Setup:
    """The options of the uWSGI with this pid, from its command line and the ini file that it names."""
    try:
        line = (processes / str(pid) / "cmdline").read_bytes()
    except OSError:
        return Setup({}, why="its master is no process of this machine, or hidden from this user")
    arguments = [part.decode("utf-8", "replace") for part in line.split(b"\0") if part]
    if not any("uwsgi" in Path(part).name.lower() for part in arguments[:3]):
        return Setup({}, why=f"process {pid} on this machine is not uWSGI")
    return _read_arguments(arguments[1:], processes / str(pid) / "cwd")


def _read_arguments(arguments: list[str], directory: Path) -> Setup:
    given = dict(_from_arguments(arguments))
    if _OTHER_KINDS & given.keys():
        return Setup({}, why="its command line names a file that is no ini file (other kinds are not read)")
    files = [given.pop("ini")] if "ini" in given else []
    try:
        found = {name: value for file in files for name, value in _from_file(directory, file)}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Setup({}, why=f"{files[0]} cannot be read by this user: {reason}")
    # What the command line says comes before the file's, and uWSGI takes the first of most options; a limit
    # that is given twice is a mistake that is not judged here.
    options = {**found, **given}
    if not options:
        return Setup({}, why="its command line names no ini file (other kinds are not read)")
    return Setup(options, files[0] if files else "its command line")


def _from_arguments(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line; one without a value is on.

    Which options take a value only uWSGI knows: what follows is one, unless it is an option or looks like a
    settings file.
    """
    # The option that waits for its value.
    name = ""
    for argument in arguments:
        is_option = argument.startswith("--") or argument in _SHORT
        is_file = not is_option and argument.endswith(_FILE_KINDS) and not _takes_file(name)
        if name and (is_option or is_file):
            yield name, "true"
            name = ""
        if argument in _SHORT:
            name = _SHORT[argument]
        elif is_option:
            name, equals, value = argument[2:].partition("=")
            if equals:
                yield name, value
                name = ""
        elif is_file:
            yield argument.rpartition(".")[2], argument
        elif name:
            yield name, argument
            name = ""
    if name:
        yield name, "true"


def _takes_file(name: str) -> bool:
    return name in _TAKE_FILES or name in _OTHER_KINDS or name.startswith("touch-")


def _from_file(directory: Path, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The options of a file's section [uwsgi] (``file:section`` names another), included files too."""
    path, _, section = name.partition(":")
    if depth > _INCLUDES:
        raise ValueError("its files include each other")
    text = _read(directory / path)
    here = False
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            here = line == f"[{section or 'uwsgi'}]"
        elif here and line and line[0] not in "#;":
            key, _, value = (part.strip() for part in line.partition("="))
            if key == "ini":
                yield from _from_file(directory, value, depth + 1)
            else:
                yield key, value or "true"


def _read(path: Path) -> str:
    """The text of a regular file: another user's command line named it, and a pipe would be waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        return file.read(_LONGEST_FILE).decode("utf-8", "replace")


def number(options: Mapping[str, str], name: str) -> int | None:
    """An option's number; None where it is not set, or only uWSGI knows what it is."""
    value = options.get(name, "")
    if any(mark in value for mark in _PLACEHOLDERS):
        return None
    # uWSGI reads the digits at the beginning, as C's atoi; no limit has more than these.
    digits = re.match(r"[0-9]{1,18}", value)
    return int(digits[0]) if digits else None
