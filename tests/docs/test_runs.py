"""Every command of the README composes; those that this machine can run are run, shrunk."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl.training import train
from tests.helpers.composed import choices, composed
from tests.helpers.world import shrunk

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
HYDRA = [c for c in COMMANDS if c.startswith(("python train.py", "python eval.py"))]


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("command", HYDRA)
def test_it_composes(command):
    script, *arguments = shlex.split(command)[1:]
    # A sweep composes job by job; one job is enough here.
    swept = "-m" in arguments
    overrides = [
        re.sub(r"=([^,\[]*),.*", r"=\1", a) if swept else a for a in arguments if a != "-m"
    ]
    done = run([script, *overrides, "--cfg", "job", "--resolve"])
    assert done.returncode == 0, done.stderr
    assert "run_dir" in done.stdout or "checkpoint" in done.stdout


def test_the_table_of_groups_is_the_tree():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE))
    for group in ("objective", "encoder", "projector", "views", "data", "trainer", "logger"):
        named = set(re.findall(r"`(\w+)`", rows[group]))
        assert named == set(choices(group)), group
    # Of these the row says more than names.
    for group in ("evaluation", "model", "sets", "features"):
        named = set(re.findall(r"`(\w+)`", rows[group]))
        assert named == set(choices(group)), group


def test_make_help_lists_the_targets_that_the_readme_names():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in re.findall(r"make ([\w-]+)", README):
        assert re.search(rf"^  {target}\b", done.stdout, re.MULTILINE) or target == "help"


def documented() -> dict[str, str]:
    """The figures of each evaluation as the README's table has them: a pattern by name."""
    table = README.partition("| evaluation | figure | is |")[2].partition("\n\n")[0]
    patterns: dict[str, list[str]] = {}
    name = ""
    for line in table.splitlines()[2:]:
        first, figures = line.split(" | ")[:2]
        name = first.strip("| `") or name
        patterns.setdefault(name, []).extend(re.findall(r"`(\w[^`]*)`", figures))
    everywhere = patterns.pop("all")
    return {
        name: re.sub(r"<\w>", r"\\d+", "|".join([*figures, *everywhere]))
        for name, figures in patterns.items()
    }


def test_every_figure_is_documented(world, tmp_path):
    patterns = documented()
    assert sorted(patterns) == choices("evaluation")
    config = composed(
        *shrunk(world),
        f"evaluation=[{','.join(patterns)}]",
        f"evaluation.datasets=[{world}/shapes,{world}/captions]",
        f"evaluation.robustness.in_distribution={world}/shapes",
        f"evaluation.robustness.shifted=[{world}/moved]",
        "+evaluation.robustness.baselines.moved={slope: 1, intercept: 0}",
        "trainer.max_steps=1",
        run_dir=tmp_path,
    )
    found = {name.split("/", 1)[1] for name in train(config) if not name.startswith("train/")}
    for name, pattern in patterns.items():
        figures = {f.split("/")[1] for f in found if f.startswith(f"{name}/")}
        assert figures
        for figure in figures:
            assert re.fullmatch(f"({pattern})(_low|_high|_std)?", figure), f"{name}/{figure}"
        for one in pattern.split("|"):
            rare = one.endswith("k\\d+_mean_per_class") or one == "train_samples"
            assert rare or any(re.fullmatch(one, figure) for figure in figures), f"{name}/{one}"


@pytest.mark.parametrize("target", ["eval", "eval-all"])
def test_make_eval_says_what_it_needs(target):
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"make {target} needs CHECKPOINT=RUN_FOLDER_OR_FILE" in done.stderr


def test_make_eval_all_runs_all():
    done = subprocess.run(
        ["make", "-n", "eval-all", "CHECKPOINT=x"], cwd=ROOT, capture_output=True, text=True
    )
    (listed,) = re.findall(r"evaluation=\[(.*?)\]", done.stdout)
    assert sorted(listed.split(",")) == choices("evaluation")


def test_make_report_says_what_it_needs():
    done = subprocess.run(["make", "report"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "make report needs RUNS='RUN_FOLDER …'" in done.stderr


def test_sweep(world, tmp_path):
    done = run(
        [
            "train.py",
            "-m",
            "objective=cyclip",
            "objective.lambda_in_modal=0,0.5",
            *shrunk(world),
            "trainer.max_steps=1",
            f"hydra.sweep.dir={tmp_path}",
        ]
    )
    assert done.returncode == 0, done.stderr
    for job, weight in ((0, "0"), (1, "0.5")):
        assert f"lambda_in_modal: {weight}" in (tmp_path / str(job) / "config.yaml").read_text()
        assert (tmp_path / str(job) / "metrics.json").is_file()


def test_two_processes_train_and_evaluate_as_one_run(world, tmp_path):
    done = run(
        [
            "train.py",
            "trainer=ddp_cpu",
            "trainer.devices=2",
            *shrunk(world),
            "data.batch_size=12",
            f"hydra.run.dir={tmp_path}/run",
        ],
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["train/samples"] == 4 * 24
    assert metrics["shapes/zero_shot/samples"] == 36
    assert done.stdout.count("run folder:") == 1

    # One process and two give the same figures for what they trained.
    for devices in (1, 2):
        done = run(
            [
                "eval.py",
                f"checkpoint={tmp_path}/run",
                f"evaluation.zero_shot.datasets=[{world}/shapes]",
                "accelerator=cpu",
                f"devices={devices}",
                f"hydra.run.dir={tmp_path}/eval{devices}",
            ],
            OMP_NUM_THREADS="1",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        again = json.loads((tmp_path / f"eval{devices}" / "metrics.json").read_text())
        assert again == {k: v for k, v in metrics.items() if k in again}
