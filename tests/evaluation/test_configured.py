"""Every evaluation in the real configuration, in a small world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl.config_kinds import kind_of
from cyclip_pl.evaluation.build import build, without_sets
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.sets import catalogue
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.training import train
from tests.helpers import torchvision_files as files
from tests.helpers.composed import CONF, choices, composed
from tests.helpers.evaluation_sets import TinyNet, coded_set
from tests.helpers.labels_csv import write_split
from tests.helpers.world import shrunk

ALL = ",".join(choices("evaluation"))


@pytest.mark.slow
def test_all_of_them_in_a_training_on_rows_of_clusters(world: Path, tmp_path: Path) -> None:
    config = composed(
        "objective=nclip",
        "projector.clusters=6",
        *shrunk(world),
        f"evaluation=[{ALL}]",
        f"evaluation.datasets=[{world}/shapes,{world}/moved,{world}/captions]",
        f"evaluation.robustness.in_distribution={world}/shapes",
        "evaluation.linear_probe.shots=[5]",
        "evaluation.knn.cadence.every_n_steps=1",
        "trainer.max_steps=2",
        run_dir=tmp_path,
    )
    metrics = train(config)
    for name in (
        "shapes/zero_shot/acc1",
        "captions/retrieval/text_to_image_r5",
        "shapes/consistency/k30",
        "shapes/knn/weighted_k20",
        "shapes/linear_probe/adamw_acc1",
        "shapes/linear_probe/lbfgs_5_shot_mean_per_class_recall",
        "shapes/hierarchy/coarse_acc3",
        "moved/robustness/drop",
    ):
        assert 0 <= metrics[name] <= 1, name
    assert metrics["captions/geometry/image_effective_rank"] >= 1
    assert metrics["shapes/knn/train_samples"] == 96
    assert "shapes/knn/weighted_k100" not in metrics
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    rows = (tmp_path / "csv" / "metrics.csv").read_text().splitlines()
    assert "shapes/knn/weighted_k20" in rows[0], "its own cadence"


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A set of each kind, with the splits train and test; some with val."""
    monkeypatch.setattr(catalogue, "_packaged", lambda file: {})
    test, more = [n % 3 for n in range(15)], [n % 3 for n in range(24)]
    wds = tmp_path / "wds"
    for split, labels, first in (("test", test, 0), ("train", more, 20), ("val", more, 50)):
        coded_set(wds, labels, ["zero", "one", "two"], split=split, first=first)
        write_split(tmp_path / "csv" / split, labels, first=first)
    (wds / "hierarchy.json").write_text('{"little": ["zero"], "much": ["one", "two"]}')
    for split, labels, first in (("test", test, 0), ("trainval", more, 20)):
        files.oxford_pets(split)(tmp_path / "vision", sorted(labels), first)
    return {
        "wds": str(wds),
        "shards": wds.as_uri(),
        "csv": str(tmp_path / "csv"),
        "oxford_pets": "oxford_pets",
    }


@pytest.mark.slow
def test_every_kind_of_set_serves_all(sets: dict[str, str], tmp_path: Path) -> None:
    config = composed(
        f"evaluation=[{ALL}]",
        "evaluation.datasets=[{}]".format(", ".join(f"{{{n}: '{s}'}}" for n, s in sets.items())),
        f"evaluation.robustness.in_distribution={{wds: {sets['wds']}}}",
        f"evaluation.library.root={tmp_path}/vision",
        "evaluation.library.download=false",
        "evaluation.linear_probe.shots=[5]",
        "evaluation.linear_probe.seeds=[0]",
        "~evaluation.retrieval",
        config_name="eval",
    )
    results = run(build(config.evaluation).values(), FeatureStore(TinyNet()))
    metrics = results.metrics
    for name in sets:
        for metric in (
            "zero_shot/acc1",
            "consistency/k10",
            "knn/weighted_k10",
            "linear_probe/lbfgs_mean_per_class_recall",
            "geometry/alignment",
        ):
            assert f"{name}/{metric}" in metrics
        found = results.details[f"{name}/linear_probe"]["protocol"]
        own = "mean_per_class_recall" if name == "oxford_pets" else "acc1"
        for evaluation in ("linear_probe", "knn", "zero_shot"):
            assert results.details[f"{name}/{evaluation}"]["protocol"]["metric"] == own
        assert found["search"] == ("a part of each class" if name == "oxford_pets" else "val")
    assert {name for name in sets if f"{name}/hierarchy/fine_acc1" in metrics} == {"wds", "shards"}
    assert {
        name for name in sets if f"{name}/knn/weighted_k10_mean_per_class_recall" in metrics
    } == {"oxford_pets"}
    assert metrics["oxford_pets/robustness/samples"] == 15
    of_wds, of_shards = (
        {
            key.split("/", 1)[1]: value
            for key, value in metrics.items()
            if key.startswith(f"{name}/") and "/robustness/" not in key
        }
        for name in ("wds", "shards")
    )
    assert of_shards == of_wds


