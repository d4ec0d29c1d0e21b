"""Every logger stores a run: metrics per step, settings, provenance, images; a resume goes on."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from wandb.proto import wandb_internal_pb2

from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed
from tests.helpers.wandb_file import records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps that goes on to four with another setting, told to every logger."""
    folder = tmp_path_factory.mktemp("logged")
    for steps, more in ((2, []), (4, ["resume=auto", "optimizer.lr=0.5"])):
        typed = [
            *cheap(world, steps),
            "evaluation=[zero_shot]",
            f"evaluation.zero_shot.datasets=[{world}/shapes]",
            "logger=[tensorboard,csv,wandb,mlflow]",
            "logger.wandb.offline=true",
            "callbacks=[default,examples]",
            f"callbacks.examples.datasets=[{world}/captions]",
            "callbacks.examples.pairs=4",
            "callbacks.examples.every_n_steps=null",
        ]
        train(composed(*typed, *more, run_dir=folder))
    return folder


TOTAL, SCORE = "train/total", "shapes/zero_shot/acc1"
SHEETS = ("captions", "images", "similarities")


@pytest.fixture(scope="module")
def rows(run: Path) -> dict[str, dict[int, float]]:
    """What the CSV file has, by metric and step."""
    found: dict[str, dict[int, float]] = {TOTAL: {}, SCORE: {}}
    with (run / "csv/metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for name in found:
                if row[name]:
                    found[name][int(row["step"])] = float(row[name])
    assert list(found[TOTAL]) == [0, 1, 2, 3] and list(found[SCORE]) == [1, 3]
    return found


def test_tensorboard(run: Path, rows: dict[str, dict[int, float]]) -> None:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    for name, wanted in rows.items():
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx(wanted, rel=1e-6)
    (content,) = events.PluginTagToContent("hparams").values()
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["optimizer.lr"].number_value == 1e-3
    assert settings["objective._target_"].string_value.endswith("CyCLIP")
    assert settings["provenance.packages.torch"].string_value
    for name in SHEETS:
        assert [image.step for image in events.Images(f"examples/{name}")] == [1, 3]


def test_mlflow(run: Path, rows: dict[str, dict[int, float]]) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'cyclip-pl'")
    (of_run,) = client.search_runs([experiment.experiment_id])
    assert of_run.info.status == "FINISHED"
    for name, wanted in rows.items():
        history = client.get_metric_history(of_run.info.run_id, name)
        assert {one.step: one.value for one in history} == pytest.approx(wanted, rel=1e-6)
        assert len(history) == len(wanted)
    # A hyper-parameter keeps its first value there, and a tag has the one of the resumed run.
    assert of_run.data.params["optimizer.lr"] == "0.001"
    assert of_run.data.tags["optimizer.lr"] == "0.5"
    assert of_run.data.params["provenance.packages.torch"]
    assert "seed" not in of_run.data.tags
    for name in SHEETS:
        found = client.list_artifacts(of_run.info.run_id, f"examples/{name}")
        steps = [f"examples/{name}/{step:08d}.png" for step in (1, 3)]
        assert [artifact.path for artifact in found] == steps
        file = run / "mlflow/artifacts" / of_run.info.run_id / "artifacts" / steps[0]
        assert min(Image.open(file).size) > 40


def _wandb(folder: Path) -> tuple[str, dict[str, Any], dict[str, dict[int, Any]]]:
    """The run's id, its settings and its metrics by step, out of an offline folder."""
    (file,) = folder.glob("run-*.wandb")
    run_id, settings, metrics = "", {}, defaultdict(dict)
    for data in records(file):
        record = wandb_internal_pb2.Record.FromString(data)
        run_id = record.run.run_id or run_id
        for update in (*record.run.config.update, *record.config.update):
            settings[update.key or update.nested_key[0]] = json.loads(update.value_json)
        row = {
            i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item
        }
        for name, value in row.items():
            metrics[name][int(row.get("trainer/global_step", -1))] = value
    return run_id, settings, metrics


def test_wandb_offline(run: Path, rows: dict[str, dict[int, float]]) -> None:
    starts = [_wandb(folder) for folder in sorted((run / "wandb").glob("offline-run-*"))]
    ids, settings, metrics = zip(*starts, strict=True)
    assert len(ids) == 2 and ids[0] == ids[1] != ""
    assert [of_start["optimizer"]["lr"] for of_start in settings] == [1e-3, 0.5]
    assert settings[0]["provenance"]["packages"]["torch"]
    for name, wanted in rows.items():
        found = {step: value for of_start in metrics for step, value in of_start[name].items()}
        assert found == pytest.approx(wanted, rel=1e-6)
    for of_start, step in zip(metrics, (1, 3), strict=True):
        for name in SHEETS:
            assert of_start[f"examples/{name}.count"][step] == 1
