"""How many samples each shard holds."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, TypeGuard

from cyclip_pl.data.sample_names import NameCheck, has_image
from cyclip_pl.files import reason
from cyclip_pl.remote_files import local_path
from cyclip_pl.tar_members import UNREADABLE, BrokenTar, members, unpacked
from cyclip_pl.tar_samples import samples

logger = logging.getLogger(__name__)


class Size(NamedTuple):
    """How many samples a shard holds; None: unknown, it is not local.

    Attributes:
        broken: If it cannot be read to its end: the cause and the reason; more samples may be lost.
        advice: What to do about names that tear its samples apart; only if it was counted here.
    """

    samples: int | None
    broken: tuple[str, str] | None = None
    advice: str | None = None


def shard_sizes(urls: Sequence[str]) -> list[Size]:
    """Sizes of local shards.

    They come from a `sizes.json` beside the shards ({"00000.tar": 1000, ...}), from img2dataset's
    `00000_stats.json`, or from the headers of the tar, in this order.

    Raises:
        ValueError: A `sizes.json` is not such a table.
    """
    listed = cache(listed_sizes)  # read once per folder
    sizes: dict[str, Size] = {}
    todo: dict[str, str] = {}
    for url in urls:
        path = local_path(url)
        if path is None:
            sizes[url] = Size(None)
            continue
        known = listed(os.path.dirname(path)).get(os.path.basename(path))
        if known is None and (known := _from_stats(path)) is None:
            todo[url] = path
        else:
            sizes[url] = Size(known)
    if todo:
        logger.info(
            "counting the samples of %d shards (a sizes.json beside them saves the time)", len(todo)
        )
        with ThreadPoolExecutor(8) as pool:  # mostly waiting for disks
            sizes.update(zip(todo, pool.map(_scanned, todo.values()), strict=True))
    return [sizes[url] for url in urls]


def listed_sizes(folder: str) -> dict[str, int]:
    """Samples by shard of a folder's `sizes.json`; empty if there is none.

    Raises:
        ValueError: It is not such a table.
    """
    path = os.path.join(folder, "sizes.json")
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(table, dict) or not all(is_count(value) for value in table.values()):
        raise ValueError(f'{path}: expected counts by file name, {{"00000.tar": 1000, ...}}')
    return table


def read_stats(path: str) -> dict[str, Any]:
    """img2dataset's `00000_stats.json` beside the shard at `path`; empty if there is none."""
    try:
        with open(f"{os.path.splitext(path)[0]}_stats.json", encoding="utf-8") as file:
            stats = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return stats if isinstance(stats, dict) else {}


def _from_stats(path: str) -> int | None:
    count = read_stats(path).get("successes")
    return count if is_count(count) else None


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value of a stranger's JSON counts something."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _scanned(path: str) -> Size:
    read, check, advice = 0, NameCheck(), None
    broken = None
    try:
        with open(path, "rb") as file:
            for sample in samples(members(unpacked(file))):
                read += not sample.partial
                if not has_image(sample) or len(sample.members) == 1:
                    advice = advice or check(sample)
    except BrokenTar as error:
        broken = error.cause, error.after(read)
    except OSError as error:
        broken = UNREADABLE, error.strerror or reason(error)
    return Size(read, broken, advice and advice[1])
