from __future__ import annotations

import pytest

from cyclip_pl.data.sample_names import APART, DOTS, NameCheck, has_image
from cyclip_pl.tar_members import Member
from cyclip_pl.tar_samples import samples


def faults(names: str) -> list[tuple[str, int] | None]:
    check = NameCheck()
    found = [check(sample) for sample in samples(Member(name, 0, 0) for name in names.split())]
    return [fault and (fault[0], fault[2]) for fault in found]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a.jpg b.jpg a.txt b.txt", [None, None, (APART, 1), (APART, 1)]),
        ("a.jpg b.jpg a.jpg", [None, None, None]),
        ("i/a.jpg i/b.jpg t/a.txt t/b.txt", [None, None, (APART, 1), (APART, 1)]),
        ("p.v1.0.jpg p.v1.0.txt p.v1.1.JPG p.v1.1.txt q.txt", [(DOTS, 2), None]),
        ("a.jpg a.v1.jpg", [None]),
        ("a.txt", [None]),
    ],
)
def test_faults_of_incomplete_samples(names: str, expected: list[tuple[str, int] | None]) -> None:
    assert faults(names) == expected


def test_advice_names_what_to_type() -> None:
    dotted, apart = (
        samples(Member(name, 0, 0) for name in names.split())
        for names in ("v1.0/photo.v1.7.jpg", "a.jpg b.jpg a.txt")
    )
    assert NameCheck()(next(dotted)) == (
        DOTS,
        "a sample's name ends at its first dot: rename 'v1.0/photo.v1.7.jpg' to "
        "'v1.0/photo_v1_7.jpg', and so on",
        1,
    )
    check = NameCheck()
    last = [check(sample) for sample in apart][-1]
    assert last is not None and "side by side in the tar: tar --sort=name" in last[1]
    check = NameCheck()
    apart = samples(Member(name, 0, 0) for name in ("i/a.jpg", "t/a.txt"))
    assert [check(sample) for sample in apart][-1] == (
        APART,
        "an image and its caption must be side by side in the tar, in one folder: 'i/a' and 't/a'"
        " are not",
        1,
    )


def test_has_image() -> None:
    found = samples(Member(name, 0, 0) for name in ("a.webp", "b.txt", "c.seg.png"))
    assert [has_image(sample) for sample in found] == [True, False, False]
