"""The report as Markdown, for people and for the documentation.

Written into a file that has the lines BEGIN and END, it takes the place of what is between them; any other file
becomes the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..modes import MODES
from ._files import write_file
from ._results import FIGURES, Measurement, Report, Spread, show
from ._workloads import WORKLOADS

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def write_markdown(report: Report, path: Path) -> None:
    """Write the report to `path`, between the marks if the file has them."""
    text = markdown(report)
    current = path.read_text(encoding="utf-8") if path.exists() else ""
    before, begin, rest = current.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if begin and end:
        text = f"{before}{begin}\n{text}\n{end}{after}"
    write_file(path, text)


def _lines(report: Report) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in report.circumstances.items())
    yield f"- versions: {', '.join(f'{name} {version}' for name, version in report.versions.items())}"
    for name, reason in report.left_out.items():
        yield f"- left out: {name} ({reason})"
    for name, rate in report.pgbench.items():
        yield f"- `{name}` on the same tables: {show(rate)} statements/s"
    for measurement in report.measurements:
        yield from _section(measurement)


def _section(measurement: Measurement) -> Iterator[str]:
    workload = WORKLOADS[measurement.workload]
    named = measurement.contenders()
    yield ""
    yield f"### {measurement.title}"
    yield ""
    if named:
        figures = [f for f in FIGURES if measurement.spread(named[0], f) is not None]
        first = named[0]
        titles = [FIGURES[f][0] + (f" ({FIGURES[f][1]})" if f != "rate" else f" ({workload.unit})") for f in figures]
        yield "| | " + " | ".join([*titles, f"{first} is better by"]) + " |"
        yield "|---|" + "---:|" * (len(figures) + 1)
        for name in named:
            cells = [_cell(measurement.spread(name, f), f == measurement.key) for f in figures]
            cells.append("" if name == first else _times(measurement.ratio(first, name)))
            yield f"| {f'**{name}**' if name in MODES else name} | " + " | ".join(cells) + " |"
    for name, reason in measurement.failures.items():
        yield ""
        yield f"{name} gave no figures: {reason}"


def _cell(spread: Spread | None, with_range: bool) -> str:
    if spread is None:
        return ""
    shown = show(spread.median)
    return f"{shown} ({show(spread.low)} to {show(spread.high)})" if with_range else shown


def _times(ratio: Spread | None) -> str:
    return "" if ratio is None else f"{ratio.median:.1f}x ({ratio.low:.1f} to {ratio.high:.1f})"
