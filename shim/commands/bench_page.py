"""``bench``'s report as one HTML page: figures and plots, with nothing that is fetched from anywhere.

It is sent to colleagues and opened years later, so it holds everything; and servers had a say in it, so all
text is escaped, and no script may run in it.
"""

import html

import shim
from shim.bench.plan import Case
from shim.bench.results import METRICS, Metric, Results, download_seconds, upload_seconds
from shim.commands.bench_plots import Row, curves, dots, ratios
from shim.commands.bench_terminal import (
    METRIC_WORDS,
    case_words,
    failure_lines,
    figures_of,
    rate_words,
    ratio_words,
)
from shim.commands.figures import seconds, size

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1f2328; --faint: #d1d9e0; --quiet: #59636e;
  --t0: #0969da; --t1: #bc4c00; --bad: #c1272d; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --ink: #e6edf3; --faint: #30363d;
  --quiet: #9198a1; --t0: #58a6ff; --t1: #f0883e; --bad: #ff7b72; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 72rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .25rem; }
p, dl { margin: .25rem 0; } .quiet { color: var(--quiet); } .bad { color: var(--bad); }
main { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
section { min-width: 0; } .wide { grid-column: 1 / -1; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; } dd { margin: 0; }
dt { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
td, th { border-top: 1px solid var(--faint); padding: .25rem .75rem .25rem 0; vertical-align: top; }
th[colspan] { padding-top: .75rem; }
svg { display: block; max-width: 40rem; width: 100%; } svg text { fill: var(--ink); font-size: 12px;
  paint-order: stroke; stroke: var(--ground); stroke-width: 3px; }
svg .tick { fill: var(--quiet); font-size: 11px; } svg .figure { text-anchor: end; font-weight: 600; }
.grid { stroke: var(--faint); } .origin { stroke: var(--quiet); stroke-dasharray: 3 3; }
.t0 { --series: var(--t0); } .t1 { --series: var(--t1); }
.mark { fill: var(--series); fill-opacity: .75; } .range { stroke: var(--series); stroke-width: 1.5; }
.curve { fill: none; stroke: var(--series); stroke-width: 2; } .curve.t1 { stroke-dasharray: 6 3; }
.key { color: var(--series); }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_COMPARED = ("upload", "download", "small_request")
"""Of the metrics, what is drawn; the table has all."""
_SHAPES = ("●", "■")


def render_page(results: Results) -> str:
    """The whole page."""
    title = f"glance-shim bench, run {results.plan.run}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{html.escape(title)}</h1>{_summary(results)}<main>"
        f"{''.join(_plots(results))}{_table(results)}{_failures(results)}</main></body></html>\n"
    )


def _summary(results: Results) -> str:
    plan = results.plan
    slow = "slow client" if plan.slow == 1 else "slow clients"
    beside = [f"{plan.slow} {slow} at {size(plan.slow_rate)}/s"] if plan.slow else []
    beside += [f"{plan.askers} asking for something small"] if plan.askers else []
    told = [(f"{_key(number)} target", html.escape(name)) for number, name in enumerate(results.targets)]
    told += [
        ("began", results.began.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("uploads at once", str(plan.concurrency)),
        ("beside them", html.escape(", ".join(beside) or "nothing")),
        ("rounds", f"{plan.count} of each case, the targets in turns"),
        ("measured by", html.escape(f"glance-shim {shim.__version__}")),
    ]
    early = (
        '<p class="bad">Ended early: these are the rounds that were done.</p>' if results.interrupted else ""
    )
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in told)}</dl>{early}"


def _key(target: int) -> str:
    return f'<span class="key t{target}">{_SHAPES[target]}</span>'


# -- plots -----------------------------------------------------------------------------------------------


def _plots(results: Results) -> list[str]:
    each = "One mark for each round; the figure is the median."
    asked = _asked(results)
    found = [
        _section("Upload rate", each, dots("Upload rate", _rates(results, upload_seconds), _rate)),
        _section("Download rate", each, dots("Download rate", _rates(results, download_seconds), _rate)),
        _section(
            "First target compared with the second",
            "Seconds of the first over seconds of the second, round by round: left of 1 the first is faster.",
            ratios("Ratios of seconds", _ratios(results)),
        )
        if _ratios(results)
        else "",
        _section(
            "Small requests during uploads",
            "How large a part was answered within so long, with those that were due while one waited.",
            curves("Seconds of small requests", asked, seconds),
        )
        if asked
        else "",
    ]
    return found if results.samples else []


def _section(title: str, text: str, plot: str) -> str:
    return f'<section><h2>{title}</h2><p class="quiet">{text}</p>{plot}</section>'


def _rates(results: Results, metric: Metric) -> list[Row]:
    rows = []
    for case in results.plan.cases():
        for target in range(len(results.targets)):
            values = results.rates(case, target, metric)
            middle = rate_words(values).partition(" (")[0]
            rows.append(Row(case_words(case), target, values, middle))
    return [row for row in rows if row.values]


def _ratios(results: Results) -> list[Row]:
    if len(results.targets) == 1:
        return []
    rows = []
    for name in _COMPARED:
        for case in results.plan.cases():
            if pairs := results.ratios(case, METRICS[name]):
                middle = ratio_words(pairs).partition(" (")[0]
                rows.append(Row(f"{METRIC_WORDS[name]}: {case_words(case)}", 0, pairs, middle))
    return rows


def _asked(results: Results) -> list[Row]:
    rows = []
    for target, name in enumerate(results.targets):
        values = [asked for case in results.plan.cases() for asked in results.asked(case, target)]
        rows.append(Row(name, target, values, ""))
    return [row for row in rows if row.values]


def _rate(value: float) -> str:
    return f"{size(value)}/s"


# -- figures ---------------------------------------------------------------------------------------------


def _table(results: Results) -> str:
    parts = [_case_rows(results, case) for case in results.plan.cases()]
    return (
        '<section class="wide"><h2>Figures</h2>'
        '<p class="quiet">The median of all rounds, with the smallest and the largest.</p>'
        f"<table>{''.join(parts)}</table></section>"
    )


def _case_rows(results: Results, case: Case) -> str:
    rows = [f'<tr><th colspan="2">{html.escape(case_words(case))}</th></tr>']
    for target in range(len(results.targets)):
        rows += [
            _cells(f"{_key(target)} {name}", figure) for name, figure in figures_of(results, case, target)
        ]
    if len(results.targets) > 1:
        for name, metric in METRICS.items():
            if pairs := results.ratios(case, metric):
                rows.append(_cells(f"{METRIC_WORDS[name]}, ratio", f"{ratio_words(pairs)} pairs"))
    return "".join(rows)


def _cells(name: str, figure: str) -> str:
    return f"<tr><td>{name}</td><td>{html.escape(figure)}</td></tr>"


def _failures(results: Results) -> str:
    if not results.failures:
        return ""
    told = [f"<li>{html.escape(line)}</li>" for line in failure_lines(results)]
    return f'<section class="wide"><h2 class="bad">Failed</h2><ul>{"".join(told)}</ul></section>'
