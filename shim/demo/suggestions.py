"""What a person can try while the demo stays up: addresses to open, commands to copy.

``story`` prints it last. The commands work from any shell of the machine as they stand.
"""

import shlex
from pathlib import Path

from shim.demo.client import TOKEN
from shim.demo.environment import Environment
from shim.demo.terminal import Terminal

_NEW_IMAGE = '{"name": "by-curl", "disk_format": "raw", "container_format": "bare"}'


def suggest(terminal: Terminal, environment: Environment, image_file: Path, url: str, admin_url: str) -> None:
    """Print addresses and commands for the shim at ``url``."""
    terminal.facts(
        [
            ("Glance, through the shim", url),
            ("status page", f"{admin_url}/"),
            ("the same in a terminal", f"glance-shim top --admin {admin_url}"),
            ("metrics", f"{admin_url}/metrics"),
        ]
    )
    for title, commands in _examples(environment, shlex.quote(str(image_file)), url):
        terminal.line()
        terminal.text(f"{title}:")
        for command in commands:
            terminal.line(f"  $ {command}")


def _examples(environment: Environment, image_file: str, url: str) -> list[tuple[str, list[str]]]:
    glance = f"{shlex.quote(str(environment.program('glance')))} --os-image-url {url} --os-auth-token {TOKEN}"
    make = f"curl -s {url}/v2/images -H 'Content-Type: application/json' -d '{_NEW_IMAGE}'"
    send = (
        f"curl -i -T - --limit-rate 1M {url}/v2/images/$id/file -H 'Content-Type: application/octet-stream'"
    )
    raw = "--disk-format raw --container-format bare"
    return [
        (
            "From a pipe, so that not even the glance command knows the size",
            [f"cat {image_file} | {glance} image-create --name piped {raw}"],
        ),
        (
            "By curl, chunked, and slowly enough to be seen on the status page",
            [f"""id=$({make} | sed 's/.*"id": "\\([^"]*\\)".*/\\1/')""", f"{send} < {image_file}"],
        ),
        ("What Glance has", [f"{glance} image-list"]),
    ]
