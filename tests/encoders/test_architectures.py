"""Every kind of network that open_clip has: trains, is kept, is exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from torch import Tensor
from transformers import RobertaModel

import cyclip_pl
from cyclip_pl.encoders.architectures import settled, without_own_weights
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.export import open_clip as exported
from cyclip_pl.optimization import decayed_names
from cyclip_pl.projectors.native import Native
from tests.helpers.architectures import TIMM, VIT
from tests.helpers.exported import assert_same, changed
from tests.helpers.model_folders import MEAN, STD, write_open_clip
from tests.helpers.text_towers import KINDS

TEXTS = ["a red apple", "A photo, of a dog!"]


def images(side: int, n: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, side, side), generator=generator).to(torch.uint8)


def save(encoder: DualEncoder, path: Path, architecture: Any) -> Path:
    """A checkpoint as training keeps it."""
    settings = {"_target_": "cyclip_pl.encoders.dual.DualEncoder", "architecture": architecture}
    settings |= {"image_size": None, "pretrained": None} | encoder.settings
    projector = {"_target_": "cyclip_pl.projectors.native.Native"}
    state = {f"encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    config = {"encoder": settings, "projector": projector}
    torch.save({"state_dict": state, "config": config, "scale": 9.0}, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_text_tower(kind: str, tmp_path: Path) -> None:
    config = KINDS[kind](tmp_path / "parts")
    torch.manual_seed(0)
    encoder = DualEncoder(config, context_length=8)
    side = config["vision_cfg"]["image_size"]
    assert encoder.image_size == side
    tokens = encoder.tokenizer(TEXTS)
    assert tokens.shape == (2, 8)
    rows = encoder.encode_image(images(side)), encoder.encode_text(tokens)
    assert all(one.shape == (2, encoder.embed_dim) for one in rows)
    sum(one.square().sum() for one in rows).backward()
    # All of them learn: DDP would wait for one that no loss reaches.
    assert [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []
    decayed = decayed_names(encoder)
    assert all((name in decayed) == (p.ndim > 1) for name, p in encoder.named_parameters())

    encoder.eval()
    trust = "hf_tokenizer_name" in config["text_cfg"]
    file = save(encoder, tmp_path / "last.ckpt", config)
    model = cyclip_pl.load(file, trust=trust)
    assert torch.equal(model.encoder.encode_image(images(side)), encoder.encode_image(images(side)))
    assert torch.equal(model.encoder.encode_text(tokens), encoder.encode_text(tokens))
    if trust:
        with pytest.raises(ValueError, match=r"may not come from a checkpoint; .*trust=true"):
            cyclip_pl.load(file)

    ours = EmbeddingModel(encoder, Native(encoder.embed_dim), 9.0, None)
    (tmp_path / "out").mkdir()
    assert exported.write(ours, tmp_path / "out") == []
    assert_same(tmp_path / "out", ours)
    written = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert str(tmp_path) not in written["model_cfg"]["text_cfg"].get("hf_tokenizer_name", "")


def test_cocas_towers_are_those_of_the_whole(tmp_path: Path) -> None:
    config = KINDS["coca"](tmp_path)
    torch.manual_seed(0)
    network = open_clip.CoCa(**{k: v for k, v in config.items() if k != "custom_text"}).eval()
    torch.save(network.state_dict(), tmp_path / "coca.pt")
    encoder = DualEncoder(config, pretrained=str(tmp_path / "coca.pt")).eval()
    pixels, tokens = torch.randn(2, 3, 32, 32), encoder.tokenizer(TEXTS)
    assert torch.equal(encoder.encode_image(pixels), network.encode_image(pixels, normalize=False))
    assert torch.equal(encoder.encode_text(tokens), network.encode_text(tokens, normalize=False))
    assert encoder.pretrained_scale == pytest.approx(1 / 0.07)
    assert not any("decoder" in name for name in encoder.state_dict())


TIMM_VIT = changed(
    VIT,
    vision={"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"}
    | {"image_size": 160},
    custom_text=True,
)


@pytest.mark.parametrize(
    ("config", "sides", "context_length"),
    [(VIT, (24, 48), 5), (VIT, (32,), 12), (TIMM_VIT, (128, 160, 192), 12)],
    ids=["vit", "longer text", "timm"],
)
def test_positions_are_resized_as_open_clip_does(
    config: dict[str, Any], sides: tuple[int, ...], context_length: int, tmp_path: Path
) -> None:
    (tmp_path / "resized.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "resized.json")
    file = str(tmp_path / "w.pt")
    torch.manual_seed(1)
    torch.save(open_clip.create_model("resized").state_dict(), file)
    for side in sides:
        theirs = open_clip.create_model(
            "resized", file, force_image_size=side, force_context_length=context_length
        ).state_dict()
        encoder = DualEncoder("resized", side, context_length, pretrained=file)
        ours = encoder.model.state_dict()
        assert theirs.keys() - ours.keys() == {"logit_scale"}
        assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
        encoder.encode_image(images(side))
        encoder.encode_text(encoder.tokenizer(TEXTS))


def test_a_folder_is_a_network_and_its_weights(tmp_path: Path) -> None:
    config = {**VIT, "quick_gelu": True}
    network = write_open_clip(tmp_path, config)
    source = f"local-dir:{tmp_path}"
    encoder = DualEncoder(source)
    assert encoder.settings == {
        "architecture": config,
        "image_size": 32,
        "pretrained": source,
        "quick_gelu": True,
        "mean": MEAN,
        "std": STD,
    }
    state = network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in encoder.model.state_dict().items())
    assert encoder.pretrained_scale == pytest.approx(torch.tensor(3.0).exp().item())
    assert DualEncoder(source, 48).image_size == 48
    with pytest.raises(ValueError, match=r"^encoder\.pretrained=x: encoder\.architecture=local"):
        DualEncoder(source, pretrained="x")
    with pytest.raises(ValueError, match=r"^encoder\.architecture=local-dir:/no: there is no"):
        DualEncoder("local-dir:/no")


def test_what_a_folder_may_not_decide(tmp_path: Path) -> None:
    write_open_clip(tmp_path, VIT)
    file, source = tmp_path / "open_clip_config.json", f"local-dir:{tmp_path}"
    content = json.loads(file.read_text())
    for part, value, message in (
        (
            "text_cfg",
            {"tokenizer_kwargs": {"trust_remote_code": True}},
            "trust_remote_code: is not",
        ),
        ("text_cfg", None, "text_cfg is not a node of settings"),
        ("vision_cfg", {"image_size": [32, 48]}, r"image_size=null: .* are not square; set"),
    ):
        node = value if value is None else content["model_cfg"][part] | value
        edited = {**content, "model_cfg": {**content["model_cfg"], part: node}}
        file.write_text(json.dumps(edited))
        with pytest.raises(ValueError, match=message) as caught:
            settled({"architecture": source, "image_size": None, "pretrained": None})
        assert "\n" not in str(caught.value)


def test_towers_begin_with_weights_of_their_own_where_the_config_says_so(tmp_path: Path) -> None:
    """Those of Hugging Face by default, as in open_clip; not where a checkpoint fills them."""
    config = KINDS["hugging face"](tmp_path / "parts")
    theirs = RobertaModel.from_pretrained(tmp_path / "parts").state_dict()

    def own(encoder: DualEncoder) -> bool:
        text = encoder.model.text.transformer.state_dict()
        return all(torch.equal(weight, theirs[name]) for name, weight in text.items())

    begun = DualEncoder(config)
    assert own(begun)
    kept = begun.settings["architecture"]
    assert kept["text_cfg"]["hf_model_pretrained"] is False and not own(DualEncoder(kept))
    assert without_own_weights(kept) is kept and without_own_weights("RN50") == "RN50"
    asked = {"architecture": config, "image_size": 32, "pretrained": None}
    assert settled(asked) == {} and settled(asked, filled=True) == {"architecture": kept}
    # What a file has wins over both.
    state = DualEncoder(kept).model.state_dict()
    torch.save(state | {"logit_scale": torch.tensor(3.0)}, tmp_path / "w.pt")
    filled = DualEncoder(config, pretrained=str(tmp_path / "w.pt"))
    assert not own(filled) and filled.settings["architecture"] == kept


def test_weights_of_timm_are_taken_where_the_config_asks_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []
    create = timm.create_model

    def created(*names: Any, pretrained: bool = False, **settings: Any) -> Any:
        asked.append(pretrained)
        return create(*names, **settings)

    monkeypatch.setattr(timm, "create_model", created)
    config = changed(TIMM, vision={"timm_model_pretrained": True})
    encoder = DualEncoder(config)
    assert encoder.settings["architecture"]["vision_cfg"]["timm_model_pretrained"] is False
    state = encoder.model.state_dict() | {"logit_scale": torch.tensor(3.0)}
    torch.save(state, tmp_path / "w.pt")
    DualEncoder(config, pretrained=str(tmp_path / "w.pt"))
    assert asked == [True, False]


def test_what_is_not_on_this_machine_is_named(tmp_path: Path) -> None:
    text = {"hf_tokenizer_name": str(tmp_path), "vocab_size": 20}
    with pytest.raises(ValueError, match=rf": cannot be built: .*; it needs {tmp_path} of Hugging"):
        DualEncoder(changed(VIT, text=text))
