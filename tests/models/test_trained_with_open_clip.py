"""What open_clip's own training writes is loaded here: the same weights, scale and bias."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip_train import main as open_clip_train
from torch import Tensor

import cyclip_pl
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.official import load_official
from tests.helpers.world import CLASSES, shape_png

ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 12,
    # Heads of 64, as in OpenAI's networks: their shapes are not what tells the two apart.
    "vision_cfg": {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
NAME = "tiny-trained"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Path]]:
    """A checkpoint of two steps of `open_clip_train` with a loss."""
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / f"{NAME}.json").write_text(json.dumps(ARCHITECTURE))
    open_clip.add_model_config(folder / f"{NAME}.json")
    rows = ["filepath\ttitle"]
    for index in range(8):
        (folder / f"{index}.png").write_bytes(shape_png(index))
        rows.append(f"{folder}/{index}.png\ta {CLASSES[index]}")
    (folder / "pairs.tsv").write_text("\n".join(rows))

    def checkpoint(loss: str) -> Path:
        path = folder / "logs" / loss / "checkpoints" / "epoch_1.pt"
        if not path.exists():
            open_clip_train.main(
                f"--train-data {folder}/pairs.tsv --dataset-type csv --model {NAME}"
                " --batch-size 4 --epochs 1 --workers 0 --warmup 1 --device cpu --precision fp32"
                f" --logs {folder}/logs --name {loss}".split()
                + ["--siglip"] * (loss == "siglip")
            )
        return path

    with pytest.MonkeyPatch.context() as patch:
        # It would change the level of every logger of this process.
        patch.setattr(open_clip_train, "setup_logging", lambda *_: None)
        yield checkpoint


def theirs(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_training_starts_from_it(trained: Callable[[str], Path], loss: str) -> None:
    path = trained(loss)
    state = theirs(path)
    assert ("logit_bias" in state) is (loss == "siglip")
    encoder = DualEncoder(NAME, 32, pretrained=str(path))
    own = encoder.model.state_dict()
    assert own.keys() == state.keys() - {"logit_scale", "logit_bias"}
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    assert encoder.pretrained_scale == pytest.approx(state["logit_scale"].exp().item())
    bias = state.get("logit_bias")
    assert encoder.pretrained_bias == (None if bias is None else bias.item())


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_it_is_evaluated(trained: Callable[[str], Path], loss: str) -> None:
    path = trained(loss)
    model = cyclip_pl.load(f"open_clip:{NAME}/{path}")
    own = open_clip.create_model(NAME, init_logit_bias=0.0 if loss == "siglip" else None).eval()
    own.load_state_dict(theirs(path))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(
            model.encode_image_and_features(images)[0], own.encode_image(images, normalize=True)
        )
        tokens = open_clip.get_tokenizer(NAME)(["a red circle", "a green bar"])
        assert torch.equal(model.encode_text(tokens), own.encode_text(tokens, normalize=True))
    assert model.scale == own.logit_scale.exp().item()


def test_its_activation_is_not_guessed(trained: Callable[[str], Path]) -> None:
    """Names and shapes are those of OpenAI's networks, which have QuickGELU."""
    path = trained("clip")
    for load in (cyclip_pl.load, load_official):
        with pytest.raises(ValueError) as caught:
            load(path)
        assert str(caught.value).endswith(f"; give open_clip:ARCHITECTURE/{path}")
