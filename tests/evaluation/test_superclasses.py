from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.evaluation.superclasses import read_superclasses

CONTENT = {
    "dog": {"category": "animal", "subcategory": "mammal"},
    "crow": {"category": "animal", "subcategory": "bird"},
    "rose": {"category": "plant"},
}


def test_classes_are_grouped_by_a_level(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    path.write_text(json.dumps(CONTENT))
    superclass, names = read_superclasses(path, "category", ["rose", "dog", "crow", "dog"])
    assert superclass.tolist() == [1, 0, 0, 0] and names == ["animal", "plant"]
    superclass, names = read_superclasses(path, "subcategory", ["dog", "crow"])
    assert superclass.tolist() == [1, 0] and names == ["bird", "mammal"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(CONTENT), r"h\.json: the class 'rose' has no level 'subcategory'; it has: c"),
        ("{}", r"h\.json: the class 'rose' is missing$"),
        ('{"rose": "plant"}', r"h\.json: the class 'rose' has no level 'subcategory'"),
        ("[]", r"h\.json must map class names"),
        ("{", r"h\.json is no JSON"),
        ("[" * 100_000, r"h\.json is no JSON"),
    ],
)
def test_errors_are_one_line_that_names_the_file(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "h.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_superclasses(path, "subcategory", ["rose"])
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="h.json: No such file"):
        read_superclasses(tmp_path / "h.json", "category", ["rose"])
