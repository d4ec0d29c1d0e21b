"""The real composed configs, shrunk."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

CONF = Path(__file__).parents[2] / "conf"


def choices(group: str) -> list[str]:
    """The names of a config group, without what others only build on."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml") if p.stem != "base")


@cache  # composing takes 0.4 s
def _composed(config_name: str, overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config_name, overrides=list(overrides), return_hydra_config=True)


def composed(
    *overrides: str, config_name: str = "train", run_dir: str | Path = "run"
) -> DictConfig:
    """`conf/<config_name>.yaml` with overrides, as `python train.py …` sees it."""
    config = deepcopy(_composed(config_name, overrides))
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
        config.run_dir = str(run_dir)
    return config
