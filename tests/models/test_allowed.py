"""What a stranger's config may have built."""

from __future__ import annotations

import socket
from typing import Any

import open_clip
import pytest
import torch

import cyclip_pl
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.allowed import check_settings
from tests.helpers.architectures import RESNET, TEXT, TIMM, VIT

SETTINGS = {"architecture", "image_size", "context_length", "pretrained", "channels_last"}
HOSTILE_TEXT = {
    "hf_tokenizer_name": "a/b",
    "hf_model_name": "roberta-base",
    "hf_model_pretrained": False,
    "hf_proj_type": "mlp",
    "hf_pooler_type": "mean_pooler",
    "hf_anything": None,
    "tokenizer_kwargs": {"trust_remote_code": True},
    "tokenizer_mode": "slow",
    "trust_remote_code": True,
    "pretrained": "x.pt",
    "layers": 10**6,
    "vocab_size": 10**9,
    "context_length": 100_000,
    "width": 2**60,
    "heads": 0,
    "mlp_ratio": float("nan"),
    "ls_init_value": float("inf"),
    "pad_id": -1,
    "pool_type": "/etc/passwd",
    "proj_type": ["linear"],
    "embed_cls": 1,
    "norm_kwargs": {"eps": 1e-6, "device": "cuda"},
    "act_kwargs": {"approximate": {"_target_": "os.system"}},
    "_target_": "os.system",
    3: 4,
    "a\nb\x1b[2J": 1,
    "block_type": "x" * 10**6,
}
HOSTILE_VISION = {
    "layers": [3, 4, 6, 10**6],
    "width": True,
    "head_width": -8,
    "patch_size": 0,
    "image_size": 10**5,
    "patch_dropout": 2,
    "attn_pooler_queries": 10**9,
    "timm_model_name": "hf-hub:a/b",
    "timm_model_pretrained": True,
    "timm_pool": "local-dir:/tmp",
    "timm_drop_path": -1,
    "pretrained_cfg": {"url": "http://x"},
    "checkpoint_path": "/tmp/x",
}
WHOLE = [
    *("hf-hub:a/b", "local-dir:/tmp", "/tmp/x", "", "ViT-B-16-SigLIP", "roberta-ViT-B-32", "RN5"),
    *("x" * 10**6, None, 3, True, [], {}, {"embed_dim": 4}, {**VIT, "hf_hub": "a/b"}),
    *({**VIT, "embed_dim": value} for value in (0, -1, True, 1.5, "12", None, 2**62, float("nan"))),
    *({**VIT, part: value} for part in ("vision_cfg", "text_cfg") for value in (None, 3, "x", [])),
    {**VIT, "multimodal_cfg": {"hf_model_name": "a/b"}},
    {**VIT, "init_logit_scale": 1e30},
    *({**TIMM, "vision_cfg": {"timm_model_name": n}} for n in ("local-dir:/x", "no", 3, "a/b", "")),
]


def cases() -> list[tuple[Any, str]]:
    """Architectures, and the key that the refusal names."""
    found = [(value, "encoder.architecture") for value in WHOLE]
    for part, hostile in (("text_cfg", HOSTILE_TEXT), ("vision_cfg", HOSTILE_VISION)):
        for key, value in hostile.items():
            named = f"encoder.architecture.{part}." + (key if str(key).isidentifier() else "")
            found.append(({**VIT, part: {**VIT[part], key: value}}, named))
    return found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def save(path, encoder: dict[str, Any], **state: torch.Tensor):
    config = {
        "encoder": {"_target_": "cyclip_pl.encoders.dual.DualEncoder", "image_size": 32} | encoder,
        "projector": {"_target_": "cyclip_pl.projectors.native.Native"},
    }
    weights = {f"encoder.{name}": weight for name, weight in state.items()}
    torch.save({"state_dict": weights, "config": config, "scale": 20.0, "global_step": 9}, path)
    return path


def test_hostile_architectures_are_refused_by_key(tmp_path, no_network, monkeypatch) -> None:
    def build(*_: Any, **__: Any) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(open_clip, "create_model", build)
    for architecture, named in cases():
        with pytest.raises(ValueError) as caught:
            cyclip_pl.load(save(tmp_path / "model.ckpt", {"architecture": architecture}))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'model.ckpt'}: {named}"), message
        assert message.isprintable() and len(message) < 400, message


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 10**6},
        {"image_size": -32},
        {"image_size": True},
        {"image_size": None},
        {"context_length": 10**6},
        {"context_length": 1.5},
        {"patch_dropout": float("nan")},
        {"channels_last": "/tmp/x"},
        {"channels_last": [1]},
        {"lock_image": {"_target_": "os.system"}},
        {"tokenizer": "x"},
        {"cache_dir": "/tmp/x"},
        {5: 5},
    ],
)
def test_hostile_settings_are_refused_by_key(tmp_path, settings, no_network) -> None:
    path = save(tmp_path / "model.ckpt", {"architecture": VIT, **settings})
    with pytest.raises(ValueError, match=rf"model\.ckpt: encoder\.{next(iter(settings))}\b"):
        cyclip_pl.load(path)


