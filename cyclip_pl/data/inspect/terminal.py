"""A report on a terminal, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from cyclip_pl.console import new_table, show
from cyclip_pl.data.inspect.report import CONTEXT, QUANTILES
from cyclip_pl.data.inspect.sources import CLASSIFICATION

_WIDTH = 80
_TOLD = 10  # lost samples
_REASONS = 5
_NAMES = {
    "shard_bytes": "shard, bytes",
    "shard_samples": "shard, samples",
    "width": "width, pixels",
    "height": "height, pixels",
    "image_bytes": "image, bytes",
    "words": "caption, words",
    "tokens": "caption, tokens",
}


def print_report(told: Mapping[str, Any], console: Console) -> None:
    """Print the report of one part: the facts, the quantiles, and the first lost samples."""
    console.print(escape(told["name"]), style="bold", highlight=False, soft_wrap=True)
    facts = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(max_width=_WIDTH - 14)
    for name, text in _facts(told).items():
        facts.add_row(name, escape(text))
    console.print(facts)
    if told["quantiles"]:
        console.print()
        show(list(QUANTILES), lambda shown: _quantiles(told["quantiles"], shown), console)
    lost = told["lost_samples"]
    if lost:
        console.print("\nlost", style="bold")
    for one in lost[:_TOLD]:
        sample = f", sample {one['key']}" if one["key"] else ""
        detail = f": {one['detail']}" if one["detail"] else ""
        line = f"{one['shard']}{sample}: {one['cause']}{detail}"
        console.print(escape(line), highlight=False, soft_wrap=True)
    if len(lost) > _TOLD:
        console.print("… (--json FILE has more of them)")


def _quantiles(told: Mapping[str, Mapping[str, int]], shown: Sequence[str]) -> Table:
    table = new_table()
    table.add_column("")
    for name in shown:
        table.add_column(name, justify="right")
    for name, values in told.items():
        table.add_row(_NAMES[name], *(f"{values[quantile]:,}" for quantile in shown))
    return table


def _facts(told: Mapping[str, Any]) -> dict[str, str]:
    """The facts by their names, a line each."""
    size = "" if told["bytes"] is None else f", {decimal(told['bytes'])}"
    facts = {"shards": f"{told['shards']:,}{size}{_counts(told)}"}
    if told["samples_per_shard_read"]:
        facts["read"] = f"at most {told['samples_per_shard_read']:,} samples per shard"
    lost = sum(told["lost"].values())
    facts["samples"] = f"{told['samples']:,}" + (f", and {lost:,} lost" if lost else "")
    if lost:
        facts["lost"] = _in_words(told["lost"])
    if told["problems"]:
        facts["problems"] = "\n".join(told["problems"])
    if downloads := told["downloads"]:
        failed = sum(downloads["failed"].values())
        why = f": {_in_words(downloads['failed'])}" if failed else ""
        facts["downloads"] = f"{downloads['tried']:,} tried, {failed:,} failed{why}"
    if told["formats"]:
        facts["formats"] = _in_words(told["formats"])
    if told["kind"] == CLASSIFICATION:
        classes = told["classes"]
        each = f"{classes['least']:,} to {classes['greatest']:,} images each"
        empty = f", {classes['empty']:,} without any" if classes["empty"] else ""
        facts["classes"] = f"{classes['number']:,}, {each}{empty}"
    else:
        cut = f"{100 * told['cut_captions']:.1f} % are longer than {CONTEXT} tokens and get cut"
        facts["captions"] = f"{told['captions']:,}; {cut}"
    about = "" if told["repeated_is_exact"] else "about "
    repeated = (f"{number:,} {name}" for name, number in told["repeated"].items())
    facts["repeated"] = about + ", ".join(repeated)
    return facts


def _counts(told: Mapping[str, Any]) -> str:
    if told["kind"] != "training" or told["shards_with_a_count"] == told["shards"]:
        return ""
    missing = told["shards"] - told["shards_with_a_count"]
    return f"; nobody counted the samples of {missing:,}: sizes.json saves training a pass"


def _in_words(counts: Mapping[str, int]) -> str:
    """The largest counts with their names, and the sum of the others."""
    shown = [f"{name} {number:,}" for name, number in list(counts.items())[:_REASONS]]
    if others := sum(list(counts.values())[_REASONS:]):
        shown.append(f"others {others:,}")
    return ", ".join(shown)
