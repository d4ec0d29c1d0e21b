from pathlib import Path

import pytest

from cyclip_pl.data.inspect.sources import CLASSIFICATION, RETRIEVAL, TRAINING, parts
from tests.data.shards import sample, write_shards, write_tar


def test_training_shards_are_one_part(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", [1, 1])
    write_shards(tmp_path / "b", [1])
    a, b = str(tmp_path / "a"), f"{tmp_path}/b/*.tar"
    (part,) = parts([a, b, a])
    assert part.kind == TRAINING
    assert part.name == f"{a}, {b}, {a}"
    assert list(part.urls) == [f"{a}/00000.tar", f"{a}/00001.tar", f"{tmp_path}/b/00000.tar"]


def test_an_evaluation_set_has_a_part_per_split(world: Path) -> None:
    found = parts([f"{world}/shapes", f"{world}/captions"])
    assert [(Path(part.name).name, part.kind) for part in found] == [
        ("test", CLASSIFICATION),
        ("train", CLASSIFICATION),
        ("test", RETRIEVAL),
    ]
    assert [len(part.classes) for part in found] == [12, 12, 0]
    assert not any(part.problems for part in found)


def test_one_split_finds_its_class_names(world: Path) -> None:
    (part,) = parts([f"{world}/shapes/train"])
    assert (part.kind, part.classes[0], len(part.urls)) == (CLASSIFICATION, "red square", 4)


def test_training_and_evaluation_together(world: Path) -> None:
    assert [part.kind for part in parts([f"{world}/captions", f"{world}/train"])] == [
        TRAINING,
        RETRIEVAL,
    ]


def a_set(folder: Path, names: str, nshards: str | None, **files: str) -> Path:
    for name in names.split():
        write_tar(folder / "test" / name, {"0": sample(0)})
    if nshards is not None:
        (folder / "test" / "nshards.txt").write_text(nshards)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("names", "nshards", "files", "problem"),
    [
        ("0.tar 1.tar", None, {"classnames": "a"}, "test/nshards.txt is missing; test holds 2"),
        ("0.tar", "2\n", {"classnames": "a"}, "test/nshards.txt says '2'; test holds 1 .tar"),
        ("00000.tar", "1", {"classnames": "a"}, "test/00000.tar: shards are called 0.tar"),
        ("0.tar", "1", {"dataset_type": "classification"}, "classnames.txt is missing or empty"),
        ("0.tar", "1", {"dataset_type": "video"}, "dataset_type.txt says 'video'"),
    ],
)
def test_what_an_evaluation_refuses(
    tmp_path: Path, names: str, nshards: str | None, files: dict[str, str], problem: str
) -> None:
    (part,) = parts([str(a_set(tmp_path, names, nshards, **files))])
    (found,) = part.problems
    assert found.startswith(problem)


def test_shards_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = " ".join(f"{n}.tar" for n in range(11))
    (part,) = parts([str(a_set(tmp_path, names, "11"))])
    assert [Path(url).name for url in part.urls] == names.split()
    assert part.kind == RETRIEVAL and not part.problems


@pytest.mark.parametrize(
    ("shards", "error"),
    [
        ("/nowhere/0.tar", "SHARDS: '/nowhere/0.tar' does not exist"),
        ("/nowhere/*.tar", "SHARDS: no file matches '/nowhere/*.tar'"),
        ("", "SHARDS is empty"),
        ("pipe:cat x", "SHARDS=pipe:cat x: 'pipe:' runs a command; set --allow-pipe"),
    ],
)
def test_nothing_to_read(shards: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        parts([shards])
    assert str(caught.value).startswith(error)


def test_commands_with_permission() -> None:
    (part,) = parts(["pipe:cat x"], allow_pipe=True)
    assert part.urls == ("pipe:cat x",)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    folder = a_set(tmp_path, "0.tar", "1", classnames="a")
    (folder / "classnames.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"classnames\.txt: 'utf-8'"):
        parts([str(folder)])
