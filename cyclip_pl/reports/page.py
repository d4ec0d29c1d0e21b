"""One HTML page that needs nothing else: pictures as data, no script, nothing loaded."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from cyclip_pl.reports.canvas import Plot
from cyclip_pl.reports.runs import Run
from cyclip_pl.reports.table import Cell, Group

# Names come from strangers' folders. All text is escaped; should one slip through, the browser
# runs no script and loads nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --muted: #5c5c5c; --page: #fff;
  --head: #f2f2f2; --line: #d9d9d9; --link: #0055a5; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --muted: #a3a3a3; --page: #161616; --head: #262626; --line: #3d3d3d;
    --link: #7cb7ff; }
}
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
a { color: var(--link); }
p, figcaption { max-width: 48rem; }
.note, figcaption, td small { color: var(--muted); }
nav a { margin-right: 1rem; white-space: nowrap; }
.scroll { overflow: auto; max-height: 80vh; border: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; vertical-align: top;
  border-top: 1px solid var(--line); }
th { font-weight: 600; overflow-wrap: break-word; min-width: 6.5rem; max-width: 16rem; }
tbody th { text-align: left; font-weight: 400; min-width: 10rem; position: sticky;
  left: 0; background: var(--page); }
thead th { position: sticky; top: 0; z-index: 1; background: var(--head); border-top: 0; }
thead td { position: sticky; top: 0; left: 0; z-index: 2; background: var(--head); border-top: 0; }
tbody th.group { font-weight: 600; background: var(--head); }
td.group { background: var(--head); }
td small { display: block; white-space: nowrap; font-size: .8em; }
figure { margin: 1rem 0 2rem; }
img { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { margin-top: .5rem; font-size: .9rem; }
@media print { .scroll { max-height: none; border: 0; } th, td { position: static !important; } }
"""


def page(
    runs: Sequence[Run], groups: Sequence[Group], plots: Sequence[Plot], missing: Sequence[str]
) -> str:
    """The whole document.

    Args:
        runs: In the order of their columns.
        groups: The table.
        plots: In their order on the page; those of one title under one heading.
        missing: Lines that say which plots there are not, and why.
    """
    headings = list(dict.fromkeys(plot.title for plot in plots))
    links = [("table", "Table"), *((f"plot{n}", title) for n, title in enumerate(headings))]
    names = ", ".join(run.name for run in runs)
    body = [
        f"<h1>{len(runs)} run{'s' if len(runs) > 1 else ''} compared</h1>",
        f"<p>{escape(names)}</p>",
        "<nav>" + " ".join(f'<a href="#{to}">{escape(text)}</a>' for to, text in links) + "</nav>",
        '<h2 id="table">Table</h2>',
        '<p class="note">Bold: the best of a row, where one direction is better. In brackets: the '
        "95 % bootstrap interval over test images, which does not cover what another training "
        "seed would change. pp: percentage points; –: the run has no such figure.</p>",
        *_table(runs, groups),
    ]
    for number, title in enumerate(headings):
        body.append(f'<section id="plot{number}"><h2>{escape(title)}</h2>')
        body += [_figure(plot) for plot in plots if plot.title == title]
        body.append("</section>")
    body += [f'<p class="note">{escape(line)}</p>' for line in missing]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(names)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(runs: Sequence[Run], groups: Sequence[Group]) -> Iterable[str]:
    yield '<div class="scroll" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{_name(run.name)}</th>' for run in runs)
    yield f"<thead><tr><td></td>{heads}</tr></thead>"
    for group in groups:
        head = f'<th class="group" scope="rowgroup">{_name(group.label)}</th>'
        yield f'<tbody><tr>{head}<td class="group" colspan="{len(runs)}"></td></tr>'
        for row in group.rows:
            cells = "".join(map(_cell, row.cells))
            yield f'<tr><th scope="row">{_name(row.label)}</th>{cells}</tr>'
        yield "</tbody>"
    yield "</table></div>"


def _name(text: str) -> str:
    """Where a line may break: names have other signs for spaces."""
    return re.sub(r"([_,/])", r"\1<wbr>", escape(text))


def _cell(cell: Cell) -> str:
    value = f"<strong>{escape(cell.text)}</strong>" if cell.best else escape(cell.text)
    interval = f" <small>{escape(cell.interval)}</small>" if cell.interval else ""
    return f"<td>{value}{interval}</td>"


def _figure(plot: Plot) -> str:
    data = b64encode(plot.png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(plot.title)}">'
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
    )
