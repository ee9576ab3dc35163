"""The command line: which commands there are, in the order of the help; what they take stands in its modules.

Each command imports its work when it is called: ``--help`` stays quick, and ``serve`` never loads what
only the demo or a live view needs. The work itself, and the exit statuses, stand in ``commands``.
"""

from typing import Annotated

import typer

import shim
from shim.cli.asking import top, uploads
from shim.cli.configured import check, demo, print_config, serve
from shim.cli.measuring import bench
from shim.cli.planning import capacity

app = typer.Typer(
    name="glance-shim",
    help="Gives chunked uploads a length before they reach Glance on a WSGI server.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: rich costs memory and start-up time in every worker, and its tracebacks show values.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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


app.command()(serve)
app.command()(check)
app.command("config")(print_config)
app.command()(demo)
app.command()(top)
app.add_typer(uploads)
app.command()(capacity)
app.command()(bench)


def main() -> None:
    """Run the command line; leaves with the exit status."""
    app(prog_name="glance-shim")
