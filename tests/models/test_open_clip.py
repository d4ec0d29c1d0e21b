"""Models of open_clip, from tiny architectures that are registered for the test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.images import TooLarge, open_image
from cyclip_pl.models.open_clip import load_open_clip
from tests.helpers.architectures import RESNET, TIMM, VIT
from tests.helpers.images import KINDS

TEXTS = ["a red apple", "a bus"]


@pytest.fixture(scope="module", params=["RESNET", "VIT", "TIMM"])
def source(request, tmp_path_factory) -> tuple[str, Path, torch.nn.Module]:
    """Name, weights and network of an architecture of open_clip."""
    config = {"RESNET": RESNET, "VIT": VIT, "TIMM": TIMM}[request.param]
    folder = tmp_path_factory.mktemp("weights")
    name = f"tiny-{request.param}"
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    network = open_clip.create_model(name).eval()
    network.logit_scale.data.fill_(3.0)
    torch.save(network.state_dict(), folder / "weights.pt")
    return name, folder / "weights.pt", network


def samples() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def test_embeddings_are_those_of_open_clip(source) -> None:
    name, file, network = source
    model = load_open_clip(name, str(file))
    _, _, theirs = open_clip.create_model_and_transforms(name)
    images = torch.stack([model.preprocess(image) for image in samples()])
    assert torch.equal(images, torch.stack([theirs(image) for image in samples()]))
    with torch.no_grad():
        wanted = network.encode_image(images)
        embeddings, features = model.encode_image_and_features(images)
        assert torch.equal(features, wanted)
        assert torch.equal(embeddings, network.encode_image(images, normalize=True))
        assert torch.equal(model.encode_image(images), embeddings)
        tokens = open_clip.get_tokenizer(name)(TEXTS)
        assert torch.equal(model.tokenizer(TEXTS), tokens)
        text = network.encode_text(tokens, normalize=True)
        assert torch.equal(model.encode_text(TEXTS), text)
        assert torch.equal(model.encode_text(tokens), text)
    assert model.scale == pytest.approx(np.exp(3.0), rel=1e-6)
    assert not model.training and model.device == torch.device("cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_any_kind_is_rgb_before_it_is_resized(source, kind: str) -> None:
    """As in clip_benchmark, whose own opening clips what has 16 bits."""
    preprocess = load_open_clip(source[0], str(source[1])).preprocess
    image = open_image(KINDS[kind][0])
    assert torch.equal(preprocess(image), preprocess(image.convert("RGB")))
    if kind.startswith("I;16"):
        grey = preprocess(Image.new("RGB", (64, 64), (78, 78, 78)))
        assert torch.equal(preprocess(image)[:, :, -4:], grey[:, :, -4:])


@pytest.mark.parametrize("source", ["VIT"], indirect=True)
def test_what_a_caller_opens_is_bounded(source, monkeypatch) -> None:
    """Pixels before they are decoded; and a strip, which 32 pixels high would take 6 GB."""
    preprocess = load_open_clip(source[0], str(source[1])).preprocess
    assert preprocess(Image.new("RGB", (1_000_000, 1), "red")).shape == (3, 32, 32)
    assert preprocess(Image.new("RGB", (1, 1_000_000), "red")).shape == (3, 32, 32)
    monkeypatch.setattr("cyclip_pl.images.MAX_PIXELS", 99)
    for prepare in (preprocess, evaluation_transform(32)):
        with pytest.raises(TooLarge, match="10 x 10 pixels"):
            prepare(Image.new("RGB", (10, 10)))


@pytest.mark.parametrize("source", ["RESNET", "VIT"], indirect=True)
def test_a_tag_gets_the_activation_that_it_was_trained_with(source, monkeypatch) -> None:
    name, file, _ = source
    asked = []

    def download(tag, **unused):
        asked.append(tag["url"])
        return str(file)

    for quick in (False, True):
        tag = {"url": "there", "quick_gelu": quick}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, {"mine": tag})
        monkeypatch.setattr(open_clip, "download_pretrained", download)
        monkeypatch.setattr(open_clip.factory, "download_pretrained", download)
        model = load_open_clip(name, "mine")
        acts = {type(m).__name__ for m in model.network.modules() if "GELU" in type(m).__name__}
        assert acts == {"QuickGELU" if quick else "GELU"}
    assert set(asked) == {"there"}


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch) -> None:
    def download(tag, **unused):
        raise OSError("no network\nhere")

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    with pytest.raises(ValueError) as caught:
        load_open_clip("ViT-B/32", "laion2b_s34b_b79k")
    assert str(caught.value) == (
        "model.pretrained=laion2b_s34b_b79k: the weights of ViT-B-32 are not on this machine and "
        "cannot be fetched (no network here); give a file"
    )


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "ViT-B-33",
            None,
            r"^model\.name=ViT-B-33: .* no such .*; did you mean ViT-B-32",
        ),
        (
            "RN50",
            None,
            r"^model\.pretrained=\S+: not a file or a folder, and not a tag of RN50 \(tags: openai",
        ),
        ("tiny", Bomb(), r"^model\.pretrained=\S+: cannot be read as a checkpoint: holds "),
        ("tiny", {"weight": torch.ones(2)}, r"^model\.pretrained=\S+: does not fit tiny: "),
        ("tiny", {}, r"^model\.pretrained=\S+: has no state_dict of tensors"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, name, content, message) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(VIT))
    open_clip.add_model_config(tmp_path / "tiny.json")
    if content is not None:
        torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=message) as caught:
        load_open_clip(name, str(tmp_path / "weights.pt"))
    assert "\n" not in str(caught.value)
