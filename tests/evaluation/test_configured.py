"""Every evaluation in the real configuration, in a small world."""

from __future__ import annotations

from pathlib import Path

from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk

ALL = ("consistency", "knn", "linear_probe", "hierarchy", "geometry", "robustness")


def test_all_of_them_in_the_real_configuration(world: Path, tmp_path: Path) -> None:
    config = composed(
        *shrunk(world),
        f"evaluation=[zero_shot,retrieval,{','.join(ALL)}]",
        f"evaluation.datasets=[{world}/shapes]",
        f"evaluation.caption_sets=[{world}/captions]",
        f"evaluation.labelled_sets=[{world}/shapes]",
        f"evaluation.probe_sets=[{world}/shapes]",
        f"evaluation.hierarchy.hierarchy={world}/hierarchy.json",
        "evaluation.hierarchy.level=colour",
        f"evaluation.robustness.in_distribution={world}/shapes",
        f"evaluation.robustness.shifted=[{world}/moved]",
        "evaluation.linear_probe.shots=[5]",
        "trainer.max_steps=1",
        run_dir=tmp_path,
    )
    figures = train(config)
    for name in (
        "shapes/consistency/k30",
        "shapes/knn/weighted_k20",
        "shapes/linear_probe/adamw_accuracy",
        "shapes/linear_probe/lbfgs_5_shot_mean_per_class",
        "shapes/hierarchy/coarse_top3",
        "moved/robustness/drop",
    ):
        assert 0 <= figures[name] <= 1, name
    assert figures["captions/geometry/image_effective_rank"] >= 1
    assert figures["shapes/knn/train_samples"] == 96
    assert "shapes/knn/weighted_k100" not in figures
