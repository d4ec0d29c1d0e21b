from pathlib import Path

import pytest

from cyclip_pl.data.urls import expand, missing, name_all
from tests.data.shards import write_shards


def test_braces_and_double_colons() -> None:
    assert expand("/d/{000..002}.tar") == ["/d/000.tar", "/d/001.tar", "/d/002.tar"]
    assert expand("/d/{0..1}.tar::http://h/{a,b}.tar") == [
        "/d/0.tar",
        "/d/1.tar",
        "http://h/a.tar",
        "http://h/b.tar",
    ]
    assert expand("pipe:cat /d/{0..1}.tar") == ["pipe:cat /d/0.tar", "pipe:cat /d/1.tar"]


def test_variables(monkeypatch) -> None:
    monkeypatch.setenv("WDS_ROOT", "/r")
    assert expand("${ROOT}/0.tar") == ["/r/0.tar"]
    with pytest.raises(ValueError, match="data.train.shards.*NOWHERE"):
        expand("${NOWHERE}/0.tar")


def test_a_folder_is_its_tars_in_order(tmp_path: Path) -> None:
    write_shards(tmp_path, [1, 1, 1])
    (tmp_path / "sizes.json").write_text("{}")
    assert expand(str(tmp_path)) == [str(tmp_path / f"{i:05d}.tar") for i in range(3)]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data.train.shards.*holds no .tar"):
        expand(str(tmp_path))


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
