"""Every command of the README and of docs/ is one that exists, and every config composes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf, open_dict

from cyclip_pl.data.inspect.__main__ import parser as inspect_parser
from cyclip_pl.data.prepare.options import parser as prepare_parser
from cyclip_pl.model_folder import has_prefix, is_model_folder
from cyclip_pl.reports.__main__ import parser as reports_parser
from tests.docs.commands import COMMANDS
from tests.docs.pages import BLOCKS, FILES, ROOT

HYDRA = ("cyclip-train", "cyclip-eval", "cyclip-export", "cyclip-search")
PARSERS = {
    "cyclip-prepare": prepare_parser(),
    "cyclip-inspect": inspect_parser(),
    "cyclip-report": reports_parser(),
}


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`conf/` with the YAML files that pages tell the reader to write."""
    folder = tmp_path_factory.mktemp("docs") / "conf"
    shutil.copytree(ROOT / "conf", folder)
    for title, text in FILES.items():
        if title.endswith(".yaml"):
            path = folder / title.partition("conf/")[2]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return folder


def _composes(conf: Path, script: str, arguments: list[str]) -> None:
    flags = {"-m", "--cfg", "job", "--resolve", "--config-dir=my_conf"}
    overrides = OverridesParser.create().parse_overrides([a for a in arguments if a not in flags])
    # A sweep composes job by job; one job is enough here.
    lines = [
        f"{o.get_key_element()}={_one_of(o)}"
        if o.is_sweep_override() and "-m" in arguments
        else o.input_line
        for o in overrides
    ]
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose(script.removesuffix(".py"), lines, return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir = "run"
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    OmegaConf.resolve(config)
    # These two may stay open: the sets have defaults, and only `model=ours` reads a checkpoint.
    assert OmegaConf.missing_keys(config) <= {"evaluation.datasets", "checkpoint"}
    if script == "export":
        assert not OmegaConf.is_missing(config, "checkpoint"), "no checkpoint"
    elif script in ("train", "train.py"):
        _open_clip_has(config.encoder.architecture, config.encoder.pretrained)
    elif script == "search":
        assert not OmegaConf.missing_keys(config)
    elif "folder" in config.model or is_model_folder(config.model.get("name", "")):
        assert config.model.get("pretrained") is None, "a folder has its weights"
    elif "name" in config.model:
        _open_clip_has(config.model.name, config.model.pretrained)
    else:
        assert not OmegaConf.is_missing(config.model, "path"), "no checkpoint"


def _one_of(sweep: Override) -> str:
    if sweep.is_interval_sweep():
        return str(sweep.value().start)
    return str(next(sweep.sweep_string_iterator()))


def _open_clip_has(name: object, pretrained: str | None) -> None:
    """An architecture and its tag; a name with a dot is a file, and a folder has its weights."""
    if isinstance(name, str) and has_prefix(name):
        assert pretrained is None
    elif isinstance(name, str):
        assert name in open_clip.list_models()
        if pretrained is not None and "." not in pretrained:
            assert pretrained in open_clip.list_pretrained_tags_by_model(name)


def _is_command(conf: Path, words: list[str]) -> None:
    match words:
        case ["python", "train.py" | "eval.py" as script, *arguments]:
            _composes(conf, script, arguments)
        case [name, *arguments] if name in HYDRA:
            _composes(conf, name.removeprefix("cyclip-"), arguments)
        case [name, *arguments] if name in PARSERS:
            PARSERS[name].parse_args(arguments)
        case ["python", "-m", "pytest", "-q", *paths]:
            assert all(path in FILES or (ROOT / path).is_file() for path in paths)
        case ["python", script, *_]:
            assert script in FILES or (ROOT / script).is_file()
        case ["make", target, *variables]:
            makefile = (ROOT / "Makefile").read_text()
            assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE)
            assert all(f"\n{v.partition('=')[0]} ?=" in makefile for v in variables)
        case ["pip", "install", "cyclip-pl"]:
            pass
        case ["pip", "install", package]:
            extra = package.removeprefix("cyclip-pl[").removesuffix("]")
            assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()
        case ["source", ".venv/bin/activate"] | [".venv/bin/pre-commit", "install"]:
            pass
        case _:
            pytest.fail("the tests do not know this kind of command")


@pytest.mark.slow
@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=[i for i, _ in COMMANDS])
def test_the_command_is_one(conf: Path, words: list[str]) -> None:
    _is_command(conf, words)


@pytest.mark.slow
def test_the_first_command_composes_from_a_shell() -> None:
    words = next(words for _, words in COMMANDS if words[:2] == ["python", "train.py"])
    done = subprocess.run(
        [sys.executable, *words[1:], "--cfg", "job", "--resolve"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "UniCLIP" in done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_compiles(block) -> None:
    compile(block.text, str(block.page), "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sh"], ids=str)
def test_bash_parses(block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