@pytest.mark.parametrize(
    ("projector", "named"),
    [
        ({"_target_": "linear.Linear", "dim": 10**9}, "projector.dim"),
        ({"_target_": "linear.Linear", "dim": [3]}, "projector.dim"),
        ({"_target_": "linear.Linear", "dim": 3, "features": 4}, "projector.features"),
        ({"_target_": "linear.Linear", "dim": 2**20}, "weights do not fit"),
        ({"_target_": "linear.Linear", "dim": 0}, "projector.dim=0"),
        (
            {"_target_": "augmentation_aware.AugmentationAware", "dim": None, "width": 1}
            | {"parameters": 1, "blocks": 10**5},
            "projector.blocks",
        ),
        ({"_target_": "base.Projector"}, ""),
    ],
)
def test_hostile_projectors(tmp_path, projector, named) -> None:
    config = {
        "encoder": {
            "_target_": "cyclip_pl.encoders.dual.DualEncoder",
            "image_size": 32,
            "architecture": VIT,
        },
        "projector": projector | {"_target_": f"cyclip_pl.projectors.{projector['_target_']}"},
    }
    state = {f"encoder.{k}": v for k, v in DualEncoder(VIT, 32).state_dict().items()}
    torch.save({"state_dict": state, "config": config, "scale": 1.0}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=rf"model\.ckpt: {named}") as caught:
        cyclip_pl.load(tmp_path / "model.ckpt")
    assert str(caught.value).isprintable()


def test_sizes_that_the_file_does_not_hold_are_not_built(tmp_path, monkeypatch) -> None:
    """1.5 TB of weights, each size within its own bound."""
    large = {**TEXT, "width": 2**13, "layers": 256, "heads": 8}
    path = save(tmp_path / "model.ckpt", {"architecture": {**VIT, "text_cfg": large}})
    devices = []
    create = open_clip.create_model
    monkeypatch.setattr(
        open_clip,
        "create_model",
        lambda *a, **k: devices.append(k["device"].type) or create(*a, **k),
    )
    with pytest.raises(ValueError, match=r"model\.ckpt: weights do not fit its config"):
        cyclip_pl.load(path)
    assert devices == ["meta"]


def test_every_network_of_open_clip_that_fetches_nothing_may_be_built() -> None:
    for name in open_clip.list_models():
        if name.startswith("inline-"):
            continue  # another test's
        config = open_clip.get_model_config(name)
        settings = {"architecture": name, "image_size": 224, "pretrained": "/any/thing"}
        if any(key.startswith("hf_") for key in config["text_cfg"]):
            with pytest.raises(ValueError, match=r"text_cfg\.hf_\w+: may not come from"):
                check_settings(settings, SETTINGS, "encoder")
        else:
            check_settings(settings, SETTINGS, "encoder")


@pytest.mark.parametrize("architecture", [RESNET, VIT, TIMM], ids=["resnet", "vit", "timm"])
def test_what_was_trained_is_loaded(tmp_path, architecture, no_network) -> None:
    """With the settings that leave a mark in the weights."""
    settings = {"architecture": architecture, "lock_image": True, "context_length": 5}
    encoder = DualEncoder(image_size=32, **settings)
    path = save(tmp_path / "model.ckpt", settings, **encoder.state_dict())
    model = cyclip_pl.load(path)
    for name, weight in encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], weight), name
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_weights_that_are_not_finite_name_tensor_and_step(tmp_path) -> None:
    state = DualEncoder(VIT, 32).state_dict()
    state["model.ln_final.weight"][2] = float("nan")
    path = save(tmp_path / "model.ckpt", {"architecture": VIT}, **state)
    with pytest.raises(ValueError, match=r"encoder\.model\.ln_final\.weight first .*step 9"):
        cyclip_pl.load(path)


def test_trust_builds_what_the_user_vouches_for(tmp_path, monkeypatch) -> None:
    """The user's own checkpoint, beyond the bounds; the refusal says how."""
    text = {**TEXT, "context_length": 1100}
    encoder = DualEncoder({**VIT, "text_cfg": text}, 32)
    path = save(
        tmp_path / "model.ckpt", {"architecture": {**VIT, "text_cfg": text}}, **encoder.state_dict()
    )
    with pytest.raises(ValueError, match=r"model\.trust=true"):
        cyclip_pl.load(path)
    assert cyclip_pl.load(path, trust=True).tokenizer(["a"]).shape == (1, 1100)