@pytest.mark.parametrize("evaluation", sorted({*choices("evaluation")} - {"robustness"}))
def test_sets_that_are_typed_once_are_all_that_is_looked_at(
    evaluation: str, world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case by case: the sets that it can use, one line for each other one, and never the demo's."""
    config = composed(
        f"evaluation=[{evaluation}]", f"evaluation.datasets=[{world}/shapes,{world}/captions]"
    )
    (built,) = build(config.evaluation).values()
    built.open()
    assert "emoji" not in str(built.specs)
    lines = [record.getMessage() for record in caplog.records if "skips" in record.getMessage()]
    skipped = {"geometry": None, "retrieval": "shapes"}.get(evaluation, "captions")
    expected = f"evaluation.{evaluation} skips {skipped}: {world}/{skipped} has no "
    assert [line.startswith(expected) for line in lines] == [True] * (skipped is not None)


def test_robustness_never_guesses_the_set_without_a_shift(world: Path) -> None:
    typed = f"evaluation.datasets=[{world}/shapes,{world}/moved,{world}/captions]"
    config = composed("evaluation=[robustness]", typed)
    with pytest.raises(
        ValueError, match=r"^evaluation\.robustness\.in_distribution=\[shapes, moved, captions\]: "
    ):
        build(config.evaluation)
    config = composed(
        "evaluation=[robustness]", typed, f"evaluation.robustness.in_distribution={world}/shapes"
    )
    (robustness,) = build(config.evaluation).values()
    results = run([robustness], FeatureStore(TinyNet()))
    assert {name.split("/")[0] for name in results.details} == {"shapes", "moved"}


def test_own_shards_bring_no_sets_of_the_demo(world: Path) -> None:
    own = ("data=webdataset", f"data.train.shards={world}/train")
    config = composed(*own, f"evaluation=[{ALL}]")
    for evaluation, setting in (("zero_shot", "datasets"), ("robustness", "shifted")):
        kind = kind_of(f"evaluation.{evaluation}.{setting}")
        assert kind is not None
        kind(setting, config.evaluation[evaluation][setting])
    assert build(config.evaluation) == {}
    assert sorted(without_sets(config.evaluation)) == choices("evaluation")
    # What is typed wins.
    config = composed(
        *own, "evaluation=[zero_shot,knn]", f"evaluation.knn.datasets=[{world}/shapes]"
    )
    assert list(build(config.evaluation)) == ["knn"]
    config = composed(*own, "sets=emoji")
    assert list(build(config.evaluation)) == ["zero_shot"]
    assert without_sets(composed().evaluation) == []


def test_an_evaluation_without_a_usable_set_is_left_out_if_another_runs(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = composed("evaluation=[zero_shot,retrieval]", f"evaluation.datasets=[{world}/captions]")
    results = run(build(config.evaluation).values(), FeatureStore(TinyNet()))
    assert {name.split("/")[1] for name in results.metrics} == {"retrieval"}
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and "evaluation.zero_shot can use none of these sets" in lines[0]
    alone = composed("evaluation=[zero_shot]", f"evaluation.datasets=[{world}/captions]")
    with pytest.raises(ValueError, match=r"^evaluation\.datasets: .* choose other evaluations"):
        run(build(alone.evaluation).values(), FeatureStore(TinyNet()))


@pytest.mark.slow
def test_a_training_on_own_shards_alone(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = [o for o in shrunk(world) if not o.startswith(("evaluation", "trainer.max_steps"))]
    metrics = train(composed(*small, "trainer.max_steps=1", run_dir=tmp_path))
    assert metrics["train/samples"] == 24
    told = [r.getMessage() for r in caplog.records if r.name.startswith("cyclip_pl.callbacks")]
    assert told == [
        "evaluation: no sets for zero_shot, so left out; name yours, evaluation.datasets=[…]"
    ]
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize("name", sorted({*choices("sets")} - {"webdataset"}))
@pytest.mark.parametrize("config_name", ["train", "eval"])
def test_a_choice_of_sets_serves_all(name: str, config_name: str) -> None:
    config = composed(f"sets={name}", f"evaluation=[{ALL}]", config_name=config_name)
    assert len(build(config.evaluation)) == len(choices("evaluation"))


def test_the_papers_sets_are_all_of_the_table() -> None:
    sets = composed("sets=cyclip", "evaluation=[robustness]").evaluation.default_sets
    assert len(sets.probe) == len(set(sets.probe)) == 14
    assert len(sets.shifted) == 5
    for key in ("test", "with_train_split", "probe", "hierarchy", "shifted"):
        assert set(sets[key]) <= set(entries()), key


def test_wrong_settings_of_the_library_are_one_line() -> None:
    config = composed("+evaluation.library.mirror=x")
    with pytest.raises(
        ValueError, match=r"^evaluation\.library: has root, downloads and download$"
    ):
        build(config.evaluation)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp_cpu", "fsdp_cpu"])
def test_two_ranks_in_training_find_what_one_finds_afterwards(
    world: Path, tmp_path: Path, trainer: str
) -> None:
    sets = [
        "evaluation.knn.cadence.every_n_steps=1",
        f"evaluation=[{','.join(sorted({*choices('evaluation')} - {'linear_probe'}))}]",
        f"evaluation.datasets=[{world}/shapes,{world}/moved,{world}/captions]",
        f"evaluation.robustness.in_distribution={world}/shapes",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "features.batch_size=16",
    ]
    train_and_evaluate = [
        ["train.py", f"trainer={trainer}", *shrunk(world), *sets, "trainer.max_steps=2"],
        [
            "eval.py",
            f"checkpoint={tmp_path}/train.py/checkpoints/last.ckpt",
            "accelerator=cpu",
            *sets[1:],
        ],
    ]
    for command in train_and_evaluate:
        done = subprocess.run(
            [sys.executable, *command, f"hydra.run.dir={tmp_path}/{command[0]}"],
            cwd=CONF.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
    trained, evaluated = (
        json.loads((tmp_path / folder / "metrics.json").read_text())
        for folder in ("train.py", "eval.py")
    )
    assert len(evaluated) > 50
    assert {name: trained.get(name) for name in evaluated} == evaluated
