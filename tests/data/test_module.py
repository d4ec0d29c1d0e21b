from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from cyclip_pl.data.module import DataModule
from cyclip_pl.data.settings import TrainSource
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.types import Batch
from tests.data.shards import data_module, epoch_of, number_tokenizer, numbers, write_shards


def refused(shards: Any, message: str, **settings: Any) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        data_module(shards, **settings).setup("fit")
    assert "\n" not in str(caught.value)


def test_missing_shards_name_the_first_and_the_setting(tmp_path: Path) -> None:
    write_shards(tmp_path, [4, 4])
    refused(
        f"{tmp_path}/{{00000..00005}}.tar",
        r"data.train.shards: '.*00002.tar' does not exist \(4 of 6 missing\)",
    )
    refused(tmp_path / "nowhere", "data.train.shards: '.*nowhere' does not exist")


def test_fewer_shards_than_readers(tmp_path: Path) -> None:
    write_shards(tmp_path, [40] * 5)
    refused(
        tmp_path,
        "5 shards are too few for 3 ranks x 2 workers = 6 readers.*data.workers.*resampled=true",
        ranks=3,
        workers=2,
    )
    data_module(tmp_path, ranks=3, workers=2, resampled=True).setup("fit")


def test_less_than_one_batch_of_all_ranks(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 4])
    message = r"7 samples per epoch are fewer.*\(2 ranks x data.batch_size 4 = 8\)"
    refused(tmp_path, f"data.train.shards: {message}", ranks=2)
    refused(
        tmp_path,
        f"data.train.samples_per_epoch: {message}",
        ranks=2,
        resampled=True,
        samples_per_epoch=7,
    )
    data_module(tmp_path, ranks=1).setup("fit")


def test_unknown_counts(tmp_path: Path) -> None:
    write_shards(tmp_path, [8])
    pipe = f"pipe:cat {tmp_path}/00000.tar"
    allowed = {"allow_pipe": True}
    unknown = "number of samples in 'pipe:.*' is unknown.*resampled=true.*samples_per_epoch=N"
    refused(pipe, unknown, **allowed)
    refused(pipe, "data.train.samples_per_epoch=null: the number", resampled=True, **allowed)
    module = data_module(pipe, resampled=True, samples_per_epoch=16, **allowed)
    module.setup("fit")
    assert len(list(module.train_dataloader())) == 4


@pytest.mark.parametrize("allowed", [False, "false", "true", None])
def test_a_command_needs_a_permission_before_it_runs(tmp_path: Path, allowed: object) -> None:
    module = data_module(
        ["/d/0.tar", f"pipe:touch {tmp_path}/ran"],
        resampled=True,
        samples_per_epoch=16,
        allow_pipe=allowed,
    )
    with pytest.raises(ValueError, match=r"^data\.train\.shards=pipe:.*set data\.allow_pipe=true"):
        module.setup("fit")
    assert list(tmp_path.iterdir()) == []


def test_shards_without_a_sample(tmp_path: Path) -> None:
    write_shards(tmp_path / "empty", [0, 0])
    refused(tmp_path / "empty", "no sample in '.*00000.tar' and 1 more shard")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "0.tar").write_bytes(b"text" * 500)
    for resampled in (False, True):
        refused(tmp_path / "text", "no sample in '.*0.tar': .+", resampled=resampled)


@pytest.mark.parametrize(
    ("setting", "value"), [("batch_size", 0), ("workers", -1), ("prefetch", 0)]
)
def test_settings_out_of_range(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"data.{setting}={value}: must be"):
        data_module("x.tar", **{setting: value})


def test_counts_are_read_once_and_believed(tmp_path: Path) -> None:
    write_shards(tmp_path, [8])
    (tmp_path / "sizes.json").write_text(json.dumps({"00000.tar": 6}))
    module = data_module(tmp_path, batch_size=2)
    module.setup("fit")
    assert len(module.train_dataloader()) == 3


def test_setup_is_for_training_alone() -> None:
    data_module("nowhere.tar").setup("validate")


def test_prepare_makes_what_is_missing_before_it_is_opened(tmp_path: Path) -> None:
    module = data_module(tmp_path / "train", prepare=lambda: write_shards(tmp_path / "train", [8]))
    module.prepare_data()
    module.setup("fit")
    assert len(module.train_dataloader()) == 2


def test_nothing_is_prepared_without_being_asked(tmp_path: Path) -> None:
    data_module(tmp_path / "nowhere").prepare_data()


class Recorder(LightningModule):
    """Keeps what it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        self.seen.append(numbers(batch))
        return self.weight * batch.images.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path, shards: Path, resume: Path | None = None, every: int | None = None, **length: int
) -> Recorder:
    model = Recorder()
    module = DataModule(
        TrainSource(str(shards)),
        batch_size=3,
        workers=2,
        views=Plain(8),
        tokenizer=number_tokenizer,
        seed=0,
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=every)],
        **length,  # type: ignore[arg-type]
    )
    trainer.fit(model, module, ckpt_path=resume, weights_only=False)
    assert trainer.estimated_stepping_batches == trainer.global_step
    return model


@pytest.mark.parametrize(
    "settings",
    [{"max_epochs": 3}, {"max_epochs": 3, "every": 7}, {"max_steps": 21, "every": 7}],
)
def test_lightning_trains_and_resumes_at_an_epochs_start(
    tmp_path: Path, settings: dict[str, int]
) -> None:
    shards = write_shards(tmp_path / "shards", [5, 7, 4, 6])  # seven batches
    whole = fit(tmp_path / "whole", shards, **settings)
    assert len(whole.seen) == 21 == len({str(order) for order in whole.seen})
    for epoch in range(3):
        expected = epoch_of(shards, epoch=epoch, batch_size=3, workers=2)
        assert whole.seen[7 * epoch : 7 * epoch + 7] == [numbers(batch) for batch in expected]
    rest = fit(tmp_path / "rest", shards, resume=tmp_path / "whole" / "step=7.ckpt", **settings)
    assert rest.seen == whole.seen[7:]


def test_lightning_stops_at_an_error_with_its_line(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", [2])
    with pytest.raises(ValueError, match="^data.train.shards: 1 shards are too few"):
        fit(tmp_path, shards, max_epochs=1)
