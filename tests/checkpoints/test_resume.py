from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cyclip_pl.checkpoints import places, resume

CONFIG = {
    "seed": 0,
    "resume": None,
    "run_dir": "/runs/a",
    "run_id": "0f0f",
    "encoder": {
        "image_size": 32,
        "context_length": None,
        "architecture": {"text_cfg": {"layers": 1}},
        "pretrained": None,
        "lock_image": False,
    },
    "objective": {"init_scale": 10.0, "max_scale": 100.0, "objectives": {"a": {"init_bias": 1}}},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3},
    "callbacks": {"last": {"dirpath": "/runs/a/checkpoints"}},
}
PROGRESS = {"ready": 3, "started": 3, "processed": 2, "completed": 2}


def _loops(is_last_batch: bool = False) -> dict[str, Any]:
    batch = {"is_last_batch": is_last_batch}
    return {
        "fit_loop": {"epoch_progress": {"current": PROGRESS}, "epoch_loop.batch_progress": batch}
    }


def _saved(folder: Path, **more: Any) -> Path:
    content = {"state_dict": {}, "config": CONFIG, "scale": 1.0, "optimizer_states": []}
    content |= {"global_step": 7, "loops": _loops(), **more}
    torch.save({k: v for k, v in content.items() if v is not None}, folder / "last.ckpt")
    return folder / "last.ckpt"


def _changed(name: str, value: Any) -> dict[str, Any]:
    config: dict[str, Any] = deepcopy(CONFIG)
    node = config
    *parents, key = name.split(".")
    for parent in parents:
        node = node[parent]
    node[key] = value
    return config


@pytest.mark.parametrize(("is_last_batch", "epochs"), [(False, 2), (True, 3)])
def test_where_a_run_goes_on(tmp_path: Path, is_last_batch: bool, epochs: int) -> None:
    start = resume.read_start(_saved(tmp_path, loops=_loops(is_last_batch)))
    assert (start.step, start.epochs, start.run_id) == (7, epochs, "0f0f")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"optimizer_states": None}, r"has weights only, like best\.ckpt; take last\.ckpt"),
        ({"loops": None}, "does not say where its run stopped; take last.ckpt of a run folder"),
        ({"loops": {"fit_loop": 1}}, "does not say where its run stopped"),
        ({"global_step": "many"}, "does not say where its run stopped"),
    ],
)
def test_what_cannot_be_resumed_is_named(tmp_path: Path, more: dict, message: str) -> None:
    path = _saved(tmp_path, **more)
    with pytest.raises(ValueError, match=f"^resume={path}: {message}"):
        resume.read_start(path)


def test_a_strangers_run_id_and_provenance_are_only_text(tmp_path: Path) -> None:
    config = {**CONFIG, "run_id": "../../x"}
    start = resume.read_start(_saved(tmp_path, config=config, provenance=[1]))
    assert (start.run_id, start.provenance) == (None, {})


