"""The command that measures a deployment: ``bench``, with what is sent, by how many clients, and where to.

Texts are handed on as they were written: ``commands/bench_options.py`` makes values of them, or refuses them.
"""
# ruff: noqa: PLC0415 - as in all modules of this room: a command's work is imported when it is called

from pathlib import Path
from typing import Annotated

import typer


def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="What is measured: http(s)://, http+unix://.")],
    *,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="A second one, measured in turns with the first.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Seen by other users: rather --token-file or OS_TOKEN."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the token.")
    ] = None,
    cacert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Authorities to trust, PEM. Else OS_CACERT.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="SIZE", help="Of an image. May be given several times. [default: 64MiB]"),
    ] = None,
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE|length",
            help="Of a chunk; length: declared instead. May be given several times. [default: 1MiB]",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Rounds of each size and framing.")
    ] = 5,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Uploads at once.")] = 1,
    slow: Annotated[int, typer.Option(metavar="N", min=0, max=1000, help="Slow clients beside them.")] = 0,
    slow_rate: Annotated[str, typer.Option(metavar="RATE", help="What each of these sends.")] = "1MiB/s",
    askers: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=100, help="Clients beside them that list images, 10 times a second."
        ),
    ] = 1,
    declare: Annotated[
        bool, typer.Option("--declare", help="Say the size of chunked bodies too, as glance --file does.")
    ] = False,
    plain: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="For a service that is not Glance: PUT to this path, {name} differing."
        ),
    ] = None,
    cleanup: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only delete what a killed run left; it told RUN when it began."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there, as JSON.")
    ] = None,
    page_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots there.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Report a round that fails, and do the others.")
    ] = False,
) -> None:
    """Measure your own deployment.

    Uploads private images of its own, compares what arrived, and deletes them: also after Ctrl-C or a fault.
    """
    from shim.commands.bench import run
    from shim.commands.bench_options import Request

    request = Request(
        url=url,
        against=against,
        token=token,
        token_file=token_file,
        ca_file=cacert,
        size=size or [],
        chunk=chunk or [],
        count=count,
        concurrency=concurrency,
        slow=slow,
        slow_rate=slow_rate,
        askers=askers,
        declare=declare,
        plain=plain,
        cleanup=cleanup,
        json_file=json_file,
        page_file=page_file,
        keep_going=keep_going,
    )
    raise typer.Exit(run(request))
