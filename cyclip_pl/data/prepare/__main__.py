"""The command `cyclip-prepare`, also `python -m cyclip_pl.data.prepare`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl import checks
from cyclip_pl.data.prepare.folder import what_is_left
from cyclip_pl.data.prepare.items import Source
from cyclip_pl.data.prepare.options import parser

Options = dict[str, Any]


def _emoji(options: Options) -> str:
    from cyclip_pl.data.prepare import emoji

    return f"emoji shards and zero-shot sets: {emoji.prepare(**options)}"


def _folder(options: Options) -> Source:
    from cyclip_pl.data.prepare.sources.columns import Columns
    from cyclip_pl.data.prepare.sources.folders import folder_source

    return folder_source(
        options["folder"],
        options["make"],
        Columns(caption=options["caption_key"]),
        options["classnames"],
        options["seed"],
    )


def _csv(options: Options) -> Source:
    from cyclip_pl.data.prepare.sources.csv_table import csv_source

    names = ("csv_path", "columns", "delimiter", "quoting", "image_root", "classnames", "seed")
    return csv_source(**{name: options[name] for name in names})


def _parquet(options: Options) -> Source:
    from cyclip_pl.data.prepare.sources.parquet import parquet_source

    names = ("columns", "image_root", "classnames", "seed")
    return parquet_source(options["parquet"], **{name: options[name] for name in names})


def _hf(options: Options) -> Source:
    from cyclip_pl.data.prepare.sources.hugging_face import HuggingFace

    names = ("dataset", "split", "config", "revision", "columns", "classnames", "seed")
    return HuggingFace(**{name: options[name] for name in names})


_SOURCES: dict[str, Callable[[Options], Source]] = {
    "folder": _folder,
    "csv": _csv,
    "parquet": _parquet,
    "hf": _hf,
}


def _prepare(command: str, options: Options) -> str:
    from cyclip_pl.data.prepare.core import prepare
    from cyclip_pl.data.prepare.plan import Plan
    from cyclip_pl.data.prepare.sources.columns import Columns

    plan = Plan(
        **{
            name: options[name]
            for name in ("make", "shard_size", "holdout", "train_share", "templates", "seed")
        }
    )
    if options["classnames"] is not None:
        options["classnames"] = Path(options["classnames"])
    if "image_key" in options:
        label = options["label_key"]
        if label is None and options["make"] == "classification":
            label = "label"
        options["columns"] = Columns(options["image_key"], options["caption_key"], label)
    source = _SOURCES[command](options)
    output = options["output"]
    report = prepare(source, output, plan, options["resize"], options["workers"], options["force"])
    return f"{output}: already prepared" if report is None else str(report)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = vars(parser().parse_args(argv))
    command = options.pop("command")
    try:
        if options["workers"] is not None:
            checks.whole("--workers", options["workers"])
        print(_emoji(options) if command == "emoji" else _prepare(command, options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; {what_is_left(Path(options['output']))}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
