from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import webdataset

from cyclip_pl.data.shard_reader import BrokenShard, ShardReader
from cyclip_pl.evaluation.sets.tar_index import samples
from tests.helpers.evaluation_sets import write_tar

FILES = [
    ("a/one.png", b"1"),
    ("a/one.cls", b"22"),
    ("__meta__/a.json", b"{}"),
    ("b/one.PNG", b"333"),
    ("b/one.seg.cls", b""),
    ("README", b"no suffix"),
    (".hidden", b"no key"),
    ("two.png", b"4"),
    ("a/one.png", b"the key again, later: another sample"),
    ("x" * 150 + ".png", b"a long name"),
]


def test_groups_and_places_are_those_of_webdataset(tmp_path: Path) -> None:
    shard = tmp_path / "0.tar"
    write_tar(shard, FILES)
    with tarfile.open(shard, "a") as tar:
        tar.addfile(tarfile.TarInfo("folder.png/"))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    data = shard.read_bytes()
    ours = [
        (s.key, {suffix: data[m.offset : m.offset + m.size] for suffix, m in s.members.items()})
        for s in samples(shard)
    ]
    theirs = [
        (s["__key__"], {suffix: data for suffix, data in s.items() if not suffix.startswith("__")})
        for s in webdataset.WebDataset(str(shard), shardshuffle=False)
    ]
    assert ours == theirs
    assert len(ours) == 5


def _damaged(kind: str, data: bytes) -> bytes:
    if kind == "cut in an image":
        return data[: 512 + 100]
    if kind == "cut in a header":
        return data[: 1024 + 100]
    if kind == "cut between members":
        return data[:1024]
    if kind == "a spoilt header in the middle":
        return data[:1024] + b"\xff" * 512 + data[1536:]
    if kind == "a negative size":
        header = bytearray(data[1024:1536])
        header[124:136] = b"\xff" * 10 + (-1024 % 2**16).to_bytes(2, "big")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return data[:1024] + bytes(header) + data[1536:]
    return {"empty": b"", "no tar": b"no tar at all" * 100}[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "cut in an image",
        "cut in a header",
        "cut between members",
        "a spoilt header in the middle",
        "a negative size",
        "empty",
        "no tar",
    ],
)
def test_a_damaged_shard_is_an_error_and_never_a_shorter_set(tmp_path: Path, kind: str) -> None:
    shard = tmp_path / "3.tar"
    write_tar(shard, [("a.png", b"x" * 400), ("a.cls", b"1"), ("b.png", b"x"), ("b.cls", b"1")])
    shard.write_bytes(_damaged(kind, shard.read_bytes()))
    with pytest.raises(ValueError, match=r"3\.tar is not a readable tar: ") as evaluation:
        list(samples(shard))
    with pytest.raises(BrokenShard) as training:
        list(ShardReader(("cls",))(str(shard), ""))
    assert str(evaluation.value).endswith(f" a readable tar: {training.value}")


def test_a_repeated_member_and_a_missing_shard_are_errors(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.png", b"1"), ("a.PNG", b"2")])
    with pytest.raises(ValueError, match=r"0\.tar .*a\.PNG twice"):
        list(samples(tmp_path / "0.tar"))
    with pytest.raises(ValueError, match=r"1\.tar is missing"):
        list(samples(tmp_path / "1.tar"))


def test_a_sparse_member_is_passed_over(tmp_path: Path) -> None:
    # Its bytes in the shard are not those of the file.
    info = tarfile.TarInfo("a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    rest = io.BytesIO()
    with tarfile.open(fileobj=rest, mode="w") as tar:
        info = tarfile.TarInfo("b.png")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"1"))
    shard = tmp_path / "0.tar"
    shard.write_bytes(bytes(block) + rest.getvalue())
    assert [sample.key for sample in samples(shard)] == ["b"]
