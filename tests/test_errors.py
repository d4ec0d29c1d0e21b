"""One line that names the setting and what is allowed."""

from __future__ import annotations

import sys

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cyclip_pl.cli import train
from cyclip_pl.errors import one_line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["objective=cylcip"],
            ["objective=cylcip: unknown choice", "did you mean cyclip?", "c_cyclip"],
        ),
        (["encoder=resnet"], ["encoder=resnet", "(encoder has convnext_base,", "vit_l_14)"]),
        (["objective.lamda_in_modal=1"], ["objective.lamda_in_modal", "lambda_in_modal"]),
        (["sede=1"], ["sede", "did you mean seed?"]),
        (["trainer.max_step=3"], ["unknown setting trainer.max_step; did you mean max_steps? ("]),
        (["objectiv=clip"], ["objectiv", "did you mean objective?"]),
        (["experimnt=x"], ["unknown setting experimnt; did you mean experiment?"]),
        (["logger=[csv,wand]"], ["logger=wand: unknown choice; did you mean wandb?"]),
        (["data.batch_size=[1"], ["data.batch_size=[1: a bracket or brace has no partner"]),
        (["objective=cyclp"], ["objective=cyclp", "(objective has c_cyclip, clip, composite,"]),
        (["evaluation=[zero_shto]"], ["did you mean zero_shot? (evaluation has consistency,"]),
        (
            ["+experiment=cc3m"],
            ["experiment=cc3m: unknown choice", "has cc3m_rn50_cyclip, finetune_"],
        ),
        (["+objective@objective.objectives.x=clp"], ["objective=clp: unknown choice; did you"]),
        (["hydra/launcher=jobib"], ["hydra/launcher=jobib: unknown choice (hydra/launcher has"]),
        (["-m", "objective=clip,cyclp"], ["objective=cyclp: unknown choice; did you mean cyclip?"]),
        (["~callbacks.progres"], ["callbacks.progres; did you mean progress? (callbacks has best"]),
        (["lr=1e-3"], ["unknown setting lr; did you mean optimizer.lr?"]),
        (["trianer.max_steps=4"], ["did you mean trainer.max_steps?"]),
        (["+seed=3"], ["+seed: is there already; leave out the +"]),
        (["max_steps"], ["max_steps: is not SETTING=VALUE, written without spaces"]),
        (["checkpoints", "=3"], ["checkpoints: is not SETTING=VALUE"]),
        (["resume=/a=b"], ["resume=/a=b: has characters that need quotes", "'resume=\"/a=b\"'"]),
        (["resume=~/café"], ["type 'resume=\"~/café\"'"]),
        (["resume=/a,b"], ["as one text, type 'resume=\"/a,b\"'; to run each, add -m"]),
        (["evaluation.zero_shot.top_k=1,5"], ["type 'evaluation.zero_shot.top_k=[1,5]'"]),
        (["resume=[a]"], ["resume=[a]: must be one text; type 'resume=\"[a]\"'"]),
        (["hydra.run.dir="], ["hydra.run.dir=: must be a text"]),
    ],
)
def test_a_wrong_override(
    arguments: list[str],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as train() sets it, and left as it was
    with pytest.raises(SystemExit) as stopped:
        train()
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert not printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


class _Broken:
    def __init__(self, problem: str) -> None:
        if problem == "file":
            try:
                raise KeyError(101)
            except KeyError as error:
                raise ValueError("model.path=a.pt: is not a model") from error
        raise RuntimeError("no such thing")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"problem": "file"}, "model.path=a.pt: is not a model"),
        ({"problem": "x"}, "part.broken: RuntimeError: no such thing"),
        ({"trouble": "x"}, "part.broken.trouble: unknown setting"),
    ],
)
def test_an_error_keeps_the_setting_and_the_file(arguments: dict[str, str], line: str) -> None:
    node = {"_target_": f"{__name__}._Broken", **arguments}
    config = OmegaConf.create({"part": {"broken": node}})
    with pytest.raises(InstantiationException) as caught:
        instantiate(config.part)
    assert one_line(caught.value, "train").startswith(line)


def test_a_single_sample_in_a_batch_norm_is_told_by_the_settings() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value") as caught:
        torch.nn.BatchNorm1d(3)(torch.zeros(1, 3))
    assert one_line(caught.value, "train").startswith("data.batch_size, microbatch: a BatchNorm")
