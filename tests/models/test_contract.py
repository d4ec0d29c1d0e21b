"""A model of every source has the same methods, which take the same and mean the same."""

from __future__ import annotations

import copy
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cyclip_pl
from cyclip_pl.evaluation.features.classifier import class_embeddings
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.projectors.base import Projector
from tests.helpers.architectures import VIT
from tests.helpers.composed import choices
from tests.helpers.model_folders import write_open_clip, write_transformers
from tests.helpers.model_sources import write_official, write_run
from tests.helpers.modules import small_module


def _folder(folder: Path, write: Callable[..., object], *settings: dict) -> Path:
    write(folder, *settings)
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "ours": lambda folder: write_run(folder / "run"),
    "open_clip": lambda folder: _folder(folder, write_open_clip, VIT),
    "transformers": lambda folder: _folder(folder, write_transformers, {}, {}),
    "official": lambda folder: write_official(folder / "epoch_64.pt"),
}
NAMES = ["a red apple", "a bus", "a dog"]


@pytest.fixture(scope="module", params=SOURCES)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ImageTextModel:
    return cyclip_pl.load(SOURCES[request.param](tmp_path_factory.mktemp("source")))


def pictures(count: int = 3) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 40, 52, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def test_what_it_says_of_itself_is_what_it_does(model: ImageTextModel) -> None:
    row = model.encode_image(pictures(1))
    assert row.shape == (1, model.embed_dim) and row.dtype == torch.float32
    assert model.image_size == 32 and model.preprocess(pictures(1)[0]).shape == (3, 32, 32)
    assert model.logit_scale.exp().item() == pytest.approx(model.scale, rel=1e-6)
    assert model.bias is None and not model.training
    assert (model.dtype, model.device) == (torch.float32, torch.device("cpu"))
    assert repr(model).count("\n") == 0 and f"embed_dim={model.embed_dim}" in repr(model)


def test_images_of_every_kind_have_the_same_rows(model: ImageTextModel, tmp_path: Path) -> None:
    images = pictures()
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    pixels = torch.stack([model.preprocess(image) for image in images])
    assert torch.equal(model.preprocess(images), pixels)
    assert torch.equal(model.preprocess([str(paths[0]), pixels[1], images[2]]), pixels)
    with torch.no_grad():
        expected = model.encode_image(pixels)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(3))
    for given in (images, tuple(images), paths, list(pixels), [paths[0], images[1], pixels[2]]):
        assert torch.equal(model.encode_image(given), expected)
    for given in (images[0], paths[0], str(paths[0]), pixels[0]):
        torch.testing.assert_close(model.encode_image(given), expected[:1], rtol=1e-4, atol=1e-5)
    for given in (images, pixels):
        split = model.encode_image(given, batch_size=2)
        torch.testing.assert_close(split, expected, rtol=1e-4, atol=1e-5)
    assert model.encode_image([]).shape == (0, model.embed_dim)


def test_uint8_is_normalised_by_the_model(model: ImageTextModel) -> None:
    pixels = torch.arange(2 * 3 * 32 * 32).view(2, 3, 32, 32).remainder(256).to(torch.uint8)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    if isinstance(model, OpenCLIPModel):
        mean, std = (model.network.visual.preprocess_cfg[key] for key in ("mean", "std"))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    with torch.no_grad():
        ours, floats = model.encode_image(pixels), model.encode_image((pixels / 255 - mean) / std)
    torch.testing.assert_close(ours, floats, rtol=1e-4, atol=1e-5)


def test_a_string_is_one_text(model: ImageTextModel) -> None:
    expected = model.encode_text(NAMES)
    assert expected.shape == (3, model.embed_dim)
    tokens = model.tokenizer(NAMES)
    with torch.no_grad():
        assert torch.equal(model.encode_text(tokens), expected)
        assert torch.equal(model.encode_text(tuple(NAMES)), expected)
        for one in ("a red apple", tokens[0], ["a red apple"]):
            row = model.encode_text(one)
            torch.testing.assert_close(row, expected[:1], rtol=1e-4, atol=1e-5)
    assert torch.equal(model.tokenizer("a red apple"), tokens[:1])
    split = model.encode_text(NAMES, batch_size=2)
    torch.testing.assert_close(split, expected, rtol=1e-4, atol=1e-5)
    assert model.encode_text([]).shape == (0, model.embed_dim)


def test_only_tensors_keep_gradients(model: ImageTextModel) -> None:
    pixels = model.preprocess(pictures()).float().requires_grad_()
    model.encode_image(pixels, batch_size=2)[:, 0].sum().backward()
    assert pixels.grad is not None and pixels.grad.abs().sum() > 0
    assert model.encode_text(model.tokenizer(NAMES)).requires_grad
    assert not model.encode_image(pictures()).requires_grad
    assert not model.encode_text(NAMES).requires_grad
    assert not model.classify(pictures(), NAMES).requires_grad
    with torch.inference_mode():
        assert model.encode_image(pixels).is_inference()


