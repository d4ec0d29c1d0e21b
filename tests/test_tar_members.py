"""The reader of tars against `tarfile`, and against tars that end where they should not."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cyclip_pl import tar_members
from cyclip_pl.tar_members import (
    CUT,
    DAMAGED,
    UNREADABLE,
    BrokenTar,
    Member,
    members,
    unpacked,
)
from tests.helpers.tars import BLOCK, restamped, tar

SHORT = ["a/0001.jpg", "a/0001.txt", "0002.jpg", "__meta__.json"]
LONG = [f"{'deep/' * 40}{i}.{ext}" for i in range(3) for ext in ("jpg", "txt")]
ODD = ["ünï.jpg", "\U0001f600.png", "no-extension", "spaced name.txt", "new\nline.txt"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class Stream:
    """What cannot jump, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read(source: Any, wanted: Callable[[str], bool] = lambda name: True) -> list[Member]:
    return list(members(unpacked(source), wanted))


def broken(data: bytes, path: Path | None = None) -> tuple[list[str], str, str]:
    """The names read until the tar broke, and how; a file and a stream tell the same."""
    told = []
    for source in (Stream(data), None if path is None else write(path, data).open("rb")):
        if source is not None:
            names: list[str] = []
            with pytest.raises(BrokenTar) as caught:
                for member in members(unpacked(source)):
                    names.append(member.name)
            told.append((names, caught.value.cause, str(caught.value)))
    assert all(t == told[0] for t in told)
    return told[0]


def contents(names: list[str]) -> list[tuple[str, bytes]]:
    return [(name, bytes([index]) * (index * 300)) for index, name in enumerate(names)]


@pytest.mark.parametrize("names", [SHORT, LONG, ODD])
@pytest.mark.parametrize("format", FORMATS)
def test_it_reads_what_tarfile_reads(tmp_path: Path, names: list[str], format: int) -> None:
    if format == tarfile.USTAR_FORMAT:
        names = [name.replace("deep/", "d/") for name in names]
    data = tar(contents(names), format)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    assert expected == contents(names)
    with write(tmp_path / "x.tar", data).open("rb") as file:
        for source in (file, Stream(data)):
            found = read(source)
            assert [(m.name, m.data) for m in found] == expected
            assert [data[m.offset : m.offset + m.size] for m in found] == [b for _, b in expected]


def test_only_wanted_bytes_are_kept() -> None:
    found = read(Stream(tar(contents(SHORT))), lambda name: name.endswith("txt"))
    assert [m.data is not None for m in found] == [False, True, False, False]
    assert [m.size for m in found] == [0, 300, 600, 900]


def test_ustar_prefix_and_gnu_times() -> None:
    names = ["a.jpg", *(f"{'d' * 90}/{'e' * 60}/{i}.jpg" for i in range(3))]
    assert [m.name for m in read(Stream(tar(contents(names))))] == names
    data = bytearray(tar([("a.jpg", b"x")], tarfile.GNU_FORMAT))
    data[345:357] = b"14721450000\0"  # an access time of tar --incremental
    assert [m.name for m in read(Stream(restamped(data)))] == ["a.jpg"]


