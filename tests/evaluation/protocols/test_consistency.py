from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.consistency import Consistency
from tests.helpers.loops import naive_majority, naive_nearest
from tests.helpers.protocols import table, write_sets


def test_equals_loops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Two splits of 31 and 23 images; image 2 of both and image 30 cannot be decoded.
    test, train = [n % 6 for n in range(31)], [n * 7 % 6 for n in range(23)]
    generator = torch.Generator().manual_seed(1)
    image_ND = torch.randn(54, 3, generator=generator).round() + 0.01
    text_KD = torch.randn(6, 3, generator=generator)
    model = table(normalize(image_ND, dim=1), normalize(text_KD, dim=1))
    write_sets(tmp_path, test, train, broken=[2, 30])
    evaluation = Consistency([str(tmp_path / "s")], ks=[1, 4, 22, 23])
    with caplog.at_level(logging.WARNING):
        results = evaluation(FeatureStore(model, batch_size=8))
    kept, kept_train = [n for n in range(31) if n not in (2, 30)], [m for m in range(23) if m != 2]
    class_KD = torch.stack([normalize(2 * normalize(t, dim=0), dim=0) for t in text_KD])
    predicted = (model.image_ND[kept] @ class_KD.T).argmax(1).tolist()
    _, rows = naive_nearest(model.image_ND[kept], model.image_ND[[31 + m for m in kept_train]], 22)
    metrics = {name.split("/")[2]: value for name, value in results.metrics.items()}
    for k in (1, 4, 22):
        majorities = [naive_majority([train[kept_train[m]] for m in row[:k]]) for row in rows]
        agree = [p == m for p, m in zip(predicted, majorities, strict=True)]
        assert metrics[f"k{k}"] == pytest.approx(sum(agree) / 29)
        assert metrics[f"k{k}_low"] <= metrics[f"k{k}"] <= metrics[f"k{k}_high"]
        assert results.predictions["s/consistency"][f"majority_k{k}"] == majorities
    assert (metrics["samples"], metrics["train_samples"]) == (29, 22)
    assert "k23" not in metrics
    assert "s: k=23 left out: only 22 training images" in caplog.text
    assert results.predictions["s/consistency"]["index"] == kept
    assert results.predictions["s/consistency"]["prediction"] == predicted


def test_no_k_within_the_training_images(tmp_path: Path) -> None:
    write_sets(tmp_path, [0, 1], [0, 1])
    model = table(torch.eye(6), torch.eye(6))
    results = Consistency([str(tmp_path / "s")], ks=[3])(FeatureStore(model))
    assert set(results.metrics) == {"s/consistency/samples", "s/consistency/train_samples"}


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^evaluation\.consistency\.ks=\[0\]: must be"):
        Consistency(["x"], ks=[0])
    write_sets(tmp_path, [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"^evaluation\.consistency\.datasets: .*no split 'train'"):
        Consistency([str(tmp_path / "t")]).open()
