"""The commands that begin with a configuration: ``serve``, ``check``, ``config``; and the demo, with its own.

The first three take the same flags, so that what was checked or printed is what is served.
"""
# ruff: noqa: PLC0415 - as in all modules of this room: a command's work is imported when it is called

from typing import Annotated

import typer

from shim.cli.flags import Config, Listen, Settings, Upstream


def serve(
    config: Config = None, listen: Listen = None, upstream: Upstream = None, settings: Settings = None
) -> None:
    """Run the proxy.

    Needs no file: --upstream alone is enough. SIGTERM and Ctrl-C let requests under way end.
    """
    from shim.commands.serve import run

    raise typer.Exit(run(config=config, listen=listen or [], upstream=upstream, settings=settings or []))


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


def print_config(
    *,
    config: Config = None,
    upstream: Upstream = None,
    settings: Settings = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Print all options with their defaults and reasons instead.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema instead.")] = False,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option("--explain", metavar="METHOD PATH", help="Tell which route a request takes, and why."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="'NAME: VALUE'", help="A header of that request; may be repeated."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="SIZE", help='The size it declares, as in 10GiB, or "unknown".'),
    ] = None,
) -> None:
    """Print the configuration in force.

    It is TOML, each value with where it came from.
    """
    from shim.commands.config import View, run

    if defaults + schema + bool(explain) > 1:
        raise typer.BadParameter("give one of --defaults, --schema and --explain")
    if (header or size) and not explain:
        raise typer.BadParameter("--header and --size describe the request of --explain")
    if explain:
        from shim.commands.explain import run as explain_route

        status = explain_route(
            config=config,
            upstream=upstream,
            settings=settings or [],
            request=explain,
            headers=header or [],
            size=size,
        )
        raise typer.Exit(status)
    view = View.DEFAULTS if defaults else View.SCHEMA if schema else View.EFFECTIVE
    raise typer.Exit(run(config=config, upstream=upstream, settings=settings or [], view=view))


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the upload; 0 only if the image arrived whole.")
    ] = False,
) -> None:
    """Upload to a real Glance, without the shim and with it.

    First straight at uWSGI, which fails, then through the shim, which works; then it stays up to look at.
    """
    from shim.commands.demo import run

    raise typer.Exit(run(once=once))
