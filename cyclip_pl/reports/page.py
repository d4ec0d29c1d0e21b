"""One HTML page that needs no other file: images as data, no script, nothing loaded."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from cyclip_pl.reports.differences import Difference
from cyclip_pl.reports.galleries import Gallery
from cyclip_pl.reports.groups import Group
from cyclip_pl.reports.headline import Headline
from cyclip_pl.reports.runs import Run


@dataclass(frozen=True)
class Plot:
    """A plot on the page: `name` is that of its PNG file, `caption` says how to read it."""

    name: str
    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Examples:
    """Examples with images, one gallery per data set."""

    title: str
    caption: str
    galleries: Sequence[Gallery]


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes:
        runs: In the order of the tables' columns.
        seeds: Names of columns and rows of means over seeds, if there are several.
        paired: Differences from the first run.
        missing: Of what could not be shown, the title and what it takes.
    """

    runs: Sequence[Run]
    headline: Headline
    differences: Sequence[Difference]
    table: Sequence[Group]
    seeds: tuple[Sequence[str], Sequence[Group]] | None
    paired: Sequence[Group]
    plots: Sequence[Plot]
    examples: Sequence[Examples]
    missing: Sequence[tuple[str, str]]


def page(content: Page) -> str:
    """The whole document; plots of one title share a heading."""
    titles = dict.fromkeys(plot.title for plot in content.plots)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names come from strangers' folders
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = _breakable
    environment.filters["small"] = _small
    sections = [
        (title, [plot for plot in content.plots if plot.title == title]) for title in titles
    ]
    return environment.get_template("report.html.j2").render(
        content=content,
        names=", ".join(run.name for run in content.runs),
        sections=sections,
    )


def _breakable(text: str) -> Markup:
    """Escaped, with places where a line may break: names have other signs in place of spaces."""
    return Markup(re.sub(r"([_,/=.])", r"\1<wbr>", str(escape(text))))


def _small(png: bytes) -> str:
    """A data URI of the same pixels, which WebP stores in fewer bytes."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "WEBP", lossless=True, method=2)
    return f"data:image/webp;base64,{b64encode(out.getvalue()).decode('ascii')}"
