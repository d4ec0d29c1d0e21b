"""The metrics in somebody's own LightningModule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from cyclip_pl.metrics.accuracy import TopKAccuracy
from cyclip_pl.metrics.alignment import CaptionAlignment
from cyclip_pl.metrics.modality_gap import ModalityGap
from cyclip_pl.metrics.retrieval import RetrievalRecall

IMAGES, WIDTH, CLASSES = 24, 8, 4


class Tiny(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Linear(5, WIDTH)
        self.text = torch.nn.Linear(5, WIDTH)
        self.accuracy = TopKAccuracy(CLASSES, top_k=(1, 2))
        self.acc1 = TopKAccuracy(CLASSES, top_k=(1,))["acc1"]
        self.gap = ModalityGap(WIDTH)
        self.pairs = MetricCollection(
            {"recall": RetrievalRecall((1,)), "close": CaptionAlignment()}
        )
        self.last: tuple[Tensor, ...] = ()

    def embedded(self, batch: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        image, text, label = batch
        return normalize(self.image(image), dim=1), normalize(self.text(text), dim=1), label

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        image_ND, text_ND, _ = self.embedded(batch)
        return (image_ND - text_ND).square().mean()

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        image_ND, text_ND, label_N = self.embedded(batch)
        score_NK = image_ND[:, :CLASSES]
        self.accuracy.update(score_NK, label_N)
        self.acc1.update(score_NK, label_N)
        self.gap.update(image_ND, text_ND)
        self.pairs.update(image_ND, text_ND)
        self.log("val/acc1", self.acc1)
        self.log("val/gap", self.gap)

    def on_validation_epoch_end(self) -> None:
        for metric in (self.accuracy, self.pairs):
            self.log_dict({f"val/all_{name}": v for name, v in metric.compute().items()})
            metric.reset()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_module_logs_them_in_every_epoch(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(
        torch.randn(IMAGES, 5, generator=generator),
        torch.randn(IMAGES, 5, generator=generator),
        torch.arange(IMAGES) % CLASSES,
    )
    model = Tiny()
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, DataLoader(data, 10), DataLoader(data, 10))
    with torch.no_grad():
        image_ND, text_ND, label_N = model.embedded(list(data.tensors))
    accuracy, gap, recall = TopKAccuracy(CLASSES, (1, 2)), ModalityGap(WIDTH), RetrievalRecall((1,))
    accuracy.update(image_ND[:, :CLASSES], label_N)
    gap.update(image_ND, text_ND)
    recall.update(image_ND, text_ND)
    expected = {
        "val/acc1": accuracy.compute()["acc1"],
        "val/gap": gap.compute(),
        **{f"val/all_{name}": value for name, value in accuracy.compute().items()},
        **{f"val/all_{name}": value for name, value in recall.compute().items()},
        "val/all_close": (image_ND - text_ND).square().sum(1).mean(),
    }
    assert trainer.callback_metrics.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            trainer.callback_metrics[name].float(), value.float(), rtol=1e-5, atol=1e-6
        )
