from __future__ import annotations

import pytest

from cyclip_pl.tar_samples import key_and_extension


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