def test_settings_that_differ_are_told_on_one_line(tmp_path: Path) -> None:
    start = resume.read_start(_saved(tmp_path))
    config = _changed("optimizer.lr", 0.1)
    config |= {"run_dir": "/b", "resume": "auto", "run_id": "1", "new": "x\x1b[2Jy" + 80 * "z"}
    config["callbacks"] = {"last": {"dirpath": "/b/checkpoints"}}
    found = resume.changes(start, config)
    assert found == {"new": ("unset", config["new"]), "optimizer.lr": (1e-3, 0.1)}
    line = resume.changes_line(start, found)
    assert line.endswith("zzz…, optimizer.lr 0.001 → 0.1")
    assert line.isprintable()
    many = {f"a.b{n}": (1, 2) for n in range(50)}
    assert resume.changes_line(start, many).endswith("and 30 more (see provenance.json)")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", 1, "seed=0, this run has 1"),
        ("encoder.image_size", 64, "encoder.image_size=32, this run has 64"),
        ("encoder.lock_image", True, "encoder.lock_image=False, this run has True"),
        (
            "encoder.architecture.text_cfg.layers",
            2,
            "encoder.architecture.text_cfg.layers=1, this run has 2",
        ),
        ("encoder.architecture", "RN50", "encoder.architecture=unset, this run has RN50"),
        ("optimizer._target_", "torch.optim.SGD", "optimizer._target_=torch.optim.AdamW, this run"),
    ],
)
def test_what_the_state_depends_on_cannot_change(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    start = resume.read_start(_saved(tmp_path))
    with pytest.raises(ValueError, match=f"^resume={start.path}: was trained with {message}"):
        resume.changes(start, _changed(name, value))


@pytest.mark.parametrize(
    ("name", "value", "was"),
    [
        ("objective.init_scale", 20.0, 10.0),
        ("objective.objectives.a.init_bias", 2, 1),
        ("encoder.pretrained", "openai", "null"),
    ],
)
def test_a_value_that_a_run_begins_with_cannot_change(
    tmp_path: Path, name: str, value: Any, was: Any
) -> None:
    start = resume.read_start(_saved(tmp_path))
    with pytest.raises(
        ValueError, match=f"^{name}={value}: is where a run begins, .* {name}={was}"
    ):
        resume.changes(start, _changed(name, value))
    assert resume.changes(start, _changed("objective.max_scale", 50.0))


def test_null_leaves_a_setting_to_the_checkpoint(tmp_path: Path) -> None:
    """The first value of what has learnt since; and what older checkpoints do not know."""
    start = resume.read_start(_saved(tmp_path))
    for name in ("objective.init_scale", "objective.objectives.a.init_bias", "encoder.quick_gelu"):
        assert resume.changes(start, _changed(name, None)) == {}
    null = {"quick_gelu": None, "mean": None, "architecture": "RN50"}
    assert resume.of_weights(start, null) == {}
    weighed = _changed("encoder.quick_gelu", True)
    start = resume.read_start(_saved(tmp_path, config=weighed))
    assert resume.of_weights(start, null) == {"quick_gelu": True}
    assert resume.of_weights(start, {**null, "quick_gelu": False}) == {}
    with pytest.raises(ValueError, match="was trained with encoder.quick_gelu=True, this run has"):
        resume.changes(start, _changed("encoder.quick_gelu", False))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"head.weight": torch.ones(2, 4)}, r"has the shape \(2, 4\), this run's \(2, 3\)"),
        ({}, r"has the shape none, this run's \(2, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, state: dict, message: str) -> None:
    module = nn.ModuleDict({"head": nn.Linear(3, 2, bias=False)})
    resume.check_weights(_saved(tmp_path, state_dict=module.state_dict()), module)
    with pytest.raises(ValueError, match=f"another head: its head.weight {message}"):
        resume.check_weights(_saved(tmp_path, state_dict=state), module)


@pytest.mark.parametrize("place", ["{tmp_path}/run/checkpoints", "memory://resume/{name}"])
def test_the_checkpoints_of_a_run_are_found_and_removed(tmp_path: Path, place: str) -> None:
    dirpath = place.format(tmp_path=tmp_path, name=tmp_path.name)
    other = places.folder(f"{dirpath}/other").at("last.ckpt")
    assert resume.held(dirpath) == [] and resume.find("auto", dirpath) is None
    whole = _saved(tmp_path).read_bytes()
    for name in ("last.ckpt", "step_3.ckpt", "best.ckpt", "mine.ckpt"):
        places.folder(dirpath).write(name, lambda file: file.write(whole) and None)
    assert resume.held(dirpath) == ["best.ckpt", "last.ckpt", "step_3.ckpt"]
    found = resume.find("auto", dirpath)
    assert found == places.folder(dirpath).at("last.ckpt") == resume.find(str(found), "elsewhere")
    assert resume.lies_in(found, f"{dirpath}") and not resume.lies_in(other, dirpath)
    assert resume.read_start(found).step == 7
    resume.clear(dirpath)
    assert places.folder(dirpath).names() == ["mine.ckpt"]
