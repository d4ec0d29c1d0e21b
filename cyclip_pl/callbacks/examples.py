"""What the model finds, as images in the loggers: retrieval both ways, and all similarities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from PIL.Image import Image
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.callbacks import sheets
from cyclip_pl.callbacks.evaluated import as_evaluated
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.images import Undecodable


class Examples(L.Callback):
    """Logs, for a few held-out pairs that stay the same, what the model finds among them.

    `examples/captions`: captions and the images nearest to each. `examples/images`: images and the
    captions nearest to each. `examples/similarities`: all cosines, images by captions, whose
    diagonal are the pairs. TensorBoard, wandb, MLflow and Trackio take images; other
    loggers get none.

    Args:
        datasets: Sets as of the evaluation `retrieval`, of which the first is used.
        split: The split to look at.
        every_n_steps: Steps between two looks, besides the one at the end; None for the end alone.
        pairs: Number of images, each with its first caption, evenly spread over the set.
        top_k: Number of finds per query.
        library: Settings of the `Library` that opens the set.

    Raises:
        ValueError: When the training begins: no such set, or a wrong setting.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        every_n_steps: int | None = 1000,
        pairs: int = 16,
        top_k: int = 4,
        library: Mapping[str, Any] | None = None,
    ) -> None:
        checks.whole("callbacks.examples.every_n_steps", every_n_steps, optional=True)
        checks.whole("callbacks.examples.pairs", pairs, least=2)
        checks.whole("callbacks.examples.top_k", top_k)
        self.specs = named_sets(datasets, "callbacks.examples.datasets")
        self.split = split
        self.every_n_steps = every_n_steps
        self.pairs = pairs
        self.top_k = top_k
        self.library = Library(**(library or {}))
        self._images: list[Image] = []
        self._captions: list[str] = []
        self._step_of_last = -1

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        found = self.library.captioned(self.specs, self.split, "callbacks.examples.datasets")
        self._images, self._captions = _pairs(found[0], self.pairs)

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0:
            self._log(trainer)

    def on_train_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._log(trainer)

    def _log(self, trainer: L.Trainer) -> None:
        steps = trainer.global_step
        if steps == self._step_of_last:
            return
        self._step_of_last = steps
        similarity_II = self._similarities(trainer)
        if not trainer.is_global_zero:
            return
        images, captions = self._images, self._captions
        k = min(self.top_k, len(images))
        drawn = {
            "captions": sheets.found_images(similarity_II.T, captions, images, k),
            "images": sheets.found_captions(similarity_II, images, captions, k),
            "similarities": sheets.matrix(similarity_II),
        }
        for logger in trainer.loggers:
            for name, image in drawn.items():
                log_image(logger, f"examples/{name}", image, max(0, steps - 1))

    def _similarities(self, trainer: L.Trainer) -> Tensor:
        """(I, I), cosines of images (rows) and captions, on the CPU."""
        module: Any = trainer.lightning_module
        with as_evaluated(trainer):
            model = module.as_model()
            images = torch.stack([model.preprocess(image) for image in self._images])
            image_ID = model.encode_image(images.to(model.device)).float()
            text_ID = model.encode_text(self._captions).float()
            return (image_ID @ text_ID.T).cpu()


def _pairs(dataset: CaptionSet, most: int) -> tuple[list[Image], list[str]]:
    images, captions = [], []
    count = min(most, len(dataset))
    for n in range(count):
        index = n * len(dataset) // count
        try:
            images.append(dataset.image(index).convert("RGB"))
        except Undecodable:
            continue
        captions.append(dataset.captions[index][0])
    if len(images) < 2:
        raise ValueError(
            f"callbacks.examples.datasets: {dataset.name} has fewer than two images to show"
        )
    return images, captions


def log_image(logger: Logger, name: str, image: Image, step: int) -> None:
    """Give an image to a logger of Lightning's that takes images."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(image), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, artifact_file=f"{name}/{step:08d}.png")
    elif hasattr(logger, "log_image"):
        logger.log_image(name, [image], step=step)
