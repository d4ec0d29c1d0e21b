"""From what a user types to plain tars on this machine."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from cyclip_pl.search.shards import find_shards
from tests.helpers.http_server import serving


def test_folders_braces_wildcards_and_lists(world: Path, tmp_path: Path) -> None:
    paths = sorted((world / "train").glob("*.tar"))
    first = paths[0].stem
    numbers = f"{{{first}..{paths[-1].stem}}}"
    for specs in (
        [f"{world}/train"],
        [f"{world}/train/{numbers}.tar"],
        [f"{world}/train/*.tar"],
        [str(path) for path in paths],
    ):
        found = find_shards(specs, tmp_path)
        assert [shard.path for shard in found] == paths
        assert all(shard.stamp[0] == shard.path.stat().st_size for shard in found)
    assert not list(tmp_path.iterdir())  # plain local tars are read where they are


def test_an_evaluation_set_is_its_test_split(world: Path, tmp_path: Path) -> None:
    found = find_shards([f"{world}/shapes"], tmp_path)
    assert {shard.path.parent for shard in found} == {world / "shapes" / "test"}
    train = find_shards([f"{world}/shapes/train"], tmp_path)
    assert {shard.path.parent for shard in train} == {world / "shapes" / "train"}


def test_what_cannot_be_read_alone_is_copied_once(world: Path, tmp_path: Path) -> None:
    plain = sorted((world / "train").glob("*.tar"))[0]
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "a.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (folder / "b.tar").write_bytes(plain.read_bytes())
    with serving(folder) as server:
        specs = [f"{folder}/a.tar.gz", f"{server.url}/b.tar"]
        found = find_shards(specs, tmp_path / "copies")
        assert [shard.path.read_bytes() for shard in found] == [plain.read_bytes()] * 2
        assert [shard.name for shard in found] == specs
    # The server is not asked again.
    assert find_shards(specs, tmp_path / "copies") == found
    assert len(list((tmp_path / "copies").iterdir())) == 2
    # A local file that has changed is copied again.
    (folder / "a.tar.gz").write_bytes(gzip.compress(b"x"))
    os.utime(folder / "a.tar.gz", ns=(1, 1))
    assert find_shards(specs[:1], tmp_path / "copies")[0].path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("/nowhere", "shards: '/nowhere' does not exist"),
        ("/nowhere/*.tar", "shards: no file matches"),
        ("pipe:touch {folder}/ran", "the search runs no commands"),
        ("{folder}", "holds no .tar file"),
        ("nothing://x/a.tar", "shards: cannot open"),
        ("{folder}/cut.gz", "cannot be read"),
    ],
)
def test_what_is_refused(spec: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(bytes(range(256)) * 99)[:90])
    with pytest.raises(ValueError, match=told) as caught:
        find_shards([spec.format(folder=tmp_path)], tmp_path / "copies")
    assert str(caught.value).startswith("shards") and "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("copies/*"))


def test_a_shard_that_is_named_twice(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shards: .* is named twice"):
        find_shards([f"{world}/train", f"{world}/train"], tmp_path)
