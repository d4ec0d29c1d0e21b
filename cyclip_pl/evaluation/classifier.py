"""Class embeddings from prompts: the text side of zero-shot classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.distributed import sum_over_ranks
from cyclip_pl.evaluation.encode import device_of
from cyclip_pl.evaluation.modes import similarity
from cyclip_pl.evaluation.sharding import blocks_of_rank
from cyclip_pl.evaluation.templates import fill
from cyclip_pl.types import Model


@dataclass
class Classifier:
    """Embeddings of the U distinct names among K classes.

    Attributes:
        name_UD: float32, unit-norm rows.
        column_K: int64, the row of each class's name. Classes of one name share a row, so that
            their scores are equal and not merely close.
    """

    name_UD: Tensor
    column_K: Tensor

    def __call__(self, image_ND: Tensor) -> Tensor:
        """Scores (N, K), float32."""
        return similarity(image_ND, self.name_UD)[:, self.column_K]


def class_embeddings(
    model: Model, classnames: Sequence[str], templates: Sequence[str], batch_size: int
) -> Classifier:
    """Per class: fill every template, encode, normalise each, average, normalise.

    This is the prompt ensemble of CLIP (arXiv 2103.00020, section 3.1.4). Prompts are encoded
    `batch_size` at a time, and the classes are dealt to the ranks: all of them enter together.
    """
    names = list(dict.fromkeys(classnames))
    row = {name: number for number, name in enumerate(names)}
    name_UD = None
    for block, real in blocks_of_rank(len(names), max(1, batch_size // len(templates))):
        prompts = [fill(template, names[u]) for u in block for template in templates]
        prompt_PD = torch.cat(
            [
                model.encode_text(prompts[start : start + batch_size]).float()
                for start in range(0, len(prompts), batch_size)
            ]
        )
        if name_UD is None:
            name_UD = prompt_PD.new_zeros(len(names), prompt_PD.shape[1])
        if real:
            per_class = normalize(prompt_PD, dim=-1).unflatten(0, (len(block), len(templates)))
            name_UD[block.start : block.stop] = normalize(per_class.mean(1), dim=-1)
    assert name_UD is not None
    column_K = torch.tensor([row[name] for name in classnames], device=device_of(model))
    # Each row is one rank's and zero elsewhere: the sum is exact.
    return Classifier(sum_over_ranks(name_UD), column_K.to(name_UD.device))
