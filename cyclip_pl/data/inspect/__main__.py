"""`cyclip-inspect SHARDS…`: what shards hold, before a training reads them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import progress
from rich.console import Console

from cyclip_pl import __version__, checks
from cyclip_pl.console import plain
from cyclip_pl.files import atomic


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    top = argparse.ArgumentParser(
        prog="cyclip-inspect",
        description="Say what shards hold, as training or an evaluation would read them: samples, "
        "lost samples by cause, sizes, captions and repetitions.",
        epilog="Exit status: 0; 1 if it could not look, and with --strict if samples are lost or "
        "an evaluation would refuse the set. Example: cyclip-inspect /data/cc3m --limit 2000 "
        "--contact-sheet cc3m.png",
    )
    add = top.add_argument
    add(
        "shards",
        nargs="+",
        metavar="SHARDS",
        help="a folder, wildcards, a brace list or URLs, as data.train.shards; or the folder of an "
        "evaluation set",
    )
    add("--caption-key", metavar="KEY", help="key of the json members, as data.caption_key")
    add("--limit", type=int, metavar="N", help="read about N samples, some of each shard")
    add("--contact-sheet", metavar="FILE", help="write a PNG of images with their captions")
    add("--images", type=int, default=40, metavar="N", help="images on the contact sheet; 40")
    add("--seed", type=int, default=0, metavar="N", help="of their choice; 0")
    add("--json", metavar="FILE", help="write everything, and up to 1,000 lost samples, as JSON")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes; one per core, one for small sets",
    )
    add("--strict", action="store_true", help="exit with 1 if something is lost or refused")
    add("--allow-pipe", action="store_true", help="SHARDS may be commands, pipe:COMMAND")
    add("--version", action="version", version=f"cyclip-pl {__version__}")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(argv)
    try:
        checks.whole("--images", options.images)
        checks.whole("--limit", options.limit, optional=True)
        checks.whole("--workers", options.workers, optional=True)
        return _inspect(options)
    except (ValueError, OSError) as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _inspect(options: argparse.Namespace) -> int:
    # Here, so that --help does not wait for them.
    from cyclip_pl.data.inspect.contact_sheet import write_contact_sheet
    from cyclip_pl.data.inspect.findings import Total
    from cyclip_pl.data.inspect.plan import jobs_of
    from cyclip_pl.data.inspect.report import is_broken, report
    from cyclip_pl.data.inspect.run import looked_at, workers_for
    from cyclip_pl.data.inspect.sources import parts
    from cyclip_pl.data.inspect.terminal import print_report

    found = parts(options.shards, options.allow_pipe)
    shown = options.images if options.contact_sheet else 0
    jobs = jobs_of(found, options.caption_key, options.limit, shown, options.seed)
    totals = [Total(shown) for _ in found]
    with _bar() as bar:
        task = bar.add_task("", total=len(jobs), samples=0)
        for job, findings in looked_at(jobs, options.workers or workers_for(jobs)):
            totals[job.part].add(job.number, findings)
            bar.update(task, advance=1, samples=sum(total.samples for total in totals))
    told: list[dict[str, Any]] = []
    for index, (part, total) in enumerate(zip(found, totals, strict=True)):
        mine = [job for job in jobs if job.part == index]
        limit = mine[0].look.limit if mine else None
        told.append(report(part, total, (job.counted is not None for job in mine), limit))
    console = Console()
    for number, one in enumerate(told):
        if number:
            console.print()
        print_report(one, console)
    if options.json:
        text = json.dumps({"version": __version__, "parts": told}, indent=1, ensure_ascii=False)
        with atomic(Path(options.json)) as partial:
            partial.write_text(text + "\n", encoding="utf-8", errors="replace")
    if options.contact_sheet:
        everything = sorted(one for total in totals for one in total.shown)[: options.images]
        if not everything:
            raise ValueError(f"--contact-sheet {options.contact_sheet}: there is no image to show")
        write_contact_sheet(Path(options.contact_sheet), everything)
    return int(options.strict and any(map(is_broken, told)))


def _bar() -> progress.Progress:
    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("shards"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[samples]:,} samples"),
        console=console,
        disable=not console.is_terminal,
    )


if __name__ == "__main__":
    sys.exit(main())
