"""A CSV or TSV of image paths and captions, or labels."""

from __future__ import annotations

from pathlib import Path

from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.indexed import Indexed
from cyclip_pl.data.prepare.sources.pair_table import (
    digest,
    find_delimiter,
    read_rows,
    resolve_quoting,
)


def csv_source(
    csv_path: str | Path,
    columns: Columns | None = None,
    delimiter: str = "auto",
    quoting: str = "auto",
    image_root: str | Path | None = None,
    classnames: Path | None = None,
    seed: int = 0,
) -> Indexed:
    """The images of a table with a header; rows with the same path are one image.

    Args:
        csv_path: The table, UTF-8.
        columns: Its columns.
        delimiter: A name in `DELIMITERS`, one character, or `auto`.
        quoting: `csv`, `text` or `auto`, see `cyclip_pl.tables`.
        image_root: The folder of relative paths; None for the table's.
        classnames: A file with names of the classes, see `class_names`.
        seed: Of the order.

    Raises:
        ValueError: The table or a column is missing, or it can be read in two ways; one line.
    """
    csv_path, columns = Path(csv_path), columns or Columns()
    if not csv_path.is_file():
        raise ValueError(f"--csv {csv_path}: no such file")
    root = Path(image_root) if image_root is not None else csv_path.parent
    if not root.is_dir():
        raise ValueError(f"--image-root {root}: no such folder")
    delimiter = find_delimiter(csv_path, delimiter, columns)
    quoting, note = resolve_quoting(csv_path, delimiter, quoting, columns.image, root)
    settings = {
        "table_sha256": digest(csv_path),
        **columns.settings,
        "delimiter": delimiter,
        "quoting": quoting,
    }
    rows = read_rows(csv_path, delimiter, quoting, columns)
    return Indexed(
        "csv", "line", settings, rows, root, seed, columns.labelled, classnames, note=note
    )
