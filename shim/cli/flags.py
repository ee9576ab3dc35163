"""Flags that several commands take: where the configuration is, what overrides it, and which shim is asked.

As types, so that each is written down once and reads alike in every command's help.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Config: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file, TOML.")
]
Listen: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="ADDR",
        help="Where clients connect: HOST:PORT, [v6]:PORT, unix:/path or fd:N. May be given several times.",
    ),
]
Upstream: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="URL",
        help="The server behind: http://, https:// or uwsgi://host:port, "
        "http+unix:// or uwsgi+unix:///path.sock.",
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any option, as in spool.max_body=8GiB. May be given several times.",
    ),
]
Admin: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--admin",
        metavar="URL",
        help="The admin listener: http://HOST:PORT or unix:/path. By default what admin.listen says.",
    ),
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Where admin.token stands; else GLANCE_SHIM_ADMIN__TOKEN or the configuration has it.",
    ),
]
