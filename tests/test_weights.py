"""Files of weights from strangers: nothing in them runs, and their length bounds the memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

import cyclip_pl
from cyclip_pl import weights
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.official import load_official
from cyclip_pl.models.open_clip import load_open_clip
from tests.helpers import hostile_files
from tests.helpers.architectures import VIT
from tests.helpers.model_sources import as_openai_wrote

READERS = {
    "load": cyclip_pl.load,
    "official": load_official,
    "open_clip": lambda path: load_open_clip("RN50", str(path)),
    "encoder": lambda path: DualEncoder(VIT, 32, pretrained=str(path)),
}


@pytest.mark.parametrize("reader", READERS)
def test_nothing_is_executed_and_nothing_fills_the_memory(tmp_path, reader) -> None:
    files = hostile_files.malicious() | hostile_files.greedy()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind, content in files.items():
        path = hostile_files.write(tmp_path / "weights.ckpt", content)
        with pytest.raises(ValueError, match=r"weights\.ckpt: ") as caught:
            READERS[reader](path)
        message = str(caught.value)
        assert "\n" not in message and "weights_only" not in message, kind
    assert not hostile_files.RAN
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


@pytest.mark.parametrize("setting", ["model.pretrained", "encoder.pretrained"])
def test_broken_safetensors_are_one_line_of_ours(tmp_path, setting) -> None:
    read = READERS["open_clip" if setting.startswith("model") else "encoder"]
    for kind, content in hostile_files.broken_safetensors().items():
        path = hostile_files.write(tmp_path / "weights.safetensors", content)
        with pytest.raises(ValueError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{setting}={path}: "), kind
        assert "not a safetensors file" in message or "cut short or damaged" in message, kind
        assert "\n" not in message and "Safetensor" not in message, kind


def test_whole_files_are_read(tmp_path) -> None:
    from safetensors.torch import save_file

    state = {
        "a": torch.arange(6.0).view(2, 3),
        "b": torch.tensor([True]),
        "c": torch.ones(2).half(),
    }
    state["same"] = state["a"]
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "whole.pt")
    read = weights.read("whole", tmp_path / "whole.pt")
    assert all(torch.equal(read["state_dict"][name], value) for name, value in state.items())
    save_file({"a": state["a"]}, tmp_path / "whole.safetensors")
    for name in ("whole.pt", "whole.safetensors"):
        state_read = weights.read_state("whole", tmp_path / name)
        assert all(torch.equal(value, state[key]) for key, value in state_read.items())
        assert "a" in state_read
    sharded = {"model": {"a": state["a"]}, "optimizer": {}}
    torch.save(sharded, tmp_path / "sharded.pt")
    assert weights.read_state("whole", tmp_path / "sharded.pt").keys() == {"a"}
    (tmp_path / "other.pt").write_bytes((tmp_path / "whole.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"^whole: .*must end in \.safetensors"):
        weights.read_state("whole", tmp_path / "other.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_tensor_that_is_not_finite_is_named(value: float) -> None:
    state = {"first": torch.ones(2), "second": torch.tensor([1.0, value]), "count": torch.ones(1)}
    weights.check_finite("file", {"first": state["first"], "count": torch.tensor(3)})
    with pytest.raises(ValueError, match=r"^file: .* second first \(saved at step 7\): "):
        weights.check_finite("file", state, step=7)


@pytest.mark.parametrize("setting", ["model.pretrained", "encoder.pretrained", "model.path"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, setting: str) -> None:
    torch.manual_seed(0)
    import open_clip

    architecture = {
        "embed_dim": 8,
        "vision_cfg": {"layers": 1, "width": 64, "head_width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 8, "width": 64, "heads": 1, "layers": 1},
    }
    architecture["vision_cfg"]["image_size"] = 32
    state = as_openai_wrote(open_clip.CLIP(**architecture)).state_dict()
    state["ln_final.weight"][3] = float("nan")
    path = tmp_path / "nan.pt"
    torch.save({"state_dict": state}, path)
    with pytest.raises(ValueError, match=r"nan\.pt: .*ln_final\.weight first"):
        if setting == "model.path":
            load_official(path)
        elif setting == "encoder.pretrained":
            DualEncoder(architecture, 32, pretrained=str(path))
        else:
            from cyclip_pl.encoders.architectures import registered_name

            load_open_clip(registered_name(architecture), str(path))
