"""The authors' files: OpenAI's names, `module.` before them, an optimizer beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision import transforms

from cyclip_pl.models.official import load_official
from tests.helpers.model_sources import as_openai_wrote

# Heads are 64 wide in OpenAI's code.
TEXT = {"context_length": 9, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
RESNET = {"layers": [2, 1, 3, 1], "width": 4, "image_size": 64}
VIT = {"layers": 3, "width": 128, "patch_size": 8, "image_size": 32}
TEXTS = ["a red apple", "a bus that says more than nine words on its side"]


def network(vision: dict, quick_gelu: bool = True) -> torch.nn.Module:
    torch.manual_seed(0)
    made = open_clip.CLIP(10, vision_cfg=vision, text_cfg=TEXT, quick_gelu=quick_gelu).eval()
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    for name, weight in made.named_parameters():
        if name.endswith("bn3.weight"):  # zero at first, which would hide the blocks
            torch.nn.init.normal_(weight)
    made.logit_scale.data.fill_(4.0)
    return as_openai_wrote(made)


def save(path: Path, state: dict, prefix: str = "module.", **more) -> Path:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=5e-4).state_dict()
    named = {prefix + name: weight for name, weight in state.items()}
    content = {"epoch": 64, "name": "cyclip", "state_dict": named, "optimizer": optimizer}
    torch.save(content | more, path)
    return path


@pytest.mark.parametrize("kind", ["old", "TorchScript"])
@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
def test_files_of_other_formats(tmp_path: Path, vision: dict, kind: str) -> None:
    """Of torch before 1.6, and OpenAI's own, with numbers that are not weights beside them."""
    source, path = network(vision), tmp_path / "ViT.pt"
    wanted = load_official(save(tmp_path / "epoch_64.pt", source.state_dict())).state_dict()
    if kind == "old":
        content = torch.load(tmp_path / "epoch_64.pt", weights_only=True)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        for name in ("input_resolution", "context_length", "vocab_size"):
            vars(source).pop(name, None)
            source.register_buffer(name, torch.tensor(1))
        side = vision["image_size"]
        inputs = torch.zeros(1, 3, side, side), torch.zeros(1, 9, dtype=torch.long)
        torch.jit.save(torch.jit.trace(source, inputs, check_trace=False), path)
    found = load_official(path).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
def test_embeddings_are_those_of_the_source(tmp_path, vision, prefix) -> None:
    source = network(vision)
    model = load_official(save(tmp_path / "epoch_64.pt", source.state_dict(), prefix))
    torch.manual_seed(1)
    images = torch.randn(3, 3, vision["image_size"], vision["image_size"])
    tokens = open_clip.SimpleTokenizer(context_length=9)(TEXTS)
    with torch.no_grad():
        embeddings, features = model.encode_image_and_features(images)
        assert torch.equal(features, source.encode_image(images))
        assert torch.equal(embeddings, source.encode_image(images, normalize=True))
        assert torch.equal(model.encode_text(TEXTS), source.encode_text(tokens, normalize=True))
        # The activation shows: with another one the embeddings are others.
        other = network(vision, quick_gelu=False)
        assert not torch.allclose(
            model.encode_text(TEXTS), other.encode_text(tokens, normalize=True), atol=1e-4
        )
    assert model.scale == pytest.approx(np.exp(4.0), rel=1e-6)
    assert not model.training


def test_pictures_are_prepared_as_the_authors_do(tmp_path) -> None:
    model = load_official(save(tmp_path / "epoch_64.pt", network(VIT).state_dict()))
    theirs = transforms.Compose(
        [
            transforms.Resize(32, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize(
                (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
            ),
        ]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (41, 57, 3), dtype=np.uint8)
    for image in (Image.fromarray(pixels), Image.fromarray(pixels.transpose(1, 0, 2))):
        assert torch.equal(model.preprocess(image), theirs(image))


def test_weights_in_half_precision_become_whole(tmp_path) -> None:
    source = network(VIT).half()
    model = load_official(save(tmp_path / "epoch_64.pt", source.state_dict()))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    whole = source.float().state_dict()
    assert all(torch.equal(v, whole[k]) for k, v in model.network.state_dict().items())


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_is_unpickled(tmp_path) -> None:
    path = save(tmp_path / "epoch_64.pt", {}, optimizer=Bomb())
    with pytest.raises(ValueError, match=r"epoch_64\.pt: cannot be read as a checkpoint"):
        load_official(path)


def without(name: str) -> dict:
    return {key: weight for key, weight in network(VIT).state_dict().items() if key != name}


def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path) -> None:
    good = network(VIT).state_dict()
    wrong = {
        r"no 'text_projection'": without("text_projection"),
        r"Missing key.*visual\.ln_post\.bias": without("visual.ln_post.bias"),
        r"size mismatch for visual\.ln_post\.bias": good | {"visual.ln_post.bias": torch.ones(3)},
        r"Unexpected key.*surplus": good | {"surplus": torch.ones(1)},
        r"not the weights of an OpenAI CLIP: ": good | {"ln_final.weight": torch.tensor(1.0)},
        r"not the weights of an OpenAI CLIP:  ?": good | {"ln_final.weight": torch.ones(8)},
    }
    for message, state in wrong.items():
        path = save(tmp_path / "epoch_64.pt", state)
        with pytest.raises(ValueError, match=rf"epoch_64\.pt: .*{message}") as caught:
            load_official(path)
        assert "\n" not in str(caught.value)
    for content in (
        {"state_dict": [1]},
        {"state_dict": {}},
        {"state_dict": {"a": 1}},
        {"m": 1},
        [1],
    ):
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(ValueError, match=r"other\.pt: (has no state_dict|its '\w' is not a)"):
            load_official(tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"^model\.path=nowhere\.pt: there is no such file$"):
        load_official("nowhere.pt")
