"""What open_clip alone loads is the model: pixels, tokens, embeddings, scale and bias."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.export import open_clip as exported
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.projectors.augmentation_aware import AugmentationAware
from cyclip_pl.projectors.base import Projector
from cyclip_pl.projectors.clusters import Clusters
from cyclip_pl.projectors.linear import Linear
from cyclip_pl.projectors.self_supervised import SelfSupervised
from tests.helpers.architectures import RESNET, TIMM, VIT
from tests.helpers.exported import ARCHITECTURES, assert_same, changed, trained


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_kind_of_network(tmp_path, name) -> None:
    model = trained(ARCHITECTURES[name])
    assert exported.write(model, tmp_path) == []
    assert_same(tmp_path, model)


@pytest.mark.parametrize(
    "name",
    ["vit", "resnet", "timm", "timm, attention pool", "text of its own", "biased text projection"],
)
def test_linear_heads_are_folded(tmp_path, name) -> None:
    model = trained(ARCHITECTURES[name], lambda features: Linear(features, 7))
    notes = exported.write(model, tmp_path)
    assert [("image head is folded" in n, "text head is folded" in n) for n in notes] == [
        (True, False),
        (False, True),
    ]
    config = json.loads((tmp_path / "open_clip_config.json").read_text())["model_cfg"]
    assert config["embed_dim"] == 7
    assert_same(tmp_path, model)


def test_an_mlp_takes_a_head_of_its_own_width_alone(tmp_path) -> None:
    model = trained(ARCHITECTURES["timm, MLP"], lambda features: Linear(features, 12))
    exported.write(model, tmp_path)
    assert_same(tmp_path, model)
    model = trained(ARCHITECTURES["timm, MLP"], lambda features: Linear(features, 7))
    with pytest.raises(
        ValueError, match=r"^format=open_clip: open_clip cannot build .*format=onnx$"
    ):
        exported.write(model, tmp_path)


class Stretched(Projector):
    """A user's own."""

    def image_head(self, features, augmentation):
        return 3 * features.flip(-1)

    def text_head(self, features):
        return 2 * features.flip(-1)


class Rectified(Stretched):
    def text_head(self, features):
        return features.relu()


class Awry(Stretched):
    def project_image(self, features, augmentation=None):
        return super().project_image(features, augmentation).roll(1, -1)


PROJECTORS = {
    "clusters beside the joint space": lambda f: Clusters(f, 8, 6, 0.1, True, "joint"),
    "self-supervised": lambda f: SelfSupervised(f, 4, 6),
    "own": Stretched,
}


@pytest.mark.parametrize("name", PROJECTORS)
def test_other_projectors(tmp_path, name) -> None:
    model = trained(VIT, PROJECTORS[name])
    notes = exported.write(model, tmp_path)
    assert ("left out" in notes[0]) == (name != "own")
    assert_same(tmp_path, model)


def by_clusters(features):
    return Clusters(features, 8, 6, 0.1, True, "clusters")


def augmentation_aware(features):
    return AugmentationAware(features, 6, 8, 2, 12)


@pytest.mark.parametrize(
    ("projector", "said"),
    [
        (by_clusters, r"\(Clusters\) is not linear for images"),
        (augmentation_aware, r"\(AugmentationAware\) is not linear for images"),
        (Rectified, r"\(Rectified\) is not linear for texts"),
        (Awry, r"\(Awry\) is not linear for images"),
    ],
)  # fmt: skip
def test_what_open_clip_has_not(tmp_path, projector, said) -> None:
    with pytest.raises(ValueError, match=rf"^format=open_clip: .*{said}.*; use format=onnx$"):
        exported.write(trained(VIT, projector), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_augmentation_aware_head_as_it_starts_is_linear(tmp_path) -> None:
    torch.manual_seed(0)
    encoder = DualEncoder(VIT, 32)
    model = EmbeddingModel(encoder, AugmentationAware(12, 6, 8, 2, 12)).eval()
    exported.write(model, tmp_path)
    assert_same(tmp_path, model)


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        (VIT, {"image_size": 48}),
        (RESNET, {"image_size": 64}),
        (TIMM, {"image_size": 40}),
        (VIT, {"context_length": 5}),
        (VIT, {"patch_dropout": 0.5}),
        (RESNET, {"lock_image": True, "lock_text": True}),
        (TIMM, {"lock_image": True}),
        (VIT, {"channels_last": False, "gradient_checkpointing": True}),
    ],
)
def test_settings_of_the_encoder(tmp_path, architecture, settings) -> None:
    model = trained(architecture, **settings)
    exported.write(model, tmp_path)
    assert_same(tmp_path, model)


