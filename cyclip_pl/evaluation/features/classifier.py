"""Class embeddings from prompts: the text side of zero-shot classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.distributed import sum_over_ranks
from cyclip_pl.evaluation.features.blocks import blocks_of_rank
from cyclip_pl.evaluation.features.modes import similarity
from cyclip_pl.evaluation.watch import Watch
from cyclip_pl.types import Model


@dataclass
class Classifier:
    """Embeddings of the U distinct names among K classes.

    Attributes:
        name_UD: float32, unit-norm rows, on the CPU.
        column_K: int64, the row of each class's name. Classes of one name share a row, so that
            their scores are equal and not merely close.
    """

    name_UD: Tensor
    column_K: Tensor

    @property
    def class_KD(self) -> Tensor:
        """One row per class."""
        return self.name_UD[self.column_K]

    def __call__(self, image_ND: Tensor) -> Tensor:
        """Scores (N, K), float32, on the device of the images."""
        device = image_ND.device
        return similarity(image_ND, self.name_UD.to(device))[:, self.column_K.to(device)]


def predict(score_NK: Tensor) -> tuple[Tensor, Tensor]:
    """The class of the highest score, int64 (N,), and that score (N,).

    Of equal scores the first. A row with a score that is not finite has the class -1.
    """
    best_N, class_N = score_NK.max(1)
    return class_N.where(score_NK.isfinite().all(1), -1), best_N


def class_embeddings(
    model: Model,
    classnames: Sequence[str],
    prompts: Sequence[Sequence[str]],
    batch_size: int,
    watch: Watch | None = None,
) -> Classifier:
    """Per class: encode its prompts, normalise each, average, normalise.

    This is the prompt ensemble of CLIP (arXiv 2103.00020, section 3.1.4). Prompts are encoded
    `batch_size` at a time, and the classes are dealt to the ranks: all of them enter together.

    Args:
        classnames: K names; classes of one name have the prompts of the first.
        prompts: The texts of each class, one or more.
        watch: Told how many classes are done.
    """
    watch = watch or Watch()
    of_name = dict(reversed(list(zip(classnames, prompts, strict=True))))
    names = list(dict.fromkeys(classnames))
    row = {name: number for number, name in enumerate(names)}
    most = max(len(texts) for texts in prompts)
    name_UD = None
    dealt = blocks_of_rank(len(names), max(1, batch_size // most))
    watch.stage("classes", sum(len(block) for block, _ in dealt))
    for block, real in dealt:
        texts = [text for u in block for text in of_name[names[u]]]
        prompt_PD = torch.cat(
            [
                model.encode_text(texts[start : start + batch_size]).float()
                for start in range(0, len(texts), batch_size)
            ]
        )
        if name_UD is None:
            name_UD = prompt_PD.new_zeros(len(names), prompt_PD.shape[1])
        if real:
            of_class = normalize(prompt_PD, dim=-1).split([len(of_name[names[u]]) for u in block])
            mean_UD = torch.stack([prompt_TD.mean(0) for prompt_TD in of_class])
            name_UD[block.start : block.stop] = normalize(mean_UD, dim=-1)
        watch.advance(len(block))
    assert name_UD is not None
    # Each row is one rank's and zero elsewhere: the sum is exact.
    return Classifier(
        sum_over_ranks(name_UD).cpu(), torch.tensor([row[name] for name in classnames])
    )
