"""ONNX and torch.export: both towers, for any batch size, with nothing of this package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from cyclip_pl.models.export import onnx, torch_export
from cyclip_pl.models.export.same import TEXTS, images, pixels
from cyclip_pl.models.export.towers import towers
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.projectors.augmentation_aware import AugmentationAware
from cyclip_pl.projectors.clusters import Clusters
from tests.helpers.architectures import TIMM, VIT
from tests.helpers.exported import ARCHITECTURES, trained

onnxruntime = pytest.importorskip("onnxruntime")


def batches(example: torch.Tensor) -> list[torch.Tensor]:
    """Of other sizes than the example that was exported."""
    return [example[:1], example[1:], torch.cat([example, example.flip(0), example])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "projector"),
    [
        ("resnet", lambda f: AugmentationAware(f, 6, 8, 2, 12)),
        ("vit", lambda f: Clusters(f, 8, 6, 0.1, True, "clusters")),
    ],
    ids=["UniCLIP's", "nCLIP's"],
)
def test_onnx(tmp_path: Path, architecture, projector) -> None:
    model = trained(ARCHITECTURES[architecture], projector, bias=-3.0)
    assert onnx.write(model, tmp_path) == []
    facts = json.loads((tmp_path / "onnx.json").read_text())
    assert facts == {"image_size": 32, "context_length": 8, "scale": 23.0, "bias": -3.0}
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokens = np.array([text.ids for text in tokenizer.encode_batch(list(TEXTS))])
    assert np.array_equal(tokens, model.tokenizer(list(TEXTS)).numpy())
    for name, rows, encode in (
        ("image", pixels(model), model.encode_image),
        ("text", torch.from_numpy(tokens), model.encode_text),
    ):
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        (entry,) = session.get_inputs()
        for batch in batches(rows):
            (found,) = session.run(None, {entry.name: batch.numpy()})
            expected = encode(batch).detach().numpy()
            assert np.abs(found - expected).max() < 1e-5
            assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
            assert np.abs(expected[0] - expected[-1]).max() > 1e-4 or len(batch) == 1


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["timm", "vit"])
def test_torch_export(tmp_path: Path, architecture) -> None:
    model = trained(ARCHITECTURES[architecture])
    assert torch_export.write(model, tmp_path) == []
    for name, rows, encode in (
        ("image", pixels(model), model.encode_image),
        ("text", model.tokenizer(list(TEXTS)), model.encode_text),
    ):
        module = torch.export.load(tmp_path / f"{name}.pt2").module()
        for batch in batches(rows):
            torch.testing.assert_close(module(batch), encode(batch), rtol=0, atol=1e-5)
    # The text's embedding table is in the file of the text alone.
    assert (tmp_path / "image.pt2").stat().st_size < 49408 * 16 * 4
    assert (tmp_path / "text.pt2").stat().st_size > 49408 * 16 * 4


def test_the_towers_are_the_model() -> None:
    """Also of a model of open_clip's, which takes normalised images."""
    ours = trained(TIMM)
    network = ours.encoder.model
    network.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    theirs = OpenCLIPModel(network, ours.tokenizer).eval()
    for model in (ours, theirs):
        found = towers(model)
        image, text = found["image"], found["text"]
        assert image.example.dtype == torch.uint8 and text.example.dtype == torch.int64
        whole = model.encode_image(torch.stack([model.preprocess(i) for i in images(model)]))
        torch.testing.assert_close(image.module(image.example), whole, rtol=0, atol=1e-6)
        rows = model.encode_text(list(TEXTS))
        torch.testing.assert_close(text.module(text.example), rows, rtol=0, atol=1e-6)


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch) -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.normalize(torch.ones(len(x), 12), dim=-1)

    class Read:
        def module(self):
            return Wrong()

    monkeypatch.setattr(torch_export, "program", lambda *_: None)
    monkeypatch.setattr(torch.export, "save", lambda *_: None)
    monkeypatch.setattr(torch.export, "load", lambda *_: Read())
    with pytest.raises(ValueError, match=r"^format=torch_export: the exported model's .* images"):
        torch_export.write(trained(VIT), tmp_path)


def test_what_onnx_needs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(ValueError, match=r"^format=onnx: needs onnx: pip install 'cyclip-pl\[onnx"):
        onnx.write(trained(VIT), tmp_path)
