"""Names of members in a shard: which sample a member belongs to, and which part of it it is."""

from __future__ import annotations

import re

from webdataset.tariterators import base_plus_ext, meta_prefix, meta_suffix

_META = re.compile(r"__[^/]*__($|/)")


def key_and_extension(name: str) -> tuple[str, str] | None:
    """`a/b.seg.png` → `a/b`, `seg.png`; None for metadata and names without an extension.

    As in WebDataset: members in a row with one key are a sample.
    """
    if _META.match(name) or (name.startswith(meta_prefix) and name.endswith(meta_suffix)):
        return None
    key, extension = base_plus_ext(name)
    return None if key is None else (key, extension)