def test_links_sparse_files_and_folders() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind in (("folder.jpg", b"5"), ("soft.jpg", b"2"), ("hard.jpg", b"1")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            archive.addfile(info)
        sparse = tarfile.TarInfo("GNUSparseFile.0/pax.jpg")
        sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "pax.jpg"}
        archive.addfile(sparse)
        old = tarfile.TarInfo("old.jpg")
        old.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(old)
        archive.addfile(tarfile.TarInfo("last.jpg"))
    found = [(m.name, m.lacks) for m in read(Stream(out.getvalue()))]
    links = [("soft.jpg", "link"), ("hard.jpg", "link")]
    sparse_files = [("pax.jpg", "sparse file"), ("old.jpg", "sparse file")]
    assert found == [*links, *sparse_files, ("last.jpg", "")]


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_compression(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x"
    with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
        for name, data in contents(SHORT):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    packed = path.read_bytes()
    with path.open("rb") as file:
        for source in (file, Stream(packed)):
            assert [(m.name, m.data) for m in read(source)] == contents(SHORT)
    assert broken(packed[: len(packed) // 2], path)[1] in (CUT, DAMAGED)
    with pytest.raises(BrokenTar, match=r"not a tar: it is compressed; unpack it"):
        list(members(Stream(packed)))


def test_gzip_in_parts_and_damaged() -> None:
    data = tar(contents(SHORT))
    parts = gzip.compress(data[:700]) + gzip.compress(data[700:])
    assert [m.name for m in read(Stream(parts))] == SHORT
    spoilt = bytearray(gzip.compress(data))
    spoilt[-6] ^= 1  # its checksum
    names, cause, text = broken(bytes(spoilt))
    assert (names, cause) == (SHORT, DAMAGED) and "damaged compression" in text


def test_zstd_names_the_tool() -> None:
    packed = b"\x28\xb5\x2f\xfd" + bytes(100)
    with pytest.raises(BrokenTar, match="zstd"):
        read(Stream(packed))


# Members of SHORT begin at 0, 512, 1536 and 3072; the end mark at 4608.
DATA = tar(contents(SHORT))


@pytest.mark.parametrize(
    ("length", "names", "text"),
    [
        (512, SHORT[:1], "cut at byte 512: no end mark after the last member"),
        (700, SHORT[:1], "cut at byte 700, inside a header"),
        (1100, SHORT[:1], "cut at byte 1100, inside a/0001.txt"),
        (1400, SHORT[:2], "cut at byte 1400: no end mark after the last member"),
        (1536, SHORT[:2], "cut at byte 1536: no end mark after the last member"),
        (4608, SHORT, "cut at byte 4608: no end mark after the last member"),
    ],
)
def test_a_cut_is_told_with_its_byte(
    tmp_path: Path, length: int, names: list[str], text: str
) -> None:
    assert broken(DATA[:length], tmp_path / "x") == (names, CUT, text)


def test_one_block_of_zeros_is_an_end() -> None:
    for length in (4608 + 100, 4608 + BLOCK, 4608 + 2 * BLOCK, len(DATA)):
        assert [m.name for m in read(Stream(DATA[:length]))] == SHORT


def test_data_behind_the_end_is_told(tmp_path: Path) -> None:
    two = DATA + tar(contents(LONG))
    text = (
        "zeros from byte 4608 on, and then data: damage, or tars joined without tar --concatenate"
    )
    assert broken(two, tmp_path / "x") == (SHORT, DAMAGED, text)
    hole = DATA[:1536] + bytes(BLOCK) + DATA[2048:]
    assert broken(hole)[0] == SHORT[:2]


def test_a_hole_to_the_end_is_told() -> None:
    data = tar(contents(LONG * 5))
    names, cause, text = broken(data[:BLOCK] + bytes(len(data) - BLOCK))
    assert (names, cause) == (LONG[:1], DAMAGED)
    assert text == "zeros from byte 512 on, more than the padding of tar -b 20"


@pytest.mark.parametrize("place", [0, 40, 100, 124, 135, 148, 156, 157, 257, 300])
def test_a_flipped_bit_in_a_header_is_told(place: int) -> None:
    data = bytearray(DATA)
    data[1536 + place] ^= 4
    assert broken(bytes(data)) == (SHORT[:2], DAMAGED, "damaged header at byte 1536")


@pytest.mark.parametrize("size", [b"-0000001000\0", b"\xff" * 12, b"12345678901x"])
def test_a_size_that_is_none(size: bytes) -> None:
    data = restamped(DATA[: 1536 + 124] + size + DATA[1536 + 136 :], 1536)
    assert broken(data) == (SHORT[:2], DAMAGED, "damaged header at byte 1536")


@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"g", b"Z"])
def test_a_huge_size_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    size = b"\x80" + (1 << 60).to_bytes(11, "big")
    header = DATA[1536:2048]
    header = header[:124] + size + header[136:156] + kind + header[157:]
    data = restamped(DATA[:1536] + header + DATA[2048:], 1536)
    path = write(tmp_path / "x", data)
    tracemalloc.start()
    for source in (Stream(data), path.open("rb")):
        with pytest.raises(BrokenTar):
            read(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


def test_endless_zeros_end() -> None:
    class Zeros:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            return DATA[: 4 * BLOCK] if self.given == size else bytes(size)

    source = Zeros()
    with pytest.raises(BrokenTar):
        list(members(source))
    assert source.given < 1 << 20


def test_large_members_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_members, "LARGEST_MEMBER", 700)
    found = read(Stream(DATA))
    assert [m.data is None for m in found] == [False, False, False, True]
    assert found[3].lacks == "file over 0 MiB"


@pytest.mark.parametrize("body", [b"nonsense", b"9 path=a\n", b"99 path=a\n", b"x path=a\n"])
def test_malformed_pax_headers_are_told(body: bytes) -> None:
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(body)
    data = pax.tobuf() + body.ljust(BLOCK, b"\0") + DATA
    if body == b"9 path=a\n":
        assert read(Stream(data))[0].name == "a"
    else:
        assert broken(data) == ([], DAMAGED, "damaged header at byte 0")


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_a_megabyte_are_damage(format: int) -> None:
    data = tar([("x" * 100_000 + ".jpg", b"")], format)
    assert broken(data) == ([], DAMAGED, "damaged header at byte 0")


def test_old_checksums_of_signed_bytes() -> None:
    data = bytearray(tar([("ünï.jpg", b"x")]))
    header = bytearray(data[:BLOCK])
    header[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in header)
    assert read(Stream(bytes(data)))[0].name == "ünï.jpg"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is empty"),
        (b"not a tar" * 200, "not a tar: it begins with b'not a tarnot a t'"),
        (b"<html>", "not a tar: it begins with b'<html>'"),
    ],
)
def test_not_a_tar(tmp_path: Path, data: bytes, text: str) -> None:
    assert broken(data, tmp_path / "x") == ([], UNREADABLE, text)


def test_a_tar_without_members_is_whole() -> None:
    assert read(Stream(bytes(10240))) == []


def test_a_stream_that_fails_tells_the_byte() -> None:
    class Failing(Stream):
        def __init__(self) -> None:
            source = io.BytesIO(DATA)

            def read(size: int) -> bytes:
                if source.tell() > 1500:
                    raise OSError("timed out: no data for 15 s")
                return source.read(size)

            self.read = read

    with pytest.raises(BrokenTar, match="^timed out: no data for 15 s, at byte 2048$") as caught:
        read(Failing())
    assert caught.value.cause == UNREADABLE
