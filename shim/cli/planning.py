"""The command that plans an installation: ``capacity``, with what is known of its load.

All has a default but how many uploads there are: who plans knows little yet, and is to get an answer.
"""
# ruff: noqa: PLC0415 - as in all modules of this room: a command's work is imported when it is called

from typing import Annotated

import typer


def capacity(
    *,
    per_hour: Annotated[
        float | None, typer.Option(metavar="N", help="Uploads that begin in an hour.")
    ] = None,
    at_once: Annotated[
        float | None, typer.Option(metavar="N", help="Uploads under way at once, instead of --per-hour.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE[*WEIGHT]",
            help="An image's size, and how often it comes. May be given several times.",
        ),
    ] = None,
    median: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: half are larger.")] = "1GiB",
    upper: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: 1 of 20 is larger.")] = "10GiB",
    largest: Annotated[str, typer.Option(metavar="SIZE", help="Without --size: none is larger.")] = "200GiB",
    client: Annotated[str, typer.Option(metavar="RATE", help="What one client sends.")] = "10MiB/s",
    server: Annotated[
        str, typer.Option(metavar="RATE", help="What one worker takes in; Glance does 50 to 80MiB/s.")
    ] = "60MiB/s",
    answer: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a worker is busy after the last byte.")
    ] = "1s",
    known: Annotated[
        float,
        typer.Option(
            metavar="PART", min=0, max=1, help="Part of the uploads whose length is known before the body."
        ),
    ] = 1.0,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1_000_000, help="Workers of all servers; else as many as are needed."
        ),
    ] = None,
    waits: Annotated[
        float,
        typer.Option(
            metavar="PART", min=1e-6, max=0.99, help="Part of the uploads that may wait for a worker."
        ),
    ] = 0.05,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="PART", min=0.5, max=0.999999, help="Part of the time that peaks are to hold for."
        ),
    ] = 0.999,
    upload_share: Annotated[
        float, typer.Option(metavar="PART", min=0.01, max=1, help="upstreams.NAME.upload_share.")
    ] = 0.75,
    shim_rate: Annotated[str, typer.Option(metavar="RATE", help="What one shim takes in.")] = "400MiB/s",
    shim_uploads: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Uploads that one shim may have at once (limits.max_uploads)."),
    ] = 1000,
    spare: Annotated[int, typer.Option(metavar="N", min=0, help="Shims that may be down.")] = 1,
    simulate: Annotated[bool, typer.Option("--simulate", help="Also simulate it, event by event.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="The same load from 3 to 10,000 at once, in Markdown.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Tell what an installation needs.

    Workers, shims and spool for a load: with cut-through, spooled whole, and without the shim.
    """
    from shim.capacity.plan import Premises
    from shim.commands.capacity import run
    from shim.commands.capacity_options import Request

    premises = Premises(
        waits=waits,
        confidence=confidence,
        upload_share=upload_share,
        workers=workers,
        uploads=shim_uploads,
        spare=spare,
    )
    request = Request(
        per_hour=per_hour,
        # The table has numbers of its own, for which any load will do.
        at_once=1.0 if table and per_hour is None else at_once,
        size=size or [],
        median=median,
        upper=upper,
        largest=largest,
        client=client,
        server=server,
        answer=answer,
        known=known,
        premises=premises,
        shim_rate=shim_rate,
    )
    raise typer.Exit(run(request, table=table, simulated=simulate, as_json=as_json))
