from __future__ import annotations

import inspect
import json
import logging
import sys

import open_clip
import pytest
import torchvision

from cyclip_pl.evaluation.probes.linear_classifier import METRICS
from cyclip_pl.evaluation.sets.catalogue import entries, names_and_templates
from cyclip_pl.evaluation.sets.remote import is_remote

LINEAR_PROBE = [
    "caltech101",
    "cifar10",
    "cifar100",
    "dtd",
    "aircraft",
    "flowers102",
    "food101",
    "gtsrb",
    "imagenet",
    "oxford_pets",
    "rendered_sst2",
    "stanford_cars",
    "stl10",
    "svhn",
]
SHIFTS = ["imagenet_v2", "imagenet_sketch", "imagenet_a", "imagenet_r", "objectnet"]


def test_the_papers_sets_are_there() -> None:
    assert len(LINEAR_PROBE) == 14 and len(SHIFTS) == 5
    assert set(LINEAR_PROBE) | set(SHIFTS) <= set(entries())


def test_metrics_of_the_clip_protocol() -> None:
    mean = {name for name, entry in entries().items() if entry.metric == "mean_per_class_recall"}
    assert mean == {"caltech101", "aircraft", "flowers102", "oxford_pets"}


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_torchvisions_or_behind_a_url(name) -> None:
    entry = entries()[name]
    assert entry.metric in METRICS
    assert (entry.torchvision is None) != (entry.wds is None)
    if entry.wds is not None:
        assert is_remote(entry.wds)
        return
    takes = inspect.signature(getattr(torchvision.datasets, entry.torchvision)).parameters
    for arguments in entry.splits.values():
        for part in arguments if isinstance(arguments, list) else [arguments]:
            assert set(part) <= set(takes)
    assert len(set(entry.classnames)) == len(entry.classnames) in (0, 2, 10, 43)


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
