"""Types of settings: by their defaults, and where these say too little by `config_kinds`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from cyclip_pl import cli, jobs
from cyclip_pl.command_line import as_typed
from cyclip_pl.config_types import check_types
from tests.helpers.composed import choices, composed

PARSER = OverridesParser.create()

WRONG = {
    "trainer.max_steps": ["many", "-5", "1.5", "null", "0"],
    "trainer.max_epochs": ["0", "two"],
    "trainer.devices": ["two", "0", "-2", "true", "[]"],
    "trainer.precision": ["bf17", "33"],
    "trainer.log_every_n_steps": ["0"],
    "trainer.deterministic": ["maybe"],
    "trainer.enable_progress_bar": ["no", "1"],
    "optimizer.lr": ["fast", "-1", "nan", "true"],
    "optimizer.betas": ["[0.9]", "0.9", "[0.9,x]", "[0.9,2]"],
    "optimizer.fused": ["maybe"],
    "scheduler.warmup_steps": ["-1", "1e3"],
    "scheduler.final_fraction": ["2"],
    "data.batch_size": ["1.5", "true", "64.0", "x"],
    "data.train.resampled": ["yes"],
    "data.shuffle.buffer": ["x"],
    "data.shuffle": ["3"],
    "seed": ["abc", "-1", "null"],
    "microbatch": ["0", "x"],
    "compile": ["yes"],
    "evaluation.zero_shot": ["3"],
    "evaluation.zero_shot.top_k": ["3", "[x]"],
    "evaluation.zero_shot.cadence.every_n_steps": ["0", "x"],
    "callbacks.last.every_n_steps": ["0"],
    "callbacks.best.mode": ["mix"],
    "encoder.image_size": ["big"],
    "encoder.lock_text": ["1"],
    "views.flip": ["x"],
    "objective.lambda_in_modal": ["[1]"],
}
RIGHT = [
    *("trainer.max_steps=-1", "trainer.max_epochs=3", "trainer.devices=auto", "seed=1_000"),
    *("trainer.devices=[0,1]", "trainer.devices='0,1'", "trainer.precision=32", "optimizer.lr=1"),
    *("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=null", "trainer.strategy=ddp"),
    *("trainer.limit_train_batches=0.5", "trainer.deterministic=warn", "optimizer.lr=1e-3"),
    *("compile={mode: max-autotune}", "microbatch=8", "data.prepare=null", "callbacks.best=null"),
    *("callbacks.best.monitor=null", "views.blur=1", "encoder.architecture=RN50", "resume=2024"),
    *("evaluation.datasets=[{2024: a}]", "data.train.shards=[a,{shards: b, weight: 1}]"),
    *("evaluation.zero_shot.templates=['a {c}']", "data.caption_key=2024", "features.workers=2"),
    *("+trainer.max_time=00:01", "data.batch_size=${heads.width}"),
]


def checked(argument: str, config_name: str = "train") -> str:
    """What is told about one argument; "" if nothing."""
    override = PARSER.parse_override(as_typed(argument))
    config = composed(config_name=config_name)
    with open_dict(config):
        OmegaConf.update(config, override.key_or_group, override.value())
    try:
        check_types(config, composed(config_name=config_name))
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_type(setting: str) -> None:
    for value in WRONG[setting]:
        told = checked(f"{setting}={value}")
        assert told.startswith(setting), value
        assert ": must be " in told
        assert len(told.splitlines()) == 1


@pytest.mark.parametrize("argument", RIGHT)
def test_what_is_right_is_taken(argument: str) -> None:
    assert not checked(argument)


def test_evaluations() -> None:
    for argument in ("checkpoint=007", "devices=2", "predictions=true", "features.cache=2024"):
        assert not checked(argument, "eval")
    assert "predictions=2: must be true or false" in checked("predictions=2", "eval")
    assert "features.workers=x" in checked("features.workers=x", "eval")


def test_searches() -> None:
    right = ["checkpoint=[a,007]", "checkpoint={CLIP: a, CyCLIP: 1e5}", "shards=[a,b]", "limit=9"]
    for argument in (*right, "port=0", "cache=2024", "caption_key=alt", "limit=null"):
        assert not checked(argument, "search"), argument
    wrong = ["checkpoint=[]", "shards=[]", "limit=0", "port=70000", "port=x", "port=-1"]
    for argument in (*wrong, "batch_size=x", "workers=1.5", "open=1", "trust=3", "host=3"):
        told = checked(argument, "search")
        assert told.startswith(argument.split("=")[0]) and ": must be " in told, argument
    # An evaluation is of one model.
    assert "model.source=['a', 'b']: must be a path" in checked("checkpoint=[a,b]", "eval")


def test_interpolations() -> None:
    assert "data.batch_size=a: " in checked("data.batch_size=${oc.select:nothing,a}")
    assert "resume: Interpolation key 'x' not found" in checked("resume=${x}")


@pytest.mark.parametrize("group", ["views", "trainer"])
def test_every_choice_is_right(group: str) -> None:
    for choice in choices(group):
        config = composed(f"{group}={choice}")
        check_types(config, config)


def command(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[str, list[DictConfig]]:
    """Run a command until its task begins: what it prints, and the configs of the tasks."""
    tasks: list[DictConfig] = []
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(jobs, "get_method", lambda name: tasks.append)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with contextlib.suppress(SystemExit):
        cli.train()
    return capsys.readouterr().err, tasks


@pytest.mark.parametrize(
    "arguments",
    [
        ["experiment=cc3m_rn50_cyclip", "trainer=ddp_cpu", "data.batch_size=3"],
        ["objective=composite", "+objective@objective.objectives.siglip=siglip"],
        [f"evaluation=[{','.join(choices('evaluation'))}]", "logger=[]", "evaluation.knn.ks=[3]"],
        ["evaluation=[]", "sweep=objectives", "resume=007"],
    ],
)
def test_what_the_command_composes_is_right(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told, tasks = command([f"hydra.run.dir={tmp_path}", *arguments], monkeypatch, capsys)
    assert not told
    assert len(tasks) == 1


def test_what_an_experiment_sets_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\noptimizer:\n  lr: fast\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    arguments = ["experiment=mine", f"hydra.run.dir={tmp_path}/run", "--config-dir", str(tmp_path)]
    told, tasks = command(arguments, monkeypatch, capsys)
    assert told == "error: optimizer.lr=fast: must be a number at least 0\n"
    assert not tasks


@pytest.mark.slow
def test_nothing_slow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['train.py', 'trainer.max_steps=many', 'hydra.run.dir={tmp_path}']\n"
        "try:\n    from cyclip_pl.cli import train; train()\n"
        "except SystemExit: print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False False\n"
