"""Checkpoints come from strangers."""

import pickle

import pytest
import torch

import cyclip_pl
from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.projectors.linear import Linear
from tests.helpers.architectures import VIT

ENCODER = {
    "_target_": "cyclip_pl.encoders.dual.DualEncoder",
    "_convert_": "all",
    "architecture": VIT,
    "image_size": 32,
    "pretrained": "weights-that-are-gone.pt",
}
PROJECTOR = {"_target_": "cyclip_pl.projectors.linear.Linear", "_partial_": True, "dim": 6}


def _checkpoint(path, encoder=None, projector=None, **state):
    torch.manual_seed(0)
    weights = {f"encoder.{k}": v for k, v in DualEncoder(VIT, 32).state_dict().items()}
    weights |= {f"projector.{k}": v for k, v in Linear(12, 6).state_dict().items()}
    config = {"encoder": ENCODER | (encoder or {}), "projector": PROJECTOR | (projector or {})}
    torch.save({"state_dict": weights | state, "config": config, "scale": 20.0}, path)
    return path


def test_a_model_as_it_was_trained(tmp_path) -> None:
    path = _checkpoint(tmp_path / "model.ckpt")
    model = cyclip_pl.load(path)
    weights = read_checkpoint(path)["state_dict"]
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    assert model.scale == 20.0
    assert not model.training
    assert model.encode_text(["a red apple"]).shape == (1, 6)


def test_a_run_folder_is_its_last_checkpoint(tmp_path) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = _checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert checkpoint_file(tmp_path) == path


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("encoder", {"_target_": "os.system"}),
        ("encoder", {"_target_": "cyclip_pl.encoders.dual.tempfile.mkdtemp"}),
        ("encoder", {"_target_": "cyclip_pl.encoders.dual.deepcopy"}),
        ("encoder", {"tokenizer": {"_target_": "os.system", "command": "true"}}),
        ("projector", {"_target_": "cyclip_pl.cli.train"}),
        ("projector", {"_target_": "cyclip_pl.projectors.linear.nn"}),
        ("projector", {"dim": {"_target_": "os.system", "command": "true"}}),
    ],
)
def test_nothing_foreign_is_called(tmp_path, part, settings, monkeypatch) -> None:
    def called(*_):
        raise AssertionError("called")

    monkeypatch.setattr("os.system", called)
    path = _checkpoint(tmp_path / "model.ckpt", **{part: settings})
    with pytest.raises(ValueError, match=r"model\.ckpt: "):
        cyclip_pl.load(path)


def test_nothing_is_unpickled(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "bomb.ckpt"
    torch.save({"state_dict": {}, "config": Bomb()}, path)
    with pytest.raises(ValueError, match="bomb.ckpt: cannot be read as a checkpoint"):
        cyclip_pl.load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="bomb.ckpt: cannot be read as a checkpoint"):
        cyclip_pl.load(path)


def test_other_files_are_named(tmp_path) -> None:
    path = tmp_path / "other.ckpt"
    for content, message in (
        ({"epoch": 1}, "its 'epoch' is not a named tensor"),
        ([1], "has no state_dict of tensors"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"other.ckpt: {message}"):
            cyclip_pl.load(path)
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="other.ckpt: (damaged|cannot be read)"):
        cyclip_pl.load(path)
    with pytest.raises(ValueError, match="the folder has no checkpoints/last.ckpt"):
        cyclip_pl.load(tmp_path)
    weights = {"projector.image.weight": torch.zeros(5, 12)}
    with pytest.raises(ValueError, match="model.ckpt: weights do not fit its config"):
        cyclip_pl.load(_checkpoint(tmp_path / "model.ckpt", **weights))
