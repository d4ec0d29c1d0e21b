"""The header reader against `tarfile`, which WebDataset reads with."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cyclip_pl import tar_members
from cyclip_pl.tar_members import members

SHORT = ["a/0001.jpg", "a/0001.txt", "0002.jpg", "__meta__.json"]
LONG = [f"{'deep/' * 40}{i}.{ext}" for i in range(3) for ext in ("jpg", "txt")]
ODD = ["ünï.jpg", "\U0001f600.png", "no-extension", "spaced name.txt"]


def write(path: Path, names: list[str], format: int, mode: str = "w", mtime: float = 0) -> Path:
    with tarfile.open(path, mode, format=format) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for index, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = index * 300, mtime
            archive.addfile(member, io.BytesIO(bytes([index]) * member.size))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, names[0]
        archive.addfile(link)
    return path


def names_of(path: Path) -> list[str]:
    return [member.name for member in members(str(path))]


def judged(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return [member.name for member in archive if member.isreg()]


@pytest.mark.parametrize("names", [SHORT, LONG, ODD])
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats(tmp_path: Path, names: list[str], format: int, monkeypatch) -> None:
    path = write(tmp_path / "x.tar", names, format, mtime=1.5)
    expected = judged(path)
    # It is the header reader that is tested here, not the way out.
    monkeypatch.setattr(tar_members.tarfile, "open", None)
    assert names_of(path) == expected == names


def test_ustar_prefix(tmp_path: Path) -> None:
    names = ["a.jpg", *(f"{'d' * 90}/{'e' * 60}/{i}.jpg" for i in range(3))]
    path = write(tmp_path / "x.tar", names, tarfile.USTAR_FORMAT)
    assert names_of(path) == names


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "x.tar", SHORT, tarfile.GNU_FORMAT, mode)
    assert names_of(path) == SHORT


def test_what_it_does_not_read_is_left_to_tarfile_from_there_on(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in SHORT:
            archive.addfile(tarfile.TarInfo(name))
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.pax_headers = {"GNU.sparse.major": "1"}
        archive.addfile(sparse)
        archive.addfile(tarfile.TarInfo("last.jpg"))
    assert names_of(path)[: len(SHORT)] == SHORT
    assert names_of(path) == judged(path)


@pytest.mark.parametrize("names", [SHORT, LONG])
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_places(tmp_path: Path, names: list[str], format: int) -> None:
    path = write(tmp_path / "x.tar", names, format, mtime=1.5)
    data = path.read_bytes()
    for strict in (False, True):
        found = [data[m.offset : m.offset + m.size] for m in members(str(path), strict)]
        assert found == [bytes([index]) * (300 * index) for index in range(len(names))]


@pytest.mark.parametrize("strict", [False, True])
def test_a_negative_size_ends_it(tmp_path: Path, strict: bool) -> None:
    path = write(tmp_path / "x.tar", SHORT, tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    at = data.index(b"0002.jpg")
    header = data[at : at + 512]
    header[124:136] = b"-0000001000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[at : at + 512] = header
    path.write_bytes(data)
    with pytest.raises(tarfile.ReadError):
        list(members(str(path), strict))


def test_cut_in_a_member(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", SHORT, tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[: 512 * 5])
    found = []
    with pytest.raises(tarfile.ReadError):
        for member in members(str(path)):
            found.append(member.name)
    assert found == SHORT[: len(found)] and found


def test_a_bad_header_ends_it_as_it_ends_tarfile(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", SHORT, tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    at = data.index(b"0002.jpg")
    data[at] = ord("9")  # the checksum is wrong now
    path.write_bytes(data)
    assert names_of(path) == judged(path) == SHORT[:2]


@pytest.mark.parametrize("data", [b"", b"not a tar" * 200, b"\0" * 10240])
def test_not_a_tar(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    try:
        expected: object = judged(path)
    except tarfile.TarError:
        with pytest.raises(tarfile.TarError):
            names_of(path)
    else:
        assert names_of(path) == expected
