"""The real composed config, shrunk: one process, one seed, resumed, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from cyclip_pl import __version__
from cyclip_pl.evaluating import evaluate
from cyclip_pl.evaluation.features import store as features
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.models.load import load
from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.evaluation_sets import caption_set
from tests.helpers.world import SAMPLES, shrunk

pytestmark = pytest.mark.slow


def _train(world, folder, *overrides):
    return train(composed(*shrunk(world), *overrides, run_dir=folder))


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, _train(world, folder)


def test_the_run_folder_has_what_others_rely_on(run) -> None:
    folder, returned = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == returned
    assert metrics["train/samples"] == 4 * 24
    assert metrics["train/seconds"] > 0
    assert metrics["shapes/zero_shot/samples"] == 36
    assert 0 <= metrics["shapes/zero_shot/acc1"] <= metrics["shapes/zero_shot/acc5"] <= 1
    assert (folder / "config.yaml").is_file()
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert list((folder / "tensorboard").glob("events.*"))


def test_what_made_the_run_is_beside_its_metrics_and_in_its_checkpoints(run) -> None:
    folder, _ = run
    made_by = json.loads((folder / "provenance.json").read_text())
    assert made_by["cyclip_pl"] == __version__
    for name in ("last", "best"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        assert torch.load(path, weights_only=True)["provenance"] == made_by


def test_every_term_and_rate_is_logged_by_name(run) -> None:
    folder, _ = run
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = {name for row in rows for name, value in row.items() if value}
    assert logged >= {
        "train/total",
        "train/contrastive",
        "train/in_modal",
        "train/cross_modal",
        "train/scale",
        "train/gradient_norm",
        "train/images_per_second",
        "train/data_wait",
        "data/skipped",
        "lr-AdamW/pg1",
        "shapes/zero_shot/acc1",
    }
    first = next(row for row in rows if row["train/total"])
    total = float(first["train/contrastive"]) + 0.25 * (
        float(first["train/in_modal"]) + float(first["train/cross_modal"])
    )
    assert float(first["train/total"]) == pytest.approx(total, rel=1e-5)
    assert float(first["train/scale"]) == pytest.approx(1 / 0.07, rel=1e-2)


@pytest.mark.parametrize("path", ["", "checkpoints/last.ckpt", "checkpoints/best.ckpt"])
def test_what_was_saved_evaluates_as_it_did_in_training(run, world, path) -> None:
    folder, metrics = run
    model = load(folder / path)
    again = ZeroShot(datasets=[str(world / "shapes")])(FeatureStore(model)).metrics
    if path.endswith("best.ckpt"):
        assert again["shapes/zero_shot/acc1"] >= 0
    else:
        assert again == {k: v for k, v in metrics.items() if k in again}
    assert model.scale == pytest.approx(1 / 0.07, rel=1e-2)


def test_an_evaluation_run_shares_and_keeps_what_it_encodes(
    run, world, tmp_path, monkeypatch
) -> None:
    folder, metrics = run
    caption_set(tmp_path / "captions", [[f"a red square {n}", "an image"] for n in range(20)])
    config = composed(
        f"checkpoint={folder}",
        "evaluation=[zero_shot,retrieval]",
        f"evaluation.datasets=[{world}/shapes,{tmp_path}/captions]",
        f"features.cache={tmp_path}/cache",
        "predictions=true",
        "accelerator=cpu",
        config_name="eval",
        run_dir=tmp_path / "eval",
    )
    found = evaluate(config)
    assert found == {k: v for k, v in found.items() if k not in metrics or metrics[k] == v}
    assert {"shapes/zero_shot/acc1_low", "captions/retrieval/image_to_text_r1"} <= set(found)
    assert json.loads((tmp_path / "eval/metrics.json").read_text()) == found
    assert json.loads((tmp_path / "eval/provenance.json").read_text())["device"] == "cpu"
    for kind, suffix in (("details", ".json"), ("predictions", ".parquet")):
        names = sorted(path.name for path in (tmp_path / "eval" / kind).glob("*.*"))
        assert names == [f"captions_retrieval{suffix}", f"shapes_zero_shot{suffix}"]

    # The training's end evaluation keeps as much, so that reports compare both in pairs.
    name = "details/shapes_zero_shot"
    of_both = [json.loads((at / f"{name}.json").read_text()) for at in (folder, tmp_path / "eval")]
    assert of_both[0]["hits"] == of_both[1]["hits"]
    thumbnails = {path.name for path in (folder / name).iterdir()}
    assert thumbnails == {f"{one['image']}.webp" for one in of_both[0]["failures"]}

    def none(*arguments):
        raise AssertionError("the images of both sets are in the cache")

    monkeypatch.setattr("cyclip_pl.evaluation.features.store.encode_images", none)
    assert evaluate(config) == found


def test_evaluations_of_one_step_share_their_features(world, tmp_path, monkeypatch) -> None:
    caption_set(tmp_path / "captions", [[f"a red square {n}"] for n in range(6)])
    encoded = []
    encode_images = features.encode_images

    def counted(model, dataset, *arguments, **more):
        encoded.append(dataset.name)
        return encode_images(model, dataset, *arguments, **more)

    monkeypatch.setattr(features, "encode_images", counted)
    again = f"+evaluation.again={{_target_: {ZeroShot.__module__}.ZeroShot, datasets: "
    metrics = _train(
        world,
        tmp_path / "run",
        "evaluation=[zero_shot,retrieval]",
        f"evaluation.retrieval.datasets=[{tmp_path}/captions]",
        f"{again}[{world}/shapes], templates: simple}}",
        "trainer.max_steps=2",
    )
    assert encoded == ["shapes", "captions"]
    assert metrics["shapes/zero_shot/samples"] == metrics["shapes/again/samples"] == 36


def test_a_loaded_model_embeds_strings_and_images(run) -> None:
    from PIL import Image

    model = load(run[0])
    text = model.encode_text(["a red square", "a blue bar"])
    image = model.encode_image(torch.stack([model.preprocess(Image.new("RGB", (50, 40)))]))
    assert text.shape == (2, 256)
    assert image.shape == (1, 256)
    torch.testing.assert_close(text.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(model.encode_text(model.tokenizer(["a blue bar"]))[0], text[1])


def _weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_one_seed_is_one_run_and_another_is_not(run, world, tmp_path) -> None:
    _train(world, tmp_path / "same")
    _train(world, tmp_path / "other", "seed=1")
    weights = _weights(run[0])
    assert all(torch.equal(v, weights[k]) for k, v in _weights(tmp_path / "same").items())
    assert any(not torch.equal(v, weights[k]) for k, v in _weights(tmp_path / "other").items())


# At the end of an epoch, saved behind the last batch's callbacks or after all; and inside an epoch.
@pytest.mark.parametrize(("every_n_steps", "batch_size"), [(4, 24), (1000, 24), (1000, 10)])
def test_a_run_that_is_resumed_goes_on_as_if_it_had_not_stopped(
    world, tmp_path, every_n_steps, batch_size
) -> None:
    assert SAMPLES == 4 * 24, "an epoch is the four steps of a run"
    constant = [
        "scheduler.warmup_steps=0",
        "scheduler.final_fraction=1",
        f"callbacks.last.every_n_steps={every_n_steps}",
        f"data.batch_size={batch_size}",
    ]
    _train(world, tmp_path / "first", *constant)
    _train(world, tmp_path / "rest", *constant, "trainer.max_steps=8", f"resume={tmp_path}/first")
    _train(world, tmp_path / "whole", *constant, "trainer.max_steps=8")
    whole = _weights(tmp_path / "whole")
    assert all(torch.equal(v, whole[k]) for k, v in _weights(tmp_path / "rest").items())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer.accumulate_grad_batches=2"],
            "trainer.accumulate_grad_batches=2: small batches added up are not"
            " one large batch, whose samples are each other's negatives;"
            " set data.batch_size=LARGE microbatch=SMALL instead",
        ),
        (["microbatch=0"], "microbatch=0: must be null or a whole number of at least 1"),
        (
            ["trainer.gradient_clip_algorithm=value"],
            "trainer.gradient_clip_algorithm=value: must be null or one of norm",
        ),
        (["data.train.shards='/nowhere/{0..3}.tar'"], r"data.train.shards: '/nowhere/0.tar'"),
        (["data.batch_size=97"], "lower data.batch_size"),
        (["data.workers=5"], "4 shards are too few"),
        (["resume=/nowhere"], "resume=/nowhere: not a file or a run folder"),
        (["evaluation.zero_shot.datasets=[/nowhere/set]"], "/nowhere/set"),
        (["evaluation.zero_shot.templates=opnai"], "openai"),
        (["callbacks.best.monitor=shapes/zeroshot/acc1"], "zeroshot does not run; did you mean"),
        (
            ["objective.lambda_in_modal=-1"],
            "objective.lambda_in_modal=-1: must be a number at least 0",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    world, tmp_path, overrides, message
) -> None:
    from cyclip_pl.errors import one_line

    with pytest.raises(Exception) as caught:
        _train(world, tmp_path, *overrides)
    line = one_line(caught.value, "train")
    assert message in line
    assert "\n" not in line
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encoder.image_size=64"], "with encoder.image_size=32, this run has 64"),
        (["encoder.context_length=8"], "with encoder.context_length=null, this run has 8"),
        (
            ["encoder.architecture.text_cfg.layers=2"],
            "with encoder.architecture.text_cfg.layers=1, this run has 2",
        ),
        (["encoder=vit_b_32", "encoder.image_size=32"], "this run has ViT-B-32"),
    ],
)
def test_a_checkpoint_of_another_encoder_is_refused(
    run, world, tmp_path, overrides, message
) -> None:
    with pytest.raises(ValueError, match="was trained") as caught:
        _train(world, tmp_path, f"resume={run[0]}", *overrides)
    assert message in str(caught.value)


def test_weights_alone_cannot_be_resumed(run, world, tmp_path) -> None:
    with pytest.raises(ValueError, match="best.ckpt: has weights only"):
        _train(world, tmp_path, f"resume={run[0]}/checkpoints/best.ckpt")


def test_a_monitor_that_no_evaluation_gives_is_said_and_the_last_step_kept(world, tmp_path) -> None:
    with pytest.raises(
        ValueError, match="monitor=shapes/zero_shot/top_1: .* shapes/zero_shot/acc1"
    ):
        _train(world, tmp_path, "callbacks.best.monitor=shapes/zero_shot/top_1")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_loss_that_is_not_finite_stops_the_run(world, tmp_path) -> None:
    with pytest.raises(
        ValueError, match="step .: total, .* not finite with the samples .*lower optimizer.lr"
    ):
        _train(
            world,
            tmp_path,
            "optimizer.lr=1e30",
            "trainer.gradient_clip_val=null",
            "scheduler.warmup_steps=0",
            "trainer.max_steps=8",
        )
