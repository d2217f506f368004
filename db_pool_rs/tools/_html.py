"""The report as one HTML file that needs nothing else: bars as inline SVG, light and dark, narrow and wide.

Text is HTML and only the bars are SVG, stretched to the width there is: so text keeps its size on a narrow screen. Only
tables may be wider than the screen: they scroll by themselves, and the names stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ..modes import MODES
from ._results import FIGURES, Measurement, Report, Spread, show
from ._workloads import WORKLOADS

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2330; --soft: #5b6472; --line: #d9dee6; --track: #eef1f5;
        --ours: #3b8ad8; --rival: #a9b2bf; --mark: #1c2330; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181f; --text: #e7ebf0; --soft: #9aa5b4; --line: #2c3440; --track: #1f2630;
          --ours: #4dabf7; --rival: #6b7685; --mark: #e7ebf0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .25rem; }
h3 { font-size: .85rem; font-weight: 600; color: var(--soft); margin: 1rem 0 .25rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.bar { display: grid; grid-template-columns: 9rem 1fr 4rem; gap: .75rem; align-items: center; font-size: .9rem;
       margin: .2rem 0; }
.bar svg { width: 100%; height: 1rem; display: block; background: var(--track); border-radius: 2px; }
.bar span:last-child, td { font-variant-numeric: tabular-nums; } .bar span:last-child { text-align: right; }
.ours { fill: var(--ours); } .rival { fill: var(--rival); } .mark { stroke: var(--mark); stroke-width: 1.5;
        vector-effect: non-scaling-stroke; } span.name-ours, .name-ours td:first-child { font-weight: 600; }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2.5rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin-top: .75rem; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
       background: var(--back); }
th:last-child, td:last-child { padding-right: 0; } th { color: var(--soft); font-weight: 500; }
.failed { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
@media (max-width: 52rem) { .charts { grid-template-columns: 1fr; } }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
       .bar { grid-template-columns: 7.5rem 1fr 3.5rem; gap: .5rem; } }
"""


def html(report: Report) -> str:
    """The whole page."""
    return page("benchmark", _body(report))


def page(title: str, body: Iterable[str]) -> str:
    """A page of its own, in the style of the reports."""
    lines = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>db_pool_rs: {title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{lines}\n</body>\n</html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    yield "<h1>Benchmark of the modes and their rivals</h1>"
    yield (
        "<p>Long bars are good in throughput, short ones in all else. The thin line goes from the lowest "
        "round to the highest. Ours are blue.</p>"
    )
    facts = {
        **report.circumstances,
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        **{f"left out: {name}": reason for name, reason in report.left_out.items()},
        **{name: f"{show(rate)} statements/s on the same tables" for name, rate in report.pgbench.items()},
    }
    yield (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()) + "</dl>"
    )
    for measurement in report.measurements:
        yield from _section(measurement)


def _section(measurement: Measurement) -> Iterator[str]:
    workload = WORKLOADS[measurement.workload]
    yield f"<h2>{escape(measurement.title)}</h2>"
    yield '<div class="charts">'
    for figure in workload.figures:
        title, unit, _ = FIGURES[figure]
        shown = workload.unit if figure == "rate" else unit
        yield f"<div><h3>{escape(title)} ({escape(shown)})</h3>{_chart(measurement, figure)}</div>"
    yield "</div>"
    yield f'<div class="wide" tabindex="0" role="region" aria-label="All figures">{_table(measurement)}</div>'
    for name, reason in measurement.failures.items():
        yield f'<p class="failed">{escape(name)} gave no figures: {escape(reason)}</p>'


def _chart(measurement: Measurement, figure: str) -> str:
    spreads = {name: measurement.spread(name, figure) for name in measurement.contenders()}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    longest = max((spread.high for spread in known.values()), default=0.0) or 1.0
    return "".join(bar(name, spread, longest, name in MODES) for name, spread in known.items())


def bar(name: str, spread: Spread, longest: float, ours: bool) -> str:
    """A name, its bar beside the longest of the chart, with a line from the lowest to the highest, and the figure."""
    width, low, high = (100 * value / longest for value in (spread.median, spread.low, spread.high))
    kind = "ours" if ours else "rival"
    label = f"{name}: {show(spread.median)}, from {show(spread.low)} to {show(spread.high)}"
    return (
        f'<div class="bar"><span class="name-{kind}">{escape(name)}</span>'
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<title>{escape(label)}</title><rect class="{kind}" width="{width:.2f}" height="10"/>'
        f'<line class="mark" x1="{low:.2f}" x2="{high:.2f}" y1="5" y2="5"/></svg>'
        f"<span>{show(spread.median)}</span></div>"
    )


def _table(measurement: Measurement) -> str:
    named = measurement.contenders()
    figures = [f for f in FIGURES if any(measurement.spread(name, f) is not None for name in named)]
    head = [
        "",
        *(f"{FIGURES[f][0]} ({FIGURES[f][1]})" for f in figures),
        *([f"{named[0]} is better by"] if named else []),
    ]
    rows = [_row(measurement, name, figures) for name in named]
    return f"<table>{_cells('th', head)}{''.join(_cells('td', row) for row in rows)}</table>" if named else ""


def _row(measurement: Measurement, name: str, figures: Sequence[str]) -> list[str]:
    spreads = [measurement.spread(name, figure) for figure in figures]
    first = measurement.contenders()[0]
    ratio = None if name == first else measurement.ratio(first, name)
    better = "" if ratio is None else f"{ratio.median:.1f}x ({ratio.low:.1f} to {ratio.high:.1f})"
    return [name, *("" if spread is None else show(spread.median) for spread in spreads), better]


def _cells(tag: str, texts: Sequence[str]) -> str:
    marks = '<tr class="name-ours">' if texts[0] in MODES else "<tr>"
    return marks + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"
