"""The demo's training shards with a share of the captions given to other images.

    python experiments/noise/shards.py

writes `data/studies/shuffled_10`, `shuffled_30` and `shuffled_50`: in each that percentage of the
samples, drawn at random, exchange their captions among themselves in a circle, so that none of them
keeps its own. Images, shards and order stay. What is there already is left as it is.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from cyclip_pl import files
from cyclip_pl.data.prepare.shards import json_bytes, order, write_training_shards

SOURCE, OUTPUT = Path("data/emoji/train"), Path("data/studies")
SHARES = (10, 30, 50)
Sample = dict[str, bytes]


def read(folder: Path) -> dict[str, Sample]:
    """The samples of all shards: members by extension."""
    samples: dict[str, Sample] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                samples.setdefault(key, {})[extension] = file.read()
    return samples


def shuffled(samples: dict[str, Sample], percent: int) -> dict[str, Sample]:
    """The samples, of which `percent` have another's captions."""
    changed = order(samples, f"shuffled/{percent}")[: round(len(samples) * percent / 100)]
    found = {key: dict(members) for key, members in samples.items()}
    for key, giver in zip(changed, changed[1:] + changed[:1], strict=True):
        about, of_giver = (json.loads(samples[one]["json"]) for one in (key, giver))
        found[key]["json"] = json_bytes({**about, "captions": of_giver["captions"]})
        found[key]["txt"] = samples[giver]["txt"]
    return found


def main() -> None:
    samples = read(SOURCE)
    for percent in SHARES:
        folder = OUTPUT / f"shuffled_{percent}"
        if not folder.exists():
            with files.atomic_folder(folder) as partial:
                write_training_shards(partial / "train", shuffled(samples, percent), 16, "shuffled")
        print(folder)


if __name__ == "__main__":
    main()
