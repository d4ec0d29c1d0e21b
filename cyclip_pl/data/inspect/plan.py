"""Which shards to look at, and how far into each."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache

from cyclip_pl.data.inspect.run import Job
from cyclip_pl.data.inspect.shard import Look
from cyclip_pl.data.inspect.sources import TRAINING, Part
from cyclip_pl.data.shard_sizes import is_count, listed_sizes, read_stats
from cyclip_pl.remote_files import local_path


def jobs_of(
    parts: Sequence[Part], caption_key: str | None, limit: int | None, shown: int, seed: int
) -> list[Job]:
    """The shards of all parts; with a limit, as many samples of each, or shards far apart.

    Raises:
        ValueError: A `sizes.json` is not a table of sizes.
    """
    jobs = []
    shards = sum(len(part.urls) for part in parts)
    step = 1 if limit is None else max(1, shards // limit)
    listed = cache(listed_sizes)  # read once per folder

    def counted(url: str) -> int | None:
        if (path := local_path(url)) is None:
            return None
        known = listed(os.path.dirname(path)).get(os.path.basename(path))
        successes = read_stats(path).get("successes")
        return successes if known is None and is_count(successes) else known

    for index, part in enumerate(parts):
        urls = part.urls[::step]
        each = None if limit is None else max(1, math.ceil(limit * step / shards))
        look = Look(part.kind, part.classes, caption_key, each, shown, seed)
        for number, url in enumerate(urls):
            jobs.append(
                Job(index, number, url, counted(url) if part.kind == TRAINING else None, look)
            )
    return jobs