def test_siglips_bias_and_the_scale(tmp_path) -> None:
    for bias in (-7.5, None):
        model = trained(ARCHITECTURES["SigLIP's"], scale=0.4, bias=bias)
        exported.write(model, tmp_path)
        assert_same(tmp_path, model)


def test_a_size_that_open_clip_cannot_give_to_timm(tmp_path) -> None:
    model = trained(ARCHITECTURES["vit of timm"], image_size=64)
    with pytest.raises(ValueError, match=r"^format=open_clip: open_clip cannot build .*pos_embed"):
        exported.write(model, tmp_path)


def test_half_precision_and_any_device_give_float32(tmp_path) -> None:
    model = trained(VIT).double()
    exported.write(model, tmp_path)
    network = open_clip.create_model(f"local-dir:{tmp_path}")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_model_of_open_clips_own(tmp_path) -> None:
    """With preprocessing of its own, and SigLIP's bias."""
    config = ARCHITECTURES["SigLIP's"]
    ours = {"mean": (0.5, 0.4, 0.3), "std": (0.5,) * 3, "resize_mode": "squash"}
    network = open_clip.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    preprocess = PreprocessCfg(size=32, interpolation="bilinear", **ours)
    open_clip.set_model_preprocess_cfg(network, asdict(preprocess))
    network.logit_scale.data.fill_(2.5)
    tokenizer = open_clip.SimpleTokenizer(context_length=8)
    model = OpenCLIPModel(network, tokenizer, config).eval()
    assert (model.scale, model.bias) == (pytest.approx(math.exp(2.5)), -10)
    exported.write(model, tmp_path)
    assert_same(tmp_path, model)
    with pytest.raises(ValueError, match="its open_clip config is not known, so open_clip cannot"):
        exported.write(OpenCLIPModel(network, tokenizer), tmp_path)


@pytest.fixture
def bert(tmp_path: Path) -> str:
    """A text tower of Hugging Face's, as a folder with its config and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "bert"
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{w}" for w in letters)]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(words), intermediate_size=16, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("kind", "dim"), [("linear", 7), ("mlp", 12)])
def test_a_text_tower_of_hugging_face(tmp_path, bert, kind, dim, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = {"hf_model_name": bert, "hf_tokenizer_name": bert, "hf_proj_type": kind}
    text |= {"hf_pooler_type": "mean_pooler", "context_length": 9, "hf_model_pretrained": False}
    architecture = changed(VIT) | {"text_cfg": text}
    model = trained(architecture, lambda features: Linear(features, dim))
    folder = tmp_path / "model"
    folder.mkdir()
    exported.write(model, folder)
    assert (folder / "tokenizer_config.json").is_file()
    assert_same(folder, model)


def test_what_was_written_is_compared(tmp_path, monkeypatch) -> None:
    def spoilt(weights, path, metadata):
        save(weights | {"visual.proj": weights["visual.proj"] * torch.randn(12)}, path, metadata)

    save = exported.save_file
    monkeypatch.setattr(exported, "save_file", spoilt)
    with pytest.raises(ValueError, match="embeddings of images differ from the model's own by"):
        exported.write(trained(VIT), tmp_path)
