"""One line that names the setting and what is allowed."""

from __future__ import annotations

import sys

import pytest

from cyclip_pl.cli import train


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
        (["data.batch_size=[1"], ["data.batch_size=[1"]),
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
