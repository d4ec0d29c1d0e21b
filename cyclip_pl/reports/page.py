"""One HTML page that needs no other file: images as data, no script, nothing loaded."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cyclip_pl.reports.groups import Group
from cyclip_pl.reports.runs import Run


@dataclass(frozen=True)
class Plot:
    """A plot on the page: `name` is that of its PNG file, `caption` says how to read it."""

    name: str
    title: str
    caption: str
    png: bytes


def page(
    runs: Sequence[Run], groups: Sequence[Group], plots: Sequence[Plot], missing: Sequence[str]
) -> str:
    """The whole document; plots of one title share a heading, `missing` has lines about others."""
    titles = dict.fromkeys(plot.title for plot in plots)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names come from strangers' folders
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = _breakable
    environment.filters["base64"] = lambda data: b64encode(data).decode("ascii")
    return environment.get_template("report.html.j2").render(
        names=", ".join(run.name for run in runs),
        runs=runs,
        groups=groups,
        sections=[(title, [plot for plot in plots if plot.title == title]) for title in titles],
        missing=missing,
    )


def _breakable(text: str) -> Markup:
    """Escaped, with places where a line may break: names have other signs in place of spaces."""
    return Markup(re.sub(r"([_,/])", r"\1<wbr>", str(escape(text))))
