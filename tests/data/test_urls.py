from pathlib import Path

import pytest

from cyclip_pl.data.urls import expand, missing, name_all
from cyclip_pl.remote_files import local_path
from tests.data.shards import write_shards


def test_braces_and_double_colons() -> None:
    assert expand("/d/{000..002}.tar") == ["/d/000.tar", "/d/001.tar", "/d/002.tar"]
    assert expand("/d/{0..1}.tar::http://h/{a,b}.tar") == [
        "/d/0.tar",
        "/d/1.tar",
        "http://h/a.tar",
        "http://h/b.tar",
    ]
    assert expand("pipe:cat /d/{0..1}.tar", allow_pipe=True) == [
        "pipe:cat /d/0.tar",
        "pipe:cat /d/1.tar",
    ]


def test_variables(monkeypatch) -> None:
    monkeypatch.setenv("WDS_ROOT", "/r")
    assert expand("${ROOT}/0.tar") == ["/r/0.tar"]
    with pytest.raises(ValueError, match="data.train.shards.*NOWHERE"):
        expand("${NOWHERE}/0.tar")


def test_a_folder_is_its_tars_in_order(tmp_path: Path) -> None:
    write_shards(tmp_path, [1, 1, 1])
    (tmp_path / "sizes.json").write_text("{}")
    assert expand(str(tmp_path)) == [str(tmp_path / f"{i:05d}.tar") for i in range(3)]


@pytest.mark.parametrize("pattern", ["*.tar", "*", "0000[0-9].tar", "?????.tar", "**/0*.tar"])
def test_wildcards(tmp_path: Path, pattern: str) -> None:
    write_shards(tmp_path / "a", [1, 1, 1])
    for other in ("sizes.json", "00000_stats.json"):
        (tmp_path / "a" / other).write_text("{}")
    expected = [str(tmp_path / "a" / f"{i:05d}.tar") for i in range(3)]
    assert expand(f"{tmp_path}/a/{pattern}") == expected
    assert expand(f"{(tmp_path / 'a').as_uri()}/{pattern}") == expected
    assert expand(f"{tmp_path}/{{a,a}}/{pattern}") == expected * 2


def test_wildcards_mean_folders_as_well(tmp_path: Path) -> None:
    write_shards(tmp_path / "a_1", [1])
    write_shards(tmp_path / "a_2", [1])
    (tmp_path / "a_3").mkdir()
    expected = [str(tmp_path / f"a_{i}" / "00000.tar") for i in (1, 2)]
    assert expand(f"{tmp_path}/a_*") == expand(f"{tmp_path}/a_*/*.tar") == expected


def test_a_file_whose_name_has_wildcards_is_itself(tmp_path: Path) -> None:
    for name in ("a[1].tar", "a1.tar", "b?.tar"):
        (tmp_path / name).touch()
    assert expand(f"{tmp_path}/a[1].tar") == [f"{tmp_path}/a[1].tar"]
    assert expand(f"{tmp_path}/*.tar")[-1] == f"{tmp_path}/b?.tar"


def test_a_home_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_shards(tmp_path / "data", [1])
    expected = [str(tmp_path / "data" / "00000.tar")]
    assert expand("~/data") == expand("~/data/*.tar") == expected
    assert missing(expand("~/data/{00000..00001}.tar")) == ["~/data/00001.tar"]


def test_nothing_there_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.train\.shards: no file matches '.*/n\*\.tar'$"):
        expand(f"{tmp_path}/n*.tar")
    with pytest.raises(ValueError, match=r"'.*' holds no \.tar file, but nothing$"):
        expand(str(tmp_path))
    for name in ("a.jpg", "a.txt", "b.jpg", "b.txt", "c.jpg", "c.txt"):
        (tmp_path / name).touch()
    for shards in (tmp_path, f"{tmp_path}/*"):
        with pytest.raises(ValueError, match=r"holds no \.tar file, but .*a\.jpg.* and 2 more$"):
            expand(str(shards))
    write_shards(tmp_path / "folders" / "train", [1])
    with pytest.raises(
        ValueError, match=r"holds no \.tar file, but train/; did you mean .*/train\?$"
    ):
        expand(f"{tmp_path}/folders")


def test_no_text_becomes_a_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WDS_X", f"pipe:touch {tmp_path}/ran")
    monkeypatch.setenv("WDS_P", "pipe")
    for shards in ("${X}", "${P}:touch ran", "{pipe,/d/}:a", "/d/0.tar::pipe:a"):
        with pytest.raises(ValueError, match=r"set data\.allow_pipe=true|pipe:COMMAND"):
            expand(shards)
    monkeypatch.setenv("GOPEN_REWRITE", "https://h/=pipe:cat /d/")
    with pytest.raises(ValueError, match="set data.allow_pipe=true"):
        expand("https://h/0.tar")
    monkeypatch.delenv("GOPEN_REWRITE")
    # Names of files are not texts that anybody typed.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe:touch ran;.tar").touch()
    for shards in (".", "*.tar", "./*", "pipe*"):
        (found,) = expand(shards)
        assert local_path(found) == "./pipe:touch ran;.tar"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("url", ["nobody://bucket/0.tar", "htp://host/0.tar"])
def test_unknown_schemes(url: str) -> None:
    with pytest.raises(ValueError, match="cannot open.*pipe:COMMAND"):
        expand(url)


@pytest.mark.parametrize("shards", ["", "{0..1.tar", "a::"])
def test_nothing_and_nonsense(shards: str) -> None:
    with pytest.raises(ValueError, match="data.train.shards"):
        expand(shards)


def test_missing(tmp_path: Path) -> None:
    write_shards(tmp_path, [1])
    there, absent = str(tmp_path / "00000.tar"), str(tmp_path / "00001.tar")
    assert missing([there, absent, "http://h/0.tar"]) == [absent]


def test_names() -> None:
    assert name_all(["a"]) == "'a'"
    assert name_all(["a", "b"]) == "'a' and 1 more shard"
    assert name_all(["a", "b", "c"]) == "'a' and 2 more shards"