def test_classes_have_probabilities_by_the_scale(model: ImageTextModel) -> None:
    images = pictures()
    probability = model.classify(images, NAMES)
    with torch.no_grad():
        cosines = model.encode_image(images) @ model.encode_text(NAMES).T
    by_hand = (model.scale * cosines.double()).exp()
    by_hand /= by_hand.sum(1, keepdim=True)
    torch.testing.assert_close(probability.double(), by_hand, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(probability.sum(1), torch.ones(3))
    assert model.classify(images[0], NAMES).shape == (1, 3)
    assert model.classify(images[0], "a red apple").tolist() == [[1.0]]


def test_templates_are_averaged_as_in_evaluations(model: ImageTextModel) -> None:
    images, templates = pictures(), ["a photo of {c}.", "a drawing of {c}, {c} alone"]
    prompts = [[t.replace("{c}", name) for t in templates] for name in NAMES]
    with torch.no_grad():
        score = class_embeddings(model, NAMES, prompts, batch_size=2)(model.encode_image(images))
    expected = (model.scale * score).softmax(1)
    actual = model.classify(images, NAMES, templates)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    one = model.classify(images, NAMES, "a photo of {c}.")
    assert torch.equal(one, model.classify(images, [f"a photo of {name}." for name in NAMES]))
    assert not torch.allclose(one, actual)
    for wrong in ("a photo", [], ["a photo of {c}", "a photo of {}"]):
        with pytest.raises(ValueError, match=r"templates=\[.*\{c\} in place of the class name"):
            model.classify(images, NAMES, wrong)
    with pytest.raises(ValueError, match=r"classnames=\[\]: there is no class"):
        model.classify(images, [])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_of_numbers(model: ImageTextModel, dtype: torch.dtype) -> None:
    other = copy.deepcopy(model).to("cpu", dtype)
    assert other.dtype == dtype and f"{dtype}".removeprefix("torch.") in repr(other)
    rows = torch.float64 if dtype == torch.float64 else torch.float32
    pixels = model.preprocess(pictures())
    near = {torch.bfloat16: 0.1, torch.float16: 0.02, torch.float64: 1e-4}[dtype]
    for given in (pictures(), pixels.float() if pixels.dtype != torch.uint8 else pixels):
        image = other.encode_image(given).detach()
        assert image.dtype == rows
        torch.testing.assert_close(image.norm(dim=1), torch.ones(3, dtype=rows))
        expected = model.encode_image(given).detach().to(rows)
        torch.testing.assert_close(image, expected, rtol=0, atol=near)
    text = other.encode_text(NAMES)
    assert text.dtype == rows
    torch.testing.assert_close(text, model.encode_text(NAMES).to(rows), rtol=0, atol=near)
    probability = other.classify(pictures(), NAMES)
    torch.testing.assert_close(probability.sum(1), torch.ones(3, dtype=rows))


def test_what_is_not_an_image_is_one_line(model: ImageTextModel, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for given, message in (
        (tmp_path / "none.png", "none.png: cannot be read: No such file or directory"),
        (tmp_path / "text.png", "text.png: not an image of these kinds"),
        (str(tmp_path), "cannot be read: Is a directory"),
        ([3], "images: int is not read; give PIL images, paths or tensors"),
        (np.zeros((32, 32, 3)), "images: ndarray is not read"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            model.encode_image(given)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="batch_size=0: must be"):
        model.encode_image(pictures(), batch_size=0)


def test_a_loader_can_have_workers(model: ImageTextModel) -> None:
    again = pickle.loads(pickle.dumps(model.preprocess))
    assert torch.equal(again(pictures()[0]), model.preprocess(pictures()[0]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="TorchInductor needs a C++ compiler")
@pytest.mark.parametrize("model", ["ours"], indirect=True)
def test_compiled_rows_are_the_same(model: ImageTextModel) -> None:
    """One tower of one source, because kernels take long to compile; the next test traces all."""
    torch.compiler.reset()
    compiled = copy.deepcopy(model)
    compiled.compile()
    expected = model.encode_image(pictures())
    torch.testing.assert_close(compiled.encode_image(pictures()), expected, rtol=1e-3, atol=1e-5)
    torch.compiler.reset()


def test_compile_traces_both_towers_whole(model: ImageTextModel) -> None:
    from torch._dynamo.utils import counters

    torch.compiler.reset()
    counters.clear()
    compiled = copy.deepcopy(model)
    compiled.compile(backend="eager", fullgraph=True)
    for rows, expected in (
        (compiled.encode_image(pictures()), model.encode_image(pictures())),
        (compiled.encode_text(NAMES), model.encode_text(NAMES)),
    ):
        torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2
    torch.compiler.reset()


@pytest.mark.parametrize("name", choices("objective"))
def test_the_projector_of_every_objective_says_its_width(name: str) -> None:
    module = small_module(name).eval()
    projector: Projector = module.projector
    features = torch.rand(2, module.encoder.embed_dim, dtype=torch.float64)
    assert projector.project_image(features).shape == (2, projector.embed_dim)
    assert projector.project_text(features).shape == (2, projector.embed_dim)


def test_both_towers_at_once(model: ImageTextModel) -> None:
    pixels, tokens = model.preprocess(pictures()), model.tokenizer(NAMES[:2])
    with torch.no_grad():
        image, text = model(pixels, tokens)
        assert torch.equal(image, model.encode_image(pixels))
        assert torch.equal(text, model.encode_text(tokens))
        assert model(pixels)[1] is None and model(tokens=tokens)[0] is None


def test_a_bias_cancels(tmp_path: Path) -> None:
    model = cyclip_pl.load(write_run(tmp_path))
    assert isinstance(model, EmbeddingModel)
    expected = model.classify(pictures(), NAMES)
    model.bias = -10.0
    assert torch.equal(model.classify(pictures(), NAMES), expected)
    assert math.isclose(model.logit_scale.item(), math.log(20.0), rel_tol=1e-6)
