"""`eval.py` on models that were not trained here, from the real config."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch

from cyclip_pl.errors import one_line
from cyclip_pl.evaluating import evaluate
from tests.helpers.architectures import TEXT, VIT
from tests.helpers.composed import choices, composed
from tests.helpers.contract import assert_keys_are_arguments
from tests.helpers.model_sources import as_openai_wrote

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", choices("model"))
def test_a_model_states_the_arguments_of_its_loader(name) -> None:
    overrides = {"ours": ["checkpoint=x"]}.get(name, [])
    config = composed(f"model={name}", *overrides, config_name="eval").model
    assert_keys_are_arguments(config, given={"device", "dtype"})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of open_clip's `tiny-quick`, and the authors' checkpoint with the same."""
    folder = tmp_path_factory.mktemp("weights")
    vision = VIT["vision_cfg"] | {"width": 64, "head_width": 64}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": TEXT | {"width": 64, "heads": 1}}
    (folder / "tiny-quick.json").write_text(json.dumps(config | {"quick_gelu": True}))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    state = as_openai_wrote(open_clip.create_model("tiny-quick")).state_dict()
    torch.save(state, folder / "weights.pt")
    theirs = {f"module.{name}": weight for name, weight in state.items()}
    torch.save({"epoch": 64, "name": "x", "state_dict": theirs, "optimizer": {}}, folder / "64.pt")
    return folder


def test_the_same_weights_as_anyones_score_the_same(world, weights, tmp_path) -> None:
    metrics = []
    for run, model in enumerate(
        (
            ["model=open_clip", "model.name=tiny-quick", f"model.pretrained={weights}/weights.pt"],
            ["model=cyclip_official", f"model.path={weights}/64.pt"],
        )
    ):
        (tmp_path / str(run)).mkdir()
        config = composed(
            *model,
            f"evaluation.zero_shot.datasets=[{world}/shapes]",
            "accelerator=cpu",
            config_name="eval",
            run_dir=tmp_path / str(run),
        )
        metrics.append(evaluate(config))
        assert json.loads((tmp_path / str(run) / "metrics.json").read_text()) == metrics[-1]
    assert metrics[0] == metrics[1]
    assert metrics[0]["shapes/zero_shot/samples"] == 36


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=cyclip_official"], "model.path has no value: set model.path=…"),
        (["model=open_clip", "model.name=RN50"], "model.pretrained=null: give a tag of RN50"),
        (["model=cyclip_official", "model.path=nowhere.pt"], "model.path=nowhere.pt: there is no"),
        (
            ["model=open_clip", "model.name=RN50", "model.pretrained=x"],
            "model.pretrained=x: not a file or a folder, and not a tag",
        ),
    ],
)
def test_what_is_wrong_with_a_model_names_its_setting(overrides, message, tmp_path) -> None:
    config = composed(*overrides, "accelerator=cpu", config_name="eval", run_dir=tmp_path)
    with pytest.raises(Exception) as caught:
        evaluate(config)
    assert message in one_line(caught.value, "eval")
    assert "\n" not in one_line(caught.value, "eval")
