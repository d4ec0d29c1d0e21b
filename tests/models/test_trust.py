"""Encoders and projectors of a user's own package: trained, resumed, loaded, evaluated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import cyclip_pl
from cyclip_pl.evaluating import evaluate
from cyclip_pl.training import train
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.model_sources import write_checkpoint
from tests.helpers.world import shrunk

PARTS = '''
import torch
from torch import nn

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.projectors.base import Projector


class Brighter(DualEncoder):
    """The network of open_clip, after brighter images."""

    def __init__(self, gain: float, **settings) -> None:
        super().__init__(**settings)
        self.gain = nn.Parameter(torch.tensor(gain))

    def encode_image(self, images):
        return self.gain * super().encode_image(images)


class Halves(Projector):
    def __init__(self, features: int, dim: int) -> None:
        super().__init__(features)
        self.image, self.text = nn.Linear(features, dim), nn.Linear(features, dim)

    @property
    def embed_dim(self) -> int:
        return self.image.out_features

    def image_head(self, features, augmentation):
        return self.image(features)

    def text_head(self, features):
        return self.text(features)
'''


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`my_package.parts`, and `other_package`, which must not be imported."""
    for name, text in (("my_package", ""), ("other_package", "raise SystemExit('imported')")):
        (tmp_path / "code" / name).mkdir(parents=True)
        (tmp_path / "code" / name / "__init__.py").write_text(text)
        (tmp_path / "code" / name / "parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("my_package", "other_package")]:
        del sys.modules[name]


def _of_my_package(path: Path, projector: str = "my_package.parts.Halves", **settings: Any) -> Path:
    node = {"_target_": projector, "dim": 4, **settings}
    state = torch.load(write_checkpoint(path), weights_only=True)["state_dict"]
    state = {name: weight for name, weight in state.items() if name.startswith("encoder.")}
    torch.manual_seed(1)
    for part in ("image", "text"):
        state[f"projector.{part}.weight"] = torch.randn(4, 12)
        state[f"projector.{part}.bias"] = torch.randn(4)
    return write_checkpoint(path, projector=node, state_dict=state)


@pytest.mark.parametrize("trust", ["my_package", "my_package.parts", ["x", "my_package"], True])
def test_a_package_that_the_user_names_is_built(tmp_path: Path, trust: Any) -> None:
    path = _of_my_package(tmp_path / "model.ckpt")
    model = cyclip_pl.load(path, trust=trust)
    assert type(model.projector).__module__ == "my_package.parts"
    assert model.encode_text("a red apple").shape == (1, model.embed_dim) == (1, 4)


@pytest.mark.parametrize("trust", [False, "other", "my_pack", "my_package.other", []])
def test_another_one_is_not_imported(tmp_path: Path, trust: Any) -> None:
    for package in ("my_package", "other_package"):
        path = _of_my_package(tmp_path / "model.ckpt", f"{package}.parts.Halves")
        with pytest.raises(ValueError, match=rf"model\.ckpt: .*model\.trust={package} or load"):
            cyclip_pl.load(path, trust=trust)
        assert package not in sys.modules


@pytest.mark.parametrize("target", ["my_package.parts.torch", "my_package.parts.nn", "my_package"])
def test_only_networks_are_built(tmp_path: Path, target: str) -> None:
    path = _of_my_package(tmp_path / "model.ckpt", target)
    with pytest.raises(ValueError, match=r"model\.ckpt: its projector \(my_package"):
        cyclip_pl.load(path, trust="my_package")


@pytest.mark.parametrize(
    ("projector", "message"),
    [
        ("my_package.none.Halves", r"cannot be imported: No module named 'my_package\.none'"),
        ("my_package.parts.None_", "is not a class of torch.nn.Module"),
        ("os.system", r"is not a class of cyclip_pl\.projectors; if os is your own"),
        ("my_package.parts.Halves; import os", "is not a class of cyclip_pl"),
        ("my_package..parts.Halves", "is not a class of cyclip_pl"),
    ],
)
def test_what_cannot_be_built_is_one_line(tmp_path: Path, projector: str, message: str) -> None:
    path = _of_my_package(tmp_path / "model.ckpt", projector)
    with pytest.raises(ValueError, match=rf"model\.ckpt: its projector .*{message}") as caught:
        cyclip_pl.load(path, trust="my_package")
    assert "\n" not in str(caught.value)


def test_nothing_nested_is_built(tmp_path: Path) -> None:
    nested = {"deep": {"_target_": "os.system", "command": "true"}}
    path = _of_my_package(tmp_path / "model.ckpt", nested=nested)
    with pytest.raises(ValueError, match=r"projector\.nested\.deep: a part within a part"):
        cyclip_pl.load(path, trust="my_package")


def test_the_other_part_keeps_its_bounds(tmp_path: Path) -> None:
    path = _of_my_package(tmp_path / "model.ckpt")
    content = torch.load(path, weights_only=True)
    content["config"]["encoder"]["image_size"] = 10**6
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"encoder\.image_size=1000000: must be"):
        cyclip_pl.load(path, trust="my_package")


@pytest.mark.parametrize(
    "trust", ["", "my-package", "a b", "os;", "1a", [3], "päckchen", ["a", ""]]
)
def test_a_name_is_a_plain_dotted_name(tmp_path: Path, trust: Any) -> None:
    with pytest.raises(ValueError, match=r"trust=.*: must be true, false or the name of your"):
        cyclip_pl.load(tmp_path, trust=trust)


@pytest.mark.slow
def test_own_parts_are_trained_resumed_loaded_and_evaluated(world: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    overrides = [
        *shrunk(world), "encoder._target_=my_package.parts.Brighter", "+encoder.gain=1.5",
        "projector._target_=my_package.parts.Halves", "+projector.dim=5",
    ]  # fmt: skip

    def config(*more: str) -> Any:
        made = composed(*overrides, *more, run_dir=run)
        made.encoder.architecture = VIT
        return made

    train(config("trainer.max_steps=1"))
    train(config("trainer.max_steps=2", "resume=auto"))
    model = cyclip_pl.load(run, trust="my_package")
    assert type(model.encoder).__name__ == "Brighter" and model.embed_dim == 5
    assert model.encoder.gain.item() != 1.5  # it has learnt
    metrics = evaluate(
        composed(
            f"checkpoint={run}", "model.trust=my_package", "accelerator=cpu",
            f"evaluation.datasets=[{world}/shapes]", config_name="eval", run_dir=tmp_path / "eval",
        )
    )  # fmt: skip
    assert 0 <= metrics["shapes/zero_shot/acc1"] <= 1
    with pytest.raises(ValueError, match=r"model\.trust=my_package or load"):
        cyclip_pl.load(run)
