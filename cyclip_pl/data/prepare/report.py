"""What a preparation says at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cyclip_pl.data.prepare.items import BadRow

BAD_ROWS = "bad_rows.csv"


@dataclass
class Report:
    """What was written and what was left out.

    Attributes:
        output: The folder.
        unit: What the numbers of bad rows count.
        parts: Samples per shard, by the part's folder inside `output`.
        captions: Of all training samples and caption sets.
        bad_rows: By number, with the reason.
        note: How the source was read.
    """

    output: Path
    unit: str
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    captions: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    note: str = ""

    @property
    def samples(self) -> dict[str, int]:
        """Samples by part."""
        return {folder: sum(sizes.values()) for folder, sizes in self.parts.items()}

    def __str__(self) -> str:
        listed = f" (listed in {self.output / BAD_ROWS})" if self.bad_rows else ""
        return "\n".join(
            [
                *(self._part(folder, list(sizes)) for folder, sizes in self.parts.items()),
                summary(self.bad_rows, self.unit) + listed,
                *([self.note] if self.note else []),
                *([f"next: {step}"] if (step := self.next_step()) else []),
            ]
        )

    def next_step(self) -> str:
        """The command that trains on the shards, or nothing if they are an evaluation set."""
        folder = next((folder for folder in (".", "train") if folder in self.parts), None)
        # What stands beside `test` is the training split of an evaluation set.
        if folder is None or "test" in self.parts:
            return ""
        words = ["cyclip-train data=webdataset", f"data.train.shards={self.output / folder}"]
        words.append("data.caption_key=captions")
        retrieval = '"evaluation=[retrieval]" callbacks.best.monitor=retrieval/text_to_image_r1'
        for name, more in (("classes", ""), ("captions", f" {retrieval}")):
            if f"{name}/test" in self.parts:
                words.append(f'"evaluation.datasets=[{self.output / name}]"{more}')
        return " ".join(words)

    def _part(self, folder: str, shards: list[str]) -> str:
        first, last = shards[0].removesuffix(".tar"), shards[-1].removesuffix(".tar")
        names = f"{first}.tar" if first == last else f"{{{first}..{last}}}.tar"
        captions = f", {self.captions} captions" if self.captions and len(self.parts) == 1 else ""
        return f"{self.samples[folder]} samples{captions} in {self.output / folder / names}"


def summary(bad_rows: list[BadRow], unit: str) -> str:
    """`12 bad rows (missing file 12), the first on line 2: missing file a.jpg`."""
    if not bad_rows:
        return "0 bad rows"
    kinds = Counter(row.reason.split(":")[0] for row in bad_rows)
    counts = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common(5))
    first = min(bad_rows)
    return (
        f"{len(bad_rows)} bad rows ({counts}), the first on {unit} {first.number}: "
        f"{first.reason} {first.image}".rstrip()
    )
