"""Sets that every protocol can use, and models whose embeddings of them a test chooses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tests.helpers.evaluation_sets import TEMPLATES, TableModel, caption_set, coded_set

CLASSES = [f"class {k}" for k in range(6)]


def write_sets(
    folder: Path, test: Sequence[int], train: Sequence[int], broken: Sequence[int] = ()
) -> Path:
    """`s` with the splits test and train, `t` of the test images, `c` of captions, a hierarchy.

    Image n of the test split has the code n; those of the training split follow.
    """
    hierarchy = json.dumps({"even": CLASSES[::2], "odd": CLASSES[1::2]})
    coded_set(folder / "s", test, CLASSES, broken=broken)
    coded_set(folder / "s", train, CLASSES, split="train", first=len(test), broken=broken[:1])
    coded_set(folder / "t", test, CLASSES)
    caption_set(folder / "c", [[f"class {label}", "another"] for label in test])
    for file in ("h.json", "s/hierarchy.json", "t/hierarchy.json"):
        (folder / file).write_text(hierarchy)
    return folder


def table(image_ND: Tensor, text_KD: Tensor) -> TableModel:
    """Embeddings of the images by their code, and of every prompt by its class."""
    texts = {
        template.replace("{c}", name): text_KD[k]
        for k, name in enumerate(CLASSES)
        for template in TEMPLATES
    }
    return TableModel(image_ND, texts | {"another": text_KD[0]})


@contextmanager
def one_thread() -> Iterator[None]:
    """As each rank of `run_distributed` computes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TwoFaced(TableModel):
    """Features tell the classes apart, embeddings are all the same."""

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(len(images), 6) / 6**0.5, self.encode_image(images)


def two_faced(labels: Sequence[int]) -> TwoFaced:
    features = one_hot(torch.tensor(labels), 6) * 7.0
    return TwoFaced(features, table(features, torch.eye(6)).text_D)
