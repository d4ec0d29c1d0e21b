"""`cyclip-report RUN_OR_SWEEP…`, or `python -m cyclip_pl.reports`: reports of finished runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cyclip_pl import __version__
from cyclip_pl.reports.run_files import plain

_EXAMPLES = """examples:
  cyclip-report runs/clip runs/cyclip --names CLIP,CyCLIP
  cyclip-report runs/sweep_2026-11-26_12-00-00 --best zero_shot/acc1
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    top = argparse.ArgumentParser(
        prog="cyclip-report",
        description="Compare the metrics of runs: one table (also as CSV and Markdown), plots, and "
        "one HTML page that needs no other file. It reads files of run folders, and no model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "runs",
        nargs="+",
        metavar="RUN_OR_SWEEP",
        help="a folder with metrics.json, or a folder of such folders",
    )
    top.add_argument(
        "--output", default="runs/report", metavar="DIR", help="where to write; runs/report"
    )
    top.add_argument(
        "--names",
        metavar="A,B,…",
        help="names for the runs; by default those of their folders, and in a sweep what differs",
    )
    top.add_argument(
        "--best",
        metavar="METRIC",
        help="what the best run is the best by: zero_shot/acc1, or SET/zero_shot/acc1",
    )
    top.add_argument("--version", action="version", version=f"cyclip-pl {__version__}")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if it failed."""
    arguments = parser().parse_args(argv)
    names = None if arguments.names is None else arguments.names.split(",")
    try:
        for package in ("matplotlib", "jinja2"):
            if find_spec(package) is None:
                raise ValueError(f"reports need {package}: pip install 'cyclip-pl[reports]'")
        # After the check: it imports both.
        from cyclip_pl.reports.compare import compare

        folders = [Path(run) for run in arguments.runs]
        compare(folders, Path(arguments.output), names, arguments.best)
    except (ValueError, OSError) as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
