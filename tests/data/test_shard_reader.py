from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from webdataset.tariterators import tarfile_samples

from cyclip_pl import http_file
from cyclip_pl.data.sample_names import APART, DOTS
from cyclip_pl.data.shard_reader import BrokenShard, RawSample, ShardReader
from cyclip_pl.tar_members import CUT
from tests.data.shards import png, sample, write_shards, write_tar
from tests.helpers.http_server import serving
from tests.helpers.tars import tar


def read(url: str | Path) -> list[RawSample]:
    return list(ShardReader(("txt",))(str(url), "0"))


def test_it_gives_what_webdataset_gives(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [6])
    expected = list(tarfile_samples([{"url": str(folder / "00000.tar")}]))
    found = read(folder / "00000.tar")
    assert [s.name for s in found] == [f"00000.tar/{s['__key__']}" for s in expected]
    assert [s.image for s in found] == [s["png"] for s in expected]
    assert [s.texts for s in found] == [{"txt": s["txt"]} for s in expected]
    assert found[0].members == ("png", "txt") and found[0].draw == "0"


def test_captions_of_json_and_other_image_members(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"k": {"JPEG": b"j", "txt": b"t", "json": b"{}"}})
    (found,) = ShardReader(("json",))(str(tmp_path / "x.tar"), "0")
    assert (found.image, found.texts) == (b"j", {"json": b"{}"})
    assert found.members == ("jpeg", "txt", "json")


def test_absent_members_are_none(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"a": {"cls": b"1"}})
    (found,) = read(tmp_path / "x.tar")
    assert found.image is None and found.texts == {} and found.members == ("cls",)


def test_pipes_files_and_compression(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [3])
    plain = read(folder / "00000.tar")
    packed = write_tar(
        tmp_path / "gz" / "00000.tar", {f"{i:06d}": sample(i) for i in range(3)}, "w:gz"
    )
    for url in (f"pipe:cat {folder}/00000.tar", f"file:{folder}/00000.tar", packed):
        assert [s.image for s in read(url)] == [s.image for s in plain]


def test_http(tmp_path: Path) -> None:
    write_shards(tmp_path, [3])
    with serving(tmp_path) as server:
        assert len(read(f"{server.url}/00000.tar")) == 3
        with pytest.raises(BrokenShard, match="^the server answered 404"):
            read(f"{server.url}/00009.tar")
        server.status["/00000.tar"] = [403]
        with pytest.raises(BrokenShard, match="^the server answered 403 Forbidden$"):
            read(f"{server.url}/00000.tar")


def test_a_stalled_server_is_a_broken_shard(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(http_file, "TIMEOUT", 0.2)
    with serving(tmp_path) as server:
        server.stalled.append("/0.tar")
        with pytest.raises(BrokenShard, match="^timed out: no data for"):
            read(f"{server.url}/0.tar")


def test_a_shard_left_early_over_http(tmp_path: Path) -> None:
    write_shards(tmp_path, [50])
    with serving(tmp_path) as server:
        stream = ShardReader(("txt",))(f"{server.url}/00000.tar", "0")
        next(stream)
        stream.close()


def test_a_cut_shard_gives_what_is_whole(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(6)})
    path.write_bytes(path.read_bytes()[: 512 * 11])  # within the third sample's caption
    found = []
    with pytest.raises(BrokenShard, match="^cut at byte 5632, inside 2.txt, after 2 samples$"):
        for item in ShardReader(("txt",))(str(path), "0"):
            found.append(item)
    assert [s.name for s in found] == ["x.tar/0", "x.tar/1"]


@pytest.mark.parametrize("data", [b"", b"text" * 1000])
def test_not_a_tar(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(BrokenShard):
        read(tmp_path / "x.tar")


def test_a_shard_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BrokenShard, match="No such file"):
        read(tmp_path / "x.tar")


def test_a_failing_command(tmp_path: Path) -> None:
    with pytest.raises(BrokenShard, match=r"it is empty \(the command ended with status 3\)"):
        read("pipe:exit 3")
    write_shards(tmp_path, [3])
    assert len(read(f"pipe:cat {tmp_path}/00000.tar; exit 3")) == 3


def test_a_command_left_early_is_ended(tmp_path: Path) -> None:
    write_shards(tmp_path, [50])
    command = f"echo $$ > {tmp_path}/pid; cat {tmp_path}/00000.tar; exec sleep 300"
    samples = ShardReader(("txt",))(f"pipe:{command}", "0")
    next(samples)
    samples.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_samples_of_one_key_are_told_apart_by_their_place(tmp_path: Path) -> None:
    pairs = [(f"a.{ext}", data) for n in (1, 2) for ext, data in sample(n).items()]
    (tmp_path / "x.tar").write_bytes(tar(pairs))
    found = read(tmp_path / "x.tar")
    assert [s.image for s in found] == [png(1), png(2)]
    assert [(s.name, s.place) for s in found] == [("x.tar/a", 0), ("x.tar/a#1", 1)]


def test_a_cut_behind_a_samples_members_keeps_it(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(6)})
    path.write_bytes(path.read_bytes()[: 512 * 8])
    found = []
    with pytest.raises(BrokenShard, match="^cut at byte 4096: .*, after 2 samples$") as caught:
        for item in ShardReader(("txt",))(str(path), "0"):
            found.append(item.key)
    assert found == ["0", "1"] and caught.value.cause == CUT


def test_faults_come_with_their_samples(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("a.jpg", "b.png", "c.v1.png", "c.v1.txt", "d.png", "e.png", "d.txt"):
            member = tarfile.TarInfo(name)
            if name == "a.jpg":
                member.type, member.linkname = tarfile.LNKTYPE, "b.png"
            archive.addfile(member)
    (tmp_path / "x.tar").write_bytes(out.getvalue())
    found = [s.fault and (s.fault[0], s.fault[2]) for s in read(tmp_path / "x.tar")]
    assert found == [("link", 1), None, (DOTS, 1), None, None, (APART, 1)]


def test_kept_shards_need_no_file(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [4]) / "00000.tar"
    reader = ShardReader(("txt",), keep=True)
    first = list(reader(str(path), "0"))
    path.unlink()
    again = list(reader(str(path), "1"))
    assert [s.draw for s in again] == ["1"] * 4
    assert [s._replace(draw="0") for s in again] == first


def test_a_shard_read_in_part_is_not_kept(tmp_path: Path) -> None:
    path = write_shards(tmp_path, [4]) / "00000.tar"
    reader = ShardReader(("txt",), keep=True)
    samples = reader(str(path), "0")
    next(samples)
    samples.close()
    assert len(list(reader(str(path), "1"))) == 4
