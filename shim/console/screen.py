"""Draws the terminal view with rich: from a status and what is chosen to see of it, for a width and height.

What a client chose is shown as ``Text``, never as markup, and without control characters.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.console.watching import Mode, Upload, Watching
from shim.console.words import bar, duration, rate, shortened, size, sparkline

_STATES = {
    "idle": ("green", "Idle"),
    "busy": ("blue", "Busy"),
    "full": ("yellow", "Full"),
    "broken": ("bold red", "Not ready"),
    "draining": ("magenta", "Draining"),
}
_PHASES = {
    "receive": ("blue", "receiving"),
    "queue": ("yellow", "waiting"),
    "connect": ("green", "connecting"),
    "send": ("green", "sending"),
    "wait": ("green", "being stored"),
    "respond": ("green", "answering"),
}
_NARROW, _MEDIUM = 70, 100
_LABEL = 9
_UUID = 36
_LEAST_ROWS = 3
_NOTICE_LINES = 2
_HELP = "q quit  s sort  r reverse  / filter  p pause  ↑↓ choose  c cancel"

Status = Mapping[str, Any]


def draw(status: Status, watching: Watching, width: int, height: int) -> RenderableType:
    """The whole screen."""
    head = [*_head(status, watching, width), *_notices(status, width)]
    # Two empty lines, two heads of tables, what is left over, and the foot.
    rows = max(_LEAST_ROWS, height - len(head) - len(status["servers"]) - 6)
    uploads = _uploads(watching, width, rows)
    return Group(*head, Text(), uploads, Text(), _servers(status, width), _foot(watching, width))


def draw_lost(reason: str, where: str, width: int) -> RenderableType:
    """In its place where the shim cannot be asked."""
    head = Text("glance-shim  ", "bold").append("● No connection", "bold red")
    told = reason if where in reason else f"{where}: {reason}"
    return Group(head, Text(shortened(told, 4 * width)), Text("Trying again; q quits.", "dim"))


# -- above: the shim as a whole ---------------------------------------------------------------------


def _head(status: Status, watching: Watching, width: int) -> Iterator[Text]:
    style, word = _STATES.get(status["state"], ("", str(status["state"])))
    workers = status["workers"]
    line = Text("glance-shim ", "bold", no_wrap=True).append(f"{status['version']}  ", "not bold dim")
    line.append(f"● {word}", style)
    number = len(watching.uploads)
    uploads = f"{number} upload{'' if number == 1 else 's'}"
    line.append(f"  {uploads}, {workers} worker{'' if workers == 1 else 's'}", "not bold")
    if watching.is_paused:
        line.append("  PAUSED", "reverse")
    yield line
    yield from _spool(status["spool"], width)
    history = status["history"]
    lines = max(0, min(len(history["rate"]), width - _LABEL - 26))
    now = watching.speeds.of("") or 0.0
    yield _fact("In", f"{rate(now):>12}", sparkline(history["rate"], lines), "blue")
    refused = sum(code["hour"] for code in status["refused"])
    most = next((f", mostly {code['code']}" for code in status["refused"] if code["hour"]), "")
    yield _fact("Refused", f"{refused:>12}", f"in the last hour{most}", "red" if refused else "dim")


def _spool(spool: Mapping[str, Any], width: int) -> Iterator[Text]:
    held, leased, limit = spool["held"], spool.get("leased", 0), spool["limit"]
    room = max(10, min(40, width - _LABEL - 46))
    if limit is None:
        yield _fact("Spool", f"{size(held):>12}", "no limit", "dim")
    else:
        share, promised = (held / limit, max(held, leased) / limit) if limit else (1.0, 1.0)
        style = "red" if promised >= 0.95 else "yellow" if promised >= 0.8 else "blue"  # noqa: PLR2004 - as on the page
        text = f"of {size(limit)}" + (f", {size(leased)} promised" if leased > held else "")
        yield (
            _fact("Spool", f"{size(held):>12}")
            .append(_bar(share, room, style, promised))
            .append(f" {text}", "dim")
        )
    if spool["disk_total"]:
        used = 1 - spool["disk_free"] / spool["disk_total"]
        text = f" of {size(spool['disk_total'])} free, {size(spool.get('reserve') or 0)} reserve"
        yield (
            _fact("Disk", f"{size(spool['disk_free']):>12}")
            .append(_bar(used, room, "default"))
            .append(text, "dim")
        )


def _fact(label: str, value: str, rest: str = "", style: str = "") -> Text:
    line = Text(no_wrap=True, overflow="ellipsis").append(f"{label:<{_LABEL}}", "dim")
    return line.append(value, "bold").append("  ").append(rest, style)


def _bar(share: float, width: int, style: str, promised: float = 0.0) -> Text:
    taken, more, free = bar(share, width, promised)
    return Text(taken, style).append(more, style).append(free, "dim")


def _notices(status: Status, width: int) -> Iterator[Text]:
    for notice in status["notices"]:
        style = "bold red" if notice["level"] == "bad" else "yellow"
        yield Text(shortened(f"! {notice['title']}", width), style)
        text = shortened(notice["text"], _NOTICE_LINES * (width - 4))
        yield from (Text(f"  {line}") for line in textwrap.wrap(text, width - 2)[:_NOTICE_LINES])


# -- in the middle: uploads -------------------------------------------------------------------------


def _uploads(watching: Watching, width: int, rows: int) -> RenderableType:
    shown = watching.shown()
    if not shown:
        return Text("No upload matches." if watching.words else "No upload is under way.", "dim")
    cursor = watching.cursor()
    # The cursor stays in sight.
    first = max(0, min(cursor - rows + 1, len(shown) - rows)) if cursor >= rows else 0
    table = _table(width)
    for upload in shown[first : first + rows]:
        is_chosen = upload["key"] == shown[cursor]["key"] and watching.chosen != ""
        table.add_row(
            Text(">" if is_chosen else " "), *_row(upload, watching, width), style="bold" if is_chosen else ""
        )
    left = len(shown) - rows
    return Group(table, Text(f"… {left} more", "dim")) if left > 0 else table


def _table(width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(width=1)
    table.add_column(
        "Upload", ratio=3, no_wrap=True, overflow="ellipsis", min_width=_UUID if width >= _MEDIUM else 8
    )
    if width >= _MEDIUM:
        table.add_column("Project", ratio=1, no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("Phase", no_wrap=True)
    table.add_column("Progress", no_wrap=True, justify="right" if width < _NARROW else "left")
    table.add_column("Rate", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("Age", justify="right", no_wrap=True)
    return table


def _row(upload: Upload, watching: Watching, width: int) -> Iterator[Text]:
    style, phase = _PHASES.get(upload["phase"] or "", ("dim", "beginning"))
    yield Text(shortened(upload["image"] or f"{upload['method']} {upload['path']}", 200))
    if width >= _MEDIUM:
        yield Text(shortened(upload["project"], 64), "dim")
    yield Text(phase, style)
    yield _progress(upload, width, style)
    yield Text(rate(watching.speed_of(upload)) if upload["phase"] == "receive" else "-")
    if width >= _NARROW:
        yield Text(duration(upload["age"]))


def _progress(upload: Upload, width: int, style: str) -> Text:
    length = upload["length"]
    if length is None:
        return Text(f"{size(upload['bytes'])}{' of ?' if width < _NARROW else ', length not known'}", "dim")
    share = upload["bytes"] / length if length else 1.0
    if width < _NARROW:
        return Text(f"{int(100 * share)} %")
    line = _bar(share, 12 if width >= _MEDIUM else 8, style)
    return line.append(f" {int(100 * share):3} % of {size(length)}")


# -- below: servers, keys ---------------------------------------------------------------------------


def _servers(status: Status, width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Server", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Health", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Slots", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("Takes", justify="right", no_wrap=True)
    for server in status["servers"]:
        style, word = _health(server)
        health = Text(f"● {word}", style)
        health.append(f" {shortened(server['reason'], 200)}", "dim default not bold")
        slots = f"{server['inflight']}" + ("" if server["slots"] is None else f"/{server['slots']:g}")
        drain = server.get("drain_rate")
        cells = [Text(shortened(f"{server['upstream']} {server['server']}", 200)), health, Text(slots)]
        table.add_row(*cells, *([Text(rate(drain) if drain else "-")] if width >= _NARROW else []))
    return table


def _health(server: Mapping[str, Any]) -> tuple[str, str]:
    """Style and word: what its probe says, and how the workers have it where that is not the same."""
    state = server.get("state", "up")
    if not server["up"]:
        # What the workers still hope for is no news, save that an operator took it out.
        return "bold red", "draining" if state == "draining" else "down"
    return ("green", "up") if state == "up" else ("yellow", str(state))


def _foot(watching: Watching, width: int) -> Text:
    match watching.mode:
        case Mode.CONFIRMING:
            return Text(
                shortened(f"Cancel {watching.chosen}? Its client is told. y: yes, other: no", width),
                "bold red",
            )
        case Mode.FILTERING:
            return Text(shortened(f"Filter: {watching.words}▏ enter: keep, escape: all", width), "bold")
        case Mode.LOOKING:
            arrow = "↓" if watching.falls else "↑"
            state = f"by {watching.order.value} {arrow}" + (
                f", only '{watching.words}'" if watching.words else ""
            )
            return Text(
                shortened(watching.note or f"{_HELP}   {state}", width), "bold" if watching.note else "dim"
            )
