from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cyclip_pl.evaluation.build import build, entries
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from tests.helpers.composed import composed
from tests.helpers.evaluation_sets import coded_set
from tests.helpers.models import random_model

TARGET = "cyclip_pl.evaluation.protocols.zero_shot.ZeroShot"


def test_entries_become_evaluations_with_their_names(tmp_path: Path) -> None:
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
    results = run(evaluations.values(), FeatureStore(random_model(2, ["a", "b"])))
    assert {"s/zero_shot/acc1", "t/again/acc2"} <= set(results.metrics)


def test_no_evaluation_is_none() -> None:
    assert build(None) == {} and build({}) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"_target_": TARGET, "datasets": ["x"], "top_k": []},
            r"^evaluation\.zs\.top_k=\[\]: must be",
        ),
        ({"_target_": TARGET, "datasets": ["x"], "k": 1}, r"^evaluation\.zs: .*argument 'k'$"),
        ({"_target_": "cyclip_pl.nowhere.X"}, r"^evaluation\.zs: "),
    ],
)
def test_errors_are_one_line_that_names_the_setting(entry: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build({"zs": entry})
    assert "\n" not in str(caught.value)


def test_what_has_no_target_is_what_entries_refer_to() -> None:
    config = {"datasets": "???", "lists": {"test": ["a"]}, "library": {"download": False}}
    assert build(config) == entries(config) == {}


@pytest.mark.parametrize("config_name", ["train", "eval"])
def test_one_list_of_sets_serves_all_and_each_can_have_its_own(config_name: str) -> None:
    def folders(*overrides: str) -> list[str]:
        config = composed(*overrides, config_name=config_name)
        evaluation = build(config.evaluation)["zero_shot"]
        assert isinstance(evaluation, ZeroShot)
        return [str(folder) for folder in evaluation.specs.values()]

    assert folders() == [
        "data/emoji/emoji_unseen_pictures",
        "data/emoji/emoji_line",
        "data/emoji/emoji_mono",
        "data/emoji/emoji_unseen_names_classes",
    ]
    assert folders("evaluation.datasets=[/a,/b]") == ["/a", "/b"]
    assert folders("evaluation.datasets=[/a]", "evaluation.zero_shot.datasets=[/c]") == ["/c"]
    assert build(composed("evaluation=[]", config_name=config_name).evaluation) == {}
