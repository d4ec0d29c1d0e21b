from __future__ import annotations

import re

import pytest

from cyclip_pl.data.prepare.class_names import class_names, sorted_labels


def test_numbers_are_in_their_order_and_words_in_theirs() -> None:
    assert sorted_labels({"10", "9", "1"}) == ["1", "9", "10"]
    assert sorted_labels({"10", "9", "b"}) == ["10", "9", "b"]


def test_names_of_folders_and_of_labels() -> None:
    assert class_names(["tabby_cat", "dog"], None, folders=True) == ["tabby cat", "dog"]
    assert class_names(["tabby_cat", "dog"], None) == ["tabby_cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "tabby\n hound \n"),
        ("a.json", '{"n01": "tabby", "n02": "hound", "n03": "other"}'),
    ],
)
def test_names_of_a_file(tmp_path, name, text) -> None:
    (tmp_path / name).write_text(text)
    assert class_names(["n01", "n02"], tmp_path / name, folders=True) == ["tabby", "hound"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "tabby\n", r"has 1 names, but there are 2 classes \(n01, n02\)$"),
        ("a.txt", "tabby\ntabby\n", r"2 classes are called 'tabby' \(n01, n02\)$"),
        ("a.txt", "\ntabby\n", r"class 'n01' has an empty name$"),
        ("a.json", '{"n01": "tabby"}', r"has no name for n02$"),
        ("a.json", "[1]", r'must be {"label": "name"}$'),
        ("a.json", "{", r"Expecting"),
        ("absent.txt", None, r"No such file or directory$"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path, name, text, message) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    pattern = f"^--classnames {re.escape(str(tmp_path / name))}: .*{message}".replace(
        ": .*has", ": has"
    )
    with pytest.raises(ValueError, match=pattern) as error:
        class_names(["n01", "n02"], tmp_path / name)
    assert "\n" not in str(error.value)


def test_labels_without_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the labels are numbers \(0, 1\); name the classes"):
        class_names(["0", "1"], None)
    with pytest.raises(ValueError, match="2 classes are called 'a b'"):
        class_names(["a_b", "a b"], None, folders=True)
