from __future__ import annotations

import json
import logging
import sys

import open_clip

from cyclip_pl.evaluation.sets.catalogue import entries, names_and_templates


def test_imagenets_are_those_of_open_clip() -> None:
    names, templates = names_and_templates("imagenet", entries()["imagenet"], ["tench"] * 1000)
    assert names == list(open_clip.IMAGENET_CLASSNAMES) and len(templates) == 80
    filled = [template.replace("{c}", "tench") for template in templates]
    assert filled == [template("tench") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]


def packaged(folder, monkeypatch, names, templates) -> None:
    """A package clip_benchmark that breaks when it is imported."""
    (folder / "clip_benchmark/datasets").mkdir(parents=True)
    (folder / "clip_benchmark/__init__.py").write_text("raise SystemExit('imported')")
    for file, content in (("classnames", names), ("zeroshot_classification_templates", templates)):
        path = folder / f"clip_benchmark/datasets/en_{file}.json"
        path.write_text(json.dumps(content))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "clip_benchmark", raising=False)


def test_published_prompts_come_from_the_package(tmp_path, monkeypatch) -> None:
    packaged(tmp_path, monkeypatch, {"svhn": list("abcdefghij"), "caltech101": ["background", "x"]},
             {"svhn": ["number {c}", "{c}"]})  # fmt: skip
    svhn = entries()["svhn"]
    assert names_and_templates("svhn", svhn, ["own"] * 10) == (
        list("abcdefghij"),
        ["number {c}", "{c}"],
    )
    # Another number of classes: these are not the names of this set.
    assert names_and_templates("svhn", svhn, ["own"] * 3)[0] == ["own"] * 3
    assert names_and_templates("caltech101", entries()["caltech101"], ["x"])[0] == ["x"]


def test_a_warning_names_the_plain_prompt(tmp_path, monkeypatch, caplog) -> None:
    packaged(tmp_path, monkeypatch, {}, {})
    with caplog.at_level(logging.WARNING):
        names, templates = names_and_templates("mine", entries()["dtd"], ["banded", "dotted"])
    assert (names, templates) == (["banded", "dotted"], ["a photo of a {c}."])
    assert "mine: uses the plain prompt" in caplog.text and "clip_benchmark" in caplog.text
