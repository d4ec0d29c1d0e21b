"""`python train.py objective=NAME` for every NAME, shrunk: trained, saved, loaded, evaluated."""

from __future__ import annotations

import csv

import pytest
import torch

from cyclip_pl.errors import one_line
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.models.load import load
from cyclip_pl.training import train
from tests.helpers.composed import choices, composed
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow


def _train(world, folder, *overrides):
    return train(composed(*shrunk(world), "trainer.max_steps=2", *overrides, run_dir=folder))


@pytest.mark.parametrize("name", choices("objective"))
def test_it_trains_alone_and_evaluates_as_it_did_in_training(world, tmp_path, name) -> None:
    metrics = _train(world, tmp_path, f"objective={name}")
    with (tmp_path / "csv" / "metrics.csv").open() as file:
        totals = [float(r["train/total"]) for r in csv.DictReader(file) if r["train/total"]]
    assert len(totals) == 2 and all(abs(total) < 100 for total in totals)
    model = load(tmp_path)
    again = ZeroShot(datasets=[str(world / "shapes")])(FeatureStore(model)).metrics
    assert again == {k: v for k, v in metrics.items() if k in again}
    text = model.encode_text(["a red square", "a blue bar"])
    torch.testing.assert_close(text.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=nclip", "projector=native"], "the head clusters, Native has none; choose ano"),
        (["objective=slip", "projector=clusters"], "the head views, Clusters has clusters"),
        (
            ["objective=slip", "views=jittered"],
            "views: the objective needs 2 image views, this gives 1",
        ),
        (
            ["objective=cyclip_augmented", "views=two_strong"],
            "views: the objective needs 2 text views, this gives 1",
        ),
        (["objective=uniclip", "views=augmented_pair"], "AugmentationAware takes 12 augmentation"),
    ],
)
def test_pairs_that_cannot_work_are_refused(world, tmp_path, overrides, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _train(world, tmp_path, *overrides)
    assert "\n" not in one_line(caught.value, "train")
    assert not (tmp_path / "checkpoints").exists()


def test_clip_with_the_augmentation_of_others(world, tmp_path) -> None:
    for views in ("weak_two_strong", "augmented_pair"):
        metrics = _train(world, tmp_path / views, "objective=clip", f"views={views}")
        assert metrics["train/samples"] == 2 * 24


def test_resuming_with_other_parts_is_refused(world, tmp_path) -> None:
    _train(world, tmp_path / "first")
    resume = f"resume={tmp_path}/first"
    with pytest.raises(ValueError, match="was trained with another (objective|projector)"):
        _train(world, tmp_path / "second", resume, "objective=nclip", "trainer.max_steps=4")
    with pytest.raises(ValueError, match="another objective: its objective.logit_bias has the sha"):
        _train(world, tmp_path / "third", resume, "objective=siglip", "trainer.max_steps=4")
