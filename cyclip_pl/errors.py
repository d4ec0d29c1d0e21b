"""Any error as one line that names the setting and what is allowed."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import Any

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def one_line(error: BaseException, config_name: str) -> str:
    """What to print of `error`; what is neither the user's nor the config's says its own type."""
    if isinstance(error, InstantiationException):
        return _instantiation(error, config_name)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _composition(error, config_name)
    if type(error).__module__.startswith(("torch._dynamo.", "torch._inductor.")):
        # The lines after the first are about debugging the compiler.
        return f"compile: {str(error).splitlines()[0]}; set compile=false"
    text = _flat(str(error))
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
    group = re.search(r"Could not find '([^']+)'", text)
    options = re.search(r"Available options in '([^']+)':(.*)", text, re.DOTALL)
    if group and options:
        choice = group[1].removeprefix(f"{options[1]}/")
        return f"{options[1]}={choice}: choose from {', '.join(options[2].split())}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return _unknown_key(unknown[1], config_name)
    missing_group = re.search(r"Could not override '?([^'\s]+)'?\.? No match in the defaults", text)
    if missing_group:
        return _unknown_key(missing_group[1], config_name)
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return f"{missing[1]} has no value: set {missing[1]}=…"
    return _flat(text.split("\nTo append")[0].split("\nSet the environment")[0])


def _unknown_key(key: str, config_name: str) -> str:
    """Name the keys beside a mistyped one."""
    parent, _, name = key.rpartition(".")
    config: Any = _compose_without(key, config_name)
    if parent:
        config = OmegaConf.select(config, parent) if config is not None else None
    known = (
        [str(k) for k in config if not str(k).startswith("_")]
        if isinstance(config, DictConfig)
        else []
    )
    if not known:
        return f"{key} is no setting"
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{key} is no setting; {parent or 'the config'} has {', '.join(sorted(known))}{hint}"


def _compose_without(key: str, config_name: str) -> DictConfig | None:
    """The config that the rest of the command line makes, or None if that fails as well."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from cyclip_pl.conf_dir import config_dir

    rest = [
        a for a in sys.argv[1:] if "=" in a and not a.startswith("-") and a.split("=")[0] != key
    ]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose(config_name, overrides=[a for a in rest if not a.startswith("hydra.")])
    except (HydraException, OmegaConfBaseException):
        return None
