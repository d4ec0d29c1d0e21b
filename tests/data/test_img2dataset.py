"""What img2dataset writes is read as it is; tests/soak makes it again."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from cyclip_pl.data.inspect.__main__ import main
from tests.data.shards import epoch_of
from tests.helpers.img2dataset import check

STORED = Path(__file__).parent / "img2dataset"


def test_its_output_folder(tmp_path: Path) -> None:
    check(STORED, tmp_path)


def test_a_shard_that_it_was_killed_in(tmp_path: Path) -> None:
    """It has no stats yet; the samples up to there are counted and used."""
    folder = tmp_path / "shards"
    shutil.copytree(STORED, folder)
    (folder / "00001_stats.json").unlink()
    path = folder / "00001.tar"
    with tarfile.open(path) as archive:
        third_sample = archive.getmembers()[6].offset  # of three members each
    path.write_bytes(path.read_bytes()[:third_sample])
    batches = epoch_of(folder, batch_size=1)
    assert len(batches) == 5
    skipped = {cause: number for batch in batches for cause, number in batch.skipped.items()}
    assert skipped == {"cut shard of unknown size": 1}
    assert main([str(folder), "--strict"]) == 1


def test_more_than_its_stats_say_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(STORED, folder)
    shutil.copy(folder / "00000_stats.json", folder / "00001_stats.json")
    text = (folder / "00001_stats.json").read_text().replace('"successes": 3', '"successes": 2')
    (folder / "00001_stats.json").write_text(text)
    skipped = [batch.skipped for batch in epoch_of(folder, batch_size=1) if batch.skipped]
    assert skipped == [{"uncounted sample": 1}]
