from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from cyclip_pl.evaluation.sets.hierarchies.read import read_hierarchy


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_superclasses_in_the_files_order(tmp_path) -> None:
    path = write(tmp_path / "h.json", {"z": ["dog", "cat"], "a": ["car"]})
    superclass_K, names = read_hierarchy(path, ["car", "cat", "dog"])
    assert superclass_K.dtype == torch.int64 and superclass_K.tolist() == [1, 0, 0]
    assert names == ["z", "a"]


def test_levels(tmp_path) -> None:
    nested = {
        "animal": {"mammal": ["dog", "cat"], "other": ["ant"]},
        "thing": {"vehicle": ["car"], "other": ["pen"]},
    }
    path = write(tmp_path / "h.json", nested)
    classnames = ["pen", "ant", "car", "cat", "dog"]
    assert read_hierarchy(path, classnames)[0].tolist() == [1, 0, 1, 0, 0]
    superclass_K, names = read_hierarchy(path, classnames, level=1)
    assert superclass_K.tolist() == [3, 1, 2, 0, 0]
    assert names == ["mammal", "other", "vehicle", "other"]
    with pytest.raises(ValueError, match=r"h\.json has 2 levels above 'dog', not level 2"):
        read_hierarchy(path, classnames, level=2)


def test_names_match_without_case_and_hyphens(tmp_path) -> None:
    path = write(tmp_path / "h.json", {"x": ["lawn mower", "T-shirt"], "y": ["t shirt"]})
    assert read_hierarchy(path, ["lawn_mower", "t shirt", "T-shirt"])[0].tolist() == [0, 1, 0]


def test_classes_of_one_name(tmp_path) -> None:
    classnames = ["crane", "boat", "crane"]
    once = write(tmp_path / "once.json", {"a": ["crane"], "b": ["boat"]})
    assert read_hierarchy(once, classnames)[0].tolist() == [0, 1, 0]
    # As many entries as classes: in order, as CyCLIP's code takes them.
    each = write(tmp_path / "each.json", {"a": ["crane"], "b": ["boat", "crane"]})
    assert read_hierarchy(each, classnames)[0].tolist() == [0, 1, 1]


def test_the_authors_file(tmp_path) -> None:
    path = write(
        tmp_path / "classes.py",
        """{"classes": ["ant", "bee", "cat", "dog"],
            "superclasses": [["cat", "dog"], ["bee", "ant"]],
            "templates": [lambda c: f"{c}"]}""",
    )
    superclass_K, names = read_hierarchy(path, ["ant", "bee", "cat", "dog"])
    assert superclass_K.tolist() == [1, 1, 0, 0]
    assert names == ["cat, dog, …", "bee, ant, …"]
    write(path, '{"classes": ["ant"]}')
    with pytest.raises(ValueError, match=r'classes\.py has no "superclasses"'):
        read_hierarchy(path, ["ant"])


# torchvision's names of the classes of CIFAR-100, in their order.
CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout
tulip turtle wardrobe whale willow_tree wolf woman worm"""

# `coarse_labels` of CIFAR-100's files by fine label, 0 aquatic mammals … 19 vehicles 2.
COARSE = [
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3,
    15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0,
    17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19,
    2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
]  # fmt: skip


def test_cifar100_is_the_data_sets_own() -> None:
    classnames = CIFAR100.split()
    superclass_K, names = read_hierarchy("cifar100", classnames)
    assert (len(classnames), len(names)) == (100, 20)
    assert superclass_K.tolist() == COARSE
    assert set(Counter(COARSE).values()) == {5}
    blanks = [name.replace("_", " ") for name in classnames]
    assert read_hierarchy("cifar100", blanks)[0].tolist() == COARSE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": ["a"]}, r"the class 'b' is missing"),
        ({"x": ["a", "b", "c"]}, r"'c' in 'x' is not a class of the set"),
        ({"x": ["a", "b"], "y": ["b"]}, r"the class 'b' is listed 2 times"),
        ({"x": ["a", "b"], "y": []}, r"'y' must hold class names"),
        ({"x": ["a", 1]}, r"'x' must hold class names"),
        ({"x": "ab"}, r"'x' must hold class names"),
        ({}, r"it must hold class names"),
        (["a", "b"], r"it must hold class names"),
        ('{"x": ["a"], "x": ["b"]}', r"the superclass 'x' is listed twice"),
        ("{", r"is not JSON"),
        ("[" * 100_000, r"is not JSON"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path, content, message) -> None:
    path = write(tmp_path / "h.json", content)
    with pytest.raises(ValueError, match=rf"h\.json(:|) {message}") as caught:
        read_hierarchy(path, ["a", "b"])
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_is_shipped() -> None:
    with pytest.raises(ValueError, match=r"nowhere\.json cannot be read: .*shipped: cifar100"):
        read_hierarchy("nowhere.json", ["a"])
