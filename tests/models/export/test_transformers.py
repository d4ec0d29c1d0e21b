"""What transformers alone loads is the model: pixels, tokens, embeddings and scale."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.models.export import transformers as exported
from cyclip_pl.models.export.same import TEXTS, images
from cyclip_pl.models.export.vocabulary import write_tokenizer
from cyclip_pl.projectors.linear import Linear
from tests.helpers.architectures import VIT
from tests.helpers.exported import ARCHITECTURES, changed, trained

transformers = pytest.importorskip("transformers")

WORDS = (*TEXTS, "it's, we'll: 3.14 -- a_b!!!", "漢字 👍🏽 ñandú", "", "a\n b\t c")


@pytest.fixture(autouse=True, scope="module")
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@torch.inference_mode()
def assert_same(folder, model) -> None:
    """By transformers alone."""
    network = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPProcessor.from_pretrained(folder)
    ours = torch.stack([model.preprocess(image) for image in images(model)])
    ours = (ours - model.encoder.mean) / model.encoder.std
    exact = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = exact(images(model), return_tensors="pt").pixel_values
    torch.testing.assert_close(pixels, ours, rtol=0, atol=1e-6)
    inputs = processor(
        text=list(WORDS), images=images(model), padding=True, truncation=True, return_tensors="pt"
    )
    # Its default resizes with torchvision, which rounds otherwise than Pillow: one level of 255.
    torch.testing.assert_close(inputs.pixel_values, ours, rtol=0, atol=1.5 / 255 / 0.26)
    tokens = model.tokenizer(list(WORDS))
    for theirs, expected in zip(inputs.input_ids, tokens, strict=True):
        length = expected.argmax() + 1  # up to the end; behind it, each pads in its own way
        assert torch.equal(theirs[:length], expected[:length])
        assert (theirs[length:] == 49407).all()
    found = network(**{**inputs, "pixel_values": pixels})
    torch.testing.assert_close(found.image_embeds, model.encode_image(ours), rtol=0, atol=3e-6)
    torch.testing.assert_close(found.text_embeds, model.encode_text(tokens), rtol=0, atol=3e-6)
    logits = model.scale * model.encode_image(ours) @ model.encode_text(tokens).T
    torch.testing.assert_close(found.logits_per_image, logits, rtol=0, atol=1e-3)
    features = network.get_image_features(pixel_values=pixels)
    features = getattr(features, "pooler_output", features)
    torch.testing.assert_close(normalize(features, dim=-1), found.image_embeds)


@pytest.mark.parametrize(
    "name", ["vit", "QuickGELU", "patch dropout", "linear head", "custom text"]
)
def test_a_clip_model(tmp_path, name) -> None:
    if name == "linear head":
        model = trained(VIT, lambda features: Linear(features, 7), image_size=48)
    elif name == "custom text":
        model = trained(changed(VIT, {"mlp_ratio": 2.0}, custom_text=True), context_length=13)
    else:
        model = trained(ARCHITECTURES[name])
    exported.write(model, tmp_path)
    assert_same(tmp_path, model)


def test_beside_the_tokenizer_of_onnx(tmp_path) -> None:
    """`format=[transformers,onnx]`: CLIPTokenizer prefers `tokenizer.json` to its own files."""
    model = trained(VIT)
    exported.write(model, tmp_path)
    write_tokenizer(model, tmp_path)
    assert_same(tmp_path, model)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: trained(ARCHITECTURES["resnet"]), "its image tower is a ResNet"),
        (lambda: trained(ARCHITECTURES["timm"]), r"is a network of timm \(test_resnet\)"),
        (lambda: trained(VIT, bias=-10.0), "it has a bias of the logits"),
        (lambda: trained(ARCHITECTURES["SigLIP's"]), "its text tower has no_causal_mask=True"),
        (
            lambda: trained(changed(VIT, {"pool_type": "avg"})),
            "its image tower has pool_type=avg",
        ),
        (lambda: trained(changed(VIT, {"ls_init_value": 0.1})), "has ls_init_value=0.1"),
    ],
)
def test_what_clip_model_is_not(tmp_path, model, said) -> None:
    with pytest.raises(ValueError, match=rf"^format=transformers: .*{said}.*format=onnx$"):
        exported.write(model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_written_is_compared(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(exported._IN_BLOCK, "mlp.c_fc", "mlp.fc3")
    with pytest.raises(ValueError, match="the exported model's embeddings of images differ"):
        exported.write(trained(VIT), tmp_path)
