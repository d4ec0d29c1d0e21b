from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.augmented_pair import AugmentedPair
from cyclip_pl.data.views.evaluation import evaluation_transform
from tests.data.shards import epoch_of, write_shards

CAPTIONS = ["a small dog near the beach", "a red car and an old house"]


def an_image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))


def test_the_pair() -> None:
    views = AugmentedPair(16)
    sent = pickle.loads(pickle.dumps(views))
    assert (views.image_views, views.text_views, views.parameters) == (2, 2, 0)
    augmented, edited = set(), set()
    for seed in range(40):
        viewed = views(an_image(), CAPTIONS, generator("t", seed))
        assert viewed.images.shape == (2, 3, 16, 16) and viewed.images.dtype == torch.uint8
        assert viewed.augmentation is None
        assert torch.equal(viewed.images[0], evaluation_transform(16)(an_image()))
        caption, other = viewed.texts
        assert caption in CAPTIONS and len(set(caption.split()) & set(other.split())) >= 3
        augmented.add(viewed.images[1].numpy().tobytes())
        edited.add(other)
        again = sent(an_image(), CAPTIONS, generator("t", seed))
        assert torch.equal(again.images, viewed.images) and again.texts == viewed.texts
    assert len(augmented) > 15 and len(edited) > 15


def characters(texts: list[str]) -> Tensor:
    """The captions' first 64 bytes."""
    return torch.tensor([list(text.encode().ljust(64)[:64]) for text in texts])


def test_batches_draw_it_afresh(tmp_path: Path) -> None:
    write_shards(tmp_path, [16])
    settings = {"views": AugmentedPair(8), "tokenizer": characters, "batch_size": 16}
    (first,), (again,), (other,), (seeded,) = (
        epoch_of(tmp_path, **settings, **chosen) for chosen in ({}, {}, {"epoch": 1}, {"seed": 1})
    )
    assert first.images.shape == (2, 16, 3, 8, 8) and first.texts.shape == (2, 16, 64)
    assert first.augmentation is None
    assert torch.equal(first.images, again.images) and torch.equal(first.texts, again.texts)

    def by_sample(batch, modality: str) -> dict[bytes, bytes]:
        plain, augmented = getattr(batch, modality)
        keys = (text.numpy().tobytes() for text in batch.texts[0])
        assert len(plain) == 16
        return dict(zip(keys, (view.numpy().tobytes() for view in augmented), strict=True))

    for modality in ("images", "texts"):
        drawn = by_sample(first, modality)
        for batch in (other, seeded):
            changed = by_sample(batch, modality)
            assert changed.keys() == drawn.keys()
            assert sum(changed[key] != view for key, view in drawn.items()) >= 4
