from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cyclip_pl.evaluation.build import build
from cyclip_pl.evaluation.protocol import run
from cyclip_pl.evaluation.zero_shot import ZeroShot
from tests.evaluation.test_zero_shot import random_model
from tests.helpers.evaluation_sets import coded_set

TARGET = "cyclip_pl.evaluation.zero_shot.ZeroShot"


def test_entries_become_evaluations_that_bear_their_names(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1], ["a", "b"])
    config = OmegaConf.create(
        {
            "root": str(tmp_path),
            "evaluation": {
                "zero_shot": {
                    "_target_": TARGET,
                    "datasets": ["${root}/s"],
                    "top_k": [1],
                    "cadence": {"every_n_steps": 5},
                },
                "again": {"_target_": TARGET, "datasets": {"t": "${root}/s"}, "top_k": [1, 2]},
            },
        }
    )
    evaluations = build(config.evaluation)
    assert list(evaluations) == ["zero_shot", "again"]
    figures = run(evaluations.values(), random_model(2, ["a", "b"]))
    assert {"s/zero_shot/top1", "t/again/top2"} <= set(figures)


def test_no_evaluation_is_none() -> None:
    assert build(None) == {} and build({}) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"datasets": ["x"]}, r"^evaluation\.zs must have a _target_"),
        ({"_target_": TARGET, "datasets": ["x"], "top_k": []}, r"^evaluation\.zs\.top_k must be"),
        ({"_target_": TARGET, "datasets": ["x"], "k": 1}, r"^evaluation\.zs: .*argument 'k'$"),
        ({"_target_": "cyclip_pl.nowhere.X"}, r"^evaluation\.zs: "),
    ],
)
def test_errors_are_one_line_that_names_the_setting(entry: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build({"zs": entry})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path", sorted(Path("conf/evaluation").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_file_of_the_group_is_one_entry_of_its_own_name(path: Path) -> None:
    config = OmegaConf.load(path)
    assert list(config) == [path.stem]
    evaluation = build(config)[path.stem]
    parameters = inspect.signature(type(evaluation)).parameters
    assert set(config[path.stem]) == {"_target_", "cadence", *parameters} - {"name"}
    assert set(config[path.stem].cadence) == {"every_n_epochs", "every_n_steps"}


def test_the_default_sets_are_the_whole_emoji_sets() -> None:
    evaluation = build(OmegaConf.load("conf/evaluation/zero_shot.yaml"))["zero_shot"]
    assert isinstance(evaluation, ZeroShot)
    assert {str(folder.parent) for folder in evaluation.folders.values()} == {"data/emoji"}
    assert list(evaluation.folders) == [
        "emoji_unseen_pictures",
        "emoji_line",
        "emoji_mono",
        "emoji_unseen_names_classes",
    ]
