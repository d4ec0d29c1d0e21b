"""Any error as one line that names the setting and what is allowed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cyclip_pl.checks import did_you_mean
from cyclip_pl.conf_dir import config_dir


def one_line(error: BaseException, config_name: str) -> str:
    """One line to print for `error`; a bug's line begins with the type of the error."""
    if isinstance(error, InstantiationException):
        return _instantiation(error, config_name)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _composition(error, config_name)
    if type(error).__module__.startswith(("torch._dynamo.", "torch._inductor.")):
        # The lines after the first are about debugging the compiler.
        return f"compile: {str(error).splitlines()[0]}; set compile=false"
    text = _flat(str(error))
    if worker := re.match(r"DataLoader worker \(pid\(?s?\)? ?([\d, ]+)\) .*?(signal: \w+|$)", text):
        return (
            f"data worker (pid {worker[1]}) died: {worker[2] or 'unexpectedly'}; if the memory ran"
            " out, lower data.workers, data.shuffle.buffer or data.prefetch"
        )
    if isinstance(error, (ValueError, FileNotFoundError)) and text:
        return text
    return f"{type(error).__name__}: {text} (CYCLIP_TRACEBACK=1 shows where)"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _instantiation(error: InstantiationException, config_name: str) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    where = re.search(r"full_key: (\S+)", str(error))
    key = where[1] if where else ""
    if isinstance(cause, TypeError) and key:
        return f"{key}: {_flat(str(cause))}"
    if cause is error:
        return _flat(str(error))
    return one_line(cause, config_name)


def _composition(error: BaseException, config_name: str) -> str:
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read: {text.splitlines()[0]}; quote it for the shell?"
    choice = re.search(r"Could not (?:find|load) '([^']+)/([^']+)'", text)
    if choice:
        known = sorted({p.stem for p in Path(config_dir(), choice[1]).glob("*.yaml")} - {"base"})
        hint = did_you_mean(choice[2], known)
        return f"{choice[1]}={choice[2]}: unknown choice{hint} ({choice[1]} has {', '.join(known)})"
    # A key inside the config, or a group of the defaults list.
    unknown = re.search(r"Could not override '?([^'\s]+)'?", text)
    if unknown:
        return _unknown_key(unknown[1].rstrip("."), config_name)
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return f"{missing[1]} has no value: set {missing[1]}=…"
    return _flat(text.split("\nTo append")[0].split("\nSet the environment")[0])


def _unknown_key(key: str, config_name: str) -> str:
    """Name the keys beside a mistyped one."""
    parent, _, name = key.rpartition(".")
    config: Any = _compose_without(key, config_name)
    groups = () if parent or config is None else config.hydra.runtime.choices
    if parent and config is not None:
        config = OmegaConf.select(config, parent)
    names = {str(k) for k in (*config, *groups)} if isinstance(config, DictConfig) else set()
    known = sorted(n for n in names if not n.startswith("_") and "/" not in n)
    listed = f" ({parent or 'the config'} has {', '.join(known)})" if known else ""
    return f"unknown setting {key}{did_you_mean(name, known)}{listed}"


def _compose_without(key: str, config_name: str) -> DictConfig | None:
    """The config that the rest of the command line makes, or None if that fails as well."""
    rest = [a for a in sys.argv[1:] if "=" in a and a.split("=")[0] != key]
    overrides = [a for a in rest if not a.startswith(("-", "hydra."))]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):
        return None
