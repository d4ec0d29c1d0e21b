import json
import tarfile
from pathlib import Path

import pytest
from webdataset.tariterators import tarfile_samples

from cyclip_pl.data.shard_sizes import Size, shard_sizes
from cyclip_pl.tar_members import CUT, UNREADABLE
from tests.data.shards import sample, write_shards, write_tar
from tests.helpers.tars import tar


def urls(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.tar"))]


def test_headers_are_counted(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 0, 5])
    assert shard_sizes(urls(tmp_path)) == [Size(3), Size(0), Size(5)]


def test_sizes_json_is_believed(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 5])
    (tmp_path / "sizes.json").write_text(json.dumps({"00000.tar": 7}))
    assert shard_sizes(urls(tmp_path)) == [Size(7), Size(5)]


def test_img2dataset_stats_are_believed(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 5])
    (tmp_path / "00001_stats.json").write_text(json.dumps({"count": 10, "successes": 9}))
    (tmp_path / "00000_stats.json").write_text("{")
    assert shard_sizes(urls(tmp_path)) == [Size(3), Size(9)]


@pytest.mark.parametrize("text", ["{", "[1]", '{"00000.tar": "3"}', '{"00000.tar": -1}'])
def test_a_malformed_table_is_named(tmp_path: Path, text: str) -> None:
    write_shards(tmp_path, [3])
    (tmp_path / "sizes.json").write_text(text)
    with pytest.raises(ValueError, match="sizes.json"):
        shard_sizes(urls(tmp_path))


def test_what_is_not_local_is_unknown() -> None:
    assert shard_sizes(["pipe:cat x.tar", "http://host/x.tar"]) == [Size(None), Size(None)]


def test_file_urls_are_local(tmp_path: Path) -> None:
    write_shards(tmp_path, [3])
    assert shard_sizes([f"file:{tmp_path}/00000.tar"]) == [Size(3)]


def test_an_unreadable_shard_has_no_samples_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"nothing" * 1000)
    (size,) = shard_sizes([str(tmp_path / "x.tar")])
    assert size.samples == 0 and size.broken is not None and size.broken[0] == UNREADABLE


def test_a_cut_shard_counts_its_whole_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(6)})
    path.write_bytes(path.read_bytes()[: 512 * 10])  # two blocks a member, two members a sample
    text = "cut at byte 5120: no end mark after the last member, after 2 samples"
    assert shard_sizes([str(path)]) == [Size(2, (CUT, text))]


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ("0.jpg 1.jpg 0.txt 1.txt", "tar --sort=name"),
        ("x.0.jpg x.0.txt x.1.jpg x.1.txt", "first dot: rename 'x.0.jpg' to 'x_0.jpg'"),
        ("0.jpg 0.txt 1.jpg 1.txt", None),
    ],
)
def test_advice_about_names(tmp_path: Path, names: str, advice: str | None) -> None:
    (tmp_path / "x.tar").write_bytes(tar((name, b"") for name in names.split()))
    (size,) = shard_sizes([str(tmp_path / "x.tar")])
    assert size.advice is None if advice is None else advice in (size.advice or "")


def test_the_count_is_that_of_webdataset(tmp_path: Path) -> None:
    names = "a.jpg a.txt b.seg.png b.txt a.json d/x.jpg d/x.txt e/x.jpg nodot __m__.jpg __a__/c.txt"
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in names.split():
            archive.addfile(tarfile.TarInfo(name))
    expected = len(list(tarfile_samples([{"url": str(path)}])))
    assert expected == shard_sizes([str(path)])[0].samples == 6
