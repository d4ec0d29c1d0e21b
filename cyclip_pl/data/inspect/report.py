"""Findings of a part → plain containers, for JSON and for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cyclip_pl.console import plain
from cyclip_pl.data.inspect.findings import DISTRIBUTIONS, Total
from cyclip_pl.data.inspect.sources import CLASSIFICATION, Part
from cyclip_pl.data.shard_sizes import is_count, read_stats
from cyclip_pl.data.urls import size_in_bytes
from cyclip_pl.remote_files import local_path

CONTEXT = 77  # tokens that CLIP's text encoders take
QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "greatest": 1.0}


def report(part: Part, total: Total, counted: Iterable[bool], limit: int | None) -> dict[str, Any]:
    """All about one part.

    Args:
        part: The shards.
        total: What they hold.
        counted: For each shard, whether a file beside it says how many samples it holds.
        limit: Samples that were read of each shard; None: all.
    """
    counted = list(counted)
    told: dict[str, Any] = {
        "name": plain(part.name),
        "kind": part.kind,
        "shards": len(part.urls),
        "bytes": size_in_bytes(part.urls),
        "shards_with_a_count": sum(counted),
        "samples_per_shard_read": limit,
        "samples": total.samples,
        "lost": dict(total.lost.most_common()),
        "problems": [plain(problem) for problem in part.problems],
        "downloads": _downloads(part),
        "formats": dict(total.formats.most_common()),
        "captions": total.captions,
        "cut_captions": total.distributions["tokens"].share_above(CONTEXT),
        "repeated": {name: some.count() for name, some in total.repeats.items()},
        "repeated_is_exact": all(some.exact for some in total.repeats.values()),
        "quantiles": {
            name: dict(zip(QUANTILES, values, strict=True))
            for name in DISTRIBUTIONS
            if (values := total.distributions[name].quantiles(*QUANTILES.values()))
        },
        "lost_samples": [
            {name: plain(v) if isinstance(v, str) else v for name, v in lost._asdict().items()}
            for lost in total.told
        ],
    }
    if part.kind == CLASSIFICATION:
        counts = [total.labels[label] for label in range(len(part.classes))]
        told["classes"] = {
            "number": len(part.classes),
            "empty": counts.count(0),
            "least": min(counts, default=0),
            "greatest": max(counts, default=0),
        }
    return told


def is_broken(told: dict[str, Any]) -> bool:
    """Whether a training would lose samples of this part, or an evaluation refuse it."""
    return bool(told["lost"] or told["problems"])


def _downloads(part: Part) -> dict[str, Any] | None:
    """What img2dataset says about its own downloads; None if it says nothing."""
    tried, failed, shards = 0, Counter[str](), 0
    for url in part.urls:
        path = local_path(url)
        stats = read_stats(path) if path is not None else {}
        count, successes = stats.get("count"), stats.get("successes")
        if not (is_count(count) and is_count(successes)):
            continue
        shards, tried = shards + 1, tried + count
        statuses = stats.get("status_dict")
        known = {
            plain(status)[:200]: number
            for status, number in (statuses.items() if isinstance(statuses, dict) else ())
            if status != "success" and is_count(number)
        }
        failed.update(known)
        # Of many reasons it keeps the most frequent ones.
        if (others := count - successes - sum(known.values())) > 0:
            failed["other reasons"] += others
    if not shards:
        return None
    return {"shards": shards, "tried": tried, "failed": dict(failed.most_common())}
