"""`python -m cyclip_pl.reports compare RUN…`: the command that makes reports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cyclip_pl.reports.run_files import plain


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    top = argparse.ArgumentParser(
        prog="python -m cyclip_pl.reports", description="Make reports of finished runs."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="compare")
    comparison = commands.add_parser(
        "compare",
        help="a table, plots and a page of several runs",
        description="Compare the metrics of runs: one table (also as CSV and Markdown), plots, and "
        "one HTML page that needs no other file. Histograms, PCA and baselines come from details/, "
        "which eval.py writes.",
    )
    comparison.add_argument("runs", nargs="+", metavar="RUN", help="a folder with metrics.json")
    comparison.add_argument(
        "--output", default="runs/report", metavar="FOLDER", help="where to write; runs/report"
    )
    comparison.add_argument(
        "--names", metavar="A,B,…", help="names for the runs; by default those of their folders"
    )
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

        compare([Path(run) for run in arguments.runs], Path(arguments.output), names)
    except (ValueError, OSError) as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
