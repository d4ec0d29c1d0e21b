"""Debian's clip art as training shards, with its loose texts as captions.

    apt-get download openclipart-png
    dpkg-deb -x openclipart-png_*.deb openclipart
    python experiments/transfer/clipart.py openclipart

writes `data/studies/clipart/train`, and a retrieval set of 500 images beside it, `captions`; with
`--side 224` larger images, below `data/studies/clipart_224`. The captions of an image are what it
says about itself, in PNG's text fields, and where it lies: its title, its description, the words of
its file's name, and its title with the names of its folders. Images of more than 20 megapixels are
left out (one has 168), and so are those without a title and all but the first five of a title:
hundreds are called "gramastar". What remains is made 64 pixels high or wide. The images are in the
public domain.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

OUTPUT = Path("data/studies/clipart")
MOST_PIXELS = 20_000_000
SIDE = 64
MOST_OF_A_TITLE = 5


def captions(path: Path, folder: Path, about: dict[str, str]) -> list[str]:
    """The texts of an image, without repeats; none if it has no title."""
    title = cleaned(about.get("Title", ""))
    if not title:
        return []
    name = cleaned(re.sub(r"\d+", " ", path.stem))
    keywords = " ".join(cleaned(part) for part in path.relative_to(folder).parts[:-1])
    found = [title, cleaned(about.get("Description", ""))[:200], name, f"{title}, {keywords}"]
    return list(dict.fromkeys(text for text in found if len(text) > 1))


def cleaned(text: str) -> str:
    """Words apart by single spaces."""
    return " ".join(re.sub(r"[_\-\s]+", " ", text).split())


def rows(folder: Path, small: Path, side: int = SIDE) -> Iterator[tuple[str, str]]:
    """(image, caption) of each caption; the images are written to `small` in their new size."""
    Image.MAX_IMAGE_PIXELS = None  # the size is known before a pixel is decoded
    titles: Counter[str] = Counter()
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        if path.is_symlink():  # the same image in another folder
            continue
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS or min(image.size) < 8:
                continue
            about = {k: v for k, v in image.info.items() if isinstance(v, str)}
            texts = captions(path, folder, about)
            titles.update(texts[:1])
            if texts and titles[texts[0]] <= MOST_OF_A_TITLE:
                shown = image.convert("RGBA")
                shown.thumbnail((2 * side, 2 * side))
                shown.save(small / f"{number}.png")
                yield from ((f"{number}.png", text) for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the folder that the package was unpacked to")
    parser.add_argument("--side", type=int, default=SIDE, help="in pixels")
    options = parser.parse_args()
    folder = options.package / "usr/share/openclipart/png"
    output = OUTPUT if options.side == SIDE else Path(f"{OUTPUT}_{options.side}")
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder: unpack openclipart-png, see --help")
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary) / "clipart.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("image", "caption"))
            writer.writerows(rows(folder, Path(temporary), options.side))
        prepare = "from cyclip_pl.data.prepare.__main__ import main; main()"
        settings = ["csv", "--csv", str(table), "--output", str(output)]
        settings += ["--holdout", "500", "--resize", str(options.side)]
        subprocess.run([sys.executable, "-c", prepare, *settings], check=True)


if __name__ == "__main__":
    main()
