"""What earlier starts have kept in the cache: the listing of the same shards."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cyclip_pl.remote_files import local_path
from cyclip_pl.search.listing import Listing, make_listing, read_listing, write_listing
from cyclip_pl.search.shards import find_shards


def listing_folder(
    specs: Sequence[str], cache: Path, caption_key: str | None = None, limit: int | None = None
) -> Path:
    """The folder in `cache` for what these settings name, wherever they are typed."""
    paths = [(spec, local_path(spec)) for spec in specs]
    places = [spec if path is None else os.path.abspath(path) for spec, path in paths]
    mark = repr((places, caption_key, limit))
    return cache / hashlib.sha256(mark.encode()).hexdigest()[:24]


def open_listing(
    specs: Sequence[str], folder: Path, caption_key: str | None = None, limit: int | None = None
) -> Listing:
    """The listing that `folder` keeps, or a new one if the shards have changed since.

    Embeddings of the shards as they were are removed, and a line says so.

    Raises:
        ValueError: One line, see `find_shards` and `make_listing`.
    """
    shards = find_shards(specs, folder.parent / "shards")
    path = folder / "listing.npz"
    listing = read_listing(path, shards)
    if listing is None:
        listing = make_listing(shards, caption_key, limit)
        if path.is_file():
            print("the shards have changed: the index is built again", flush=True)
        for old in [entry for entry in folder.glob("*") if entry.is_dir()]:
            shutil.rmtree(old, ignore_errors=True)
        write_listing(path, listing)
    return listing
