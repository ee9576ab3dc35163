"""The command line: which commands there are and what they take.

Each command imports its work when it is called: ``--help`` stays quick, and ``serve`` never loads what
only the demo or a live view needs. The work itself, and the exit statuses, stand in ``commands``.
"""
# ruff: noqa: PLC0415 - imports inside of commands are this module's purpose

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

import shim

app = typer.Typer(
    name="glance-shim",
    help="Gives chunked uploads a length before they reach Glance on a WSGI server.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: rich costs memory and start-up time in every worker, and its tracebacks show values.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

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


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag
    if asked:
        typer.echo(f"glance-shim {shim.__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before any command."""


@app.command()
def serve(
    config: Config = None, listen: Listen = None, upstream: Upstream = None, settings: Settings = None
) -> None:
    """Run the proxy.

    Needs no file: --upstream alone is enough. SIGTERM and Ctrl-C let requests under way end.
    """
    from shim.commands.serve import run

    raise typer.Exit(run(config=config, listen=listen or [], upstream=upstream, settings=settings or []))


@app.command()
def check(
    *,
    config: Config = None,
    upstream: Upstream = None,
    settings: Settings = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, for programs.")
    ] = False,
) -> None:
    """Look for faults before a start.

    Tells every fault of the configuration at once, then looks at spool, machine, timeouts and servers, and
    says what each finding means and what to set. Warnings do not change the exit status.
    """
    from shim.commands.check import run

    raise typer.Exit(run(config=config, upstream=upstream, settings=settings or [], as_json=as_json))


@app.command("config")
def print_config(
    *,
    config: Config = None,
    upstream: Upstream = None,
    settings: Settings = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Print all options with their defaults and reasons instead.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema instead.")] = False,
) -> None:
    """Print the configuration in force.

    It is TOML, each value with where it came from.
    """
    from shim.commands.config import View, run

    if defaults and schema:
        raise typer.BadParameter("give one of --defaults and --schema")
    view = View.DEFAULTS if defaults else View.SCHEMA if schema else View.EFFECTIVE
    raise typer.Exit(run(config=config, upstream=upstream, settings=settings or [], view=view))


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the upload; 0 only if the image arrived whole.")
    ] = False,
) -> None:
    """Upload to a real Glance, with and without.

    First straight at uWSGI, which fails, then through the shim, which works; then it stays up to look at.
    """
    from shim.commands.demo import run

    raise typer.Exit(run(once=once))


def main() -> None:
    """Run the command line; leaves with the exit status."""
    app(prog_name="glance-shim")
