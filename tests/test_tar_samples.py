from __future__ import annotations

from collections.abc import Iterator

import pytest

from cyclip_pl.tar_members import CUT, BrokenTar, Member
from cyclip_pl.tar_samples import key_and_extension, samples


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", ("a", "png")),
        ("./x/a.seg.png", ("./x/a", "seg.png")),
        ("x.y/a.b", ("x.y/a", "b")),
        ("a", None),
        (".hidden", None),
        ("x/._a.png", None),
        ("x.y/._a.png", None),
        ("a\nb.png", ("a\nb", "png")),
        ("a.", ("a", "")),
        ("__meta__", None),
        ("__meta__/a.png", None),
        ("__meta__.png", ("__meta__", "png")),
    ],
)
def test_key_and_extension(name: str, expected: tuple[str, str] | None) -> None:
    assert key_and_extension(name) == expected


def grouped(names: str) -> list[tuple[str, list[str]]]:
    found = samples(Member(name, 0, 0) for name in names.split())
    return [(sample.key, list(sample.members)) for sample in found]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a.png a.txt b.png", [("a", ["png", "txt"]), ("b", ["png"])]),
        ("a.PNG a.Txt", [("a", ["png", "txt"])]),
        ("./d/a.png ./d/._a.png ./d/a.txt", [("./d/a", ["png", "txt"])]),
        ("a.png README a.txt", [("a", ["png", "txt"])]),
        ("a.png a.txt a.png a.txt", [("a", ["png", "txt"])] * 2),
        ("a.png a.PNG a.txt", [("a", ["png"]), ("a", ["png", "txt"])]),
        ("x/a.png y/a.png", [("x/a", ["png"]), ("y/a", ["png"])]),
        ("a.png b.png a.txt", [("a", ["png"]), ("b", ["png"]), ("a", ["txt"])]),
        ("README", []),
    ],
)
def test_neighbours_of_one_key_are_a_sample(
    names: str, expected: list[tuple[str, list[str]]]
) -> None:
    assert grouped(names) == expected


def test_the_sample_before_a_break_is_marked() -> None:
    def breaking() -> Iterator[Member]:
        for name in ("a.png", "a.txt", "b.png"):
            yield Member(name, 0, 0)
        raise BrokenTar(CUT, "cut")

    found = []
    with pytest.raises(BrokenTar, match="cut"):
        for sample in samples(breaking()):
            found.append((sample.key, sample.last))
    assert found == [("a", False), ("b", True)]
