"""Any error as one line that names the setting and what is allowed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from cyclip_pl.checks import did_you_mean
from cyclip_pl.command_line import quoted, setting_of
from cyclip_pl.conf_dir import config_dir
from cyclip_pl.config_kinds import is_text, takes_list


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
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, about its arguments
        return f"trainer: {text}"
    if text.startswith("Expected more than 1 value per channel when training"):
        return (
            "data.batch_size, microbatch: a BatchNorm layer got one sample and needs two; raise"
            " data.batch_size, or choose a microbatch that leaves no single sample over"
        )
    if early := re.match(r"Early stopping conditioned on metric `(.*?)` which is not", text):
        return (
            f"callbacks: EarlyStopping looks at {early[1]} at the end of each epoch, and it is not"
            " there; set evaluation.<name>.cadence.every_n_epochs=1, or its strict=false to wait,"
            " or callbacks=[default,early_stopping]"
        )
    if isinstance(error, (ValueError, FileNotFoundError)) and text:
        return text
    return f"{type(error).__name__}: {text} (CYCLIP_TRACEBACK=1 shows where)"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _instantiation(error: InstantiationException, config_name: str) -> str:
    """The first cause that is not Hydra's: those behind it know neither setting nor file."""
    cause: BaseException = error
    key = ""
    while isinstance(cause, InstantiationException):
        where = re.search(r"full_key: (\S+)", str(cause))
        key = where[1] if where else key
        if cause.__cause__ is None:
            return _flat(str(cause))
        cause = cause.__cause__
    text = _flat(str(cause))
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    if isinstance(cause, TypeError) and key and unknown:
        return f"{key}.{unknown[1]}: unknown setting"
    line = text if isinstance(cause, TypeError) and key else one_line(cause, config_name)
    # Ours begin with a setting or a file.
    named = isinstance(cause, ValueError) and re.match(r"\S+[:=]", text)
    return line if named or not key or line.startswith(key) else f"{key}: {line}"


def _composition(error: BaseException, config_name: str) -> str:
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        # Hydra does not list those of a group of which several are chosen.
        files = [path.stem for path in Path(config_dir(), group).glob("*.yaml")]
        known = sorted({*(error.options or files)} - {"base"})
        there = f"{group} has {', '.join(known)}" if known else f"there is no group {group}"
        return f"{group}={choice}: unknown choice{did_you_mean(choice, known)} ({there})"
    if several := re.search(r"Ambiguous value for argument '(.*)'", text):
        return _ambiguous(several[1])
    if present := re.search(r"An item is already at '(\S+)'", text):
        return f"+{present[1]}: is there already; leave out the +"
    # A key inside the config, or a group of the defaults list.
    unknown = re.search(r"Could not (?:override|delete(?: from config\.)?) '?([^'\s]+)'?", text)
    if unknown:
        return _unknown_key(unknown[1].rstrip("."), config_name)
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{missing[1]} has no value: set {missing[1]}=…"
    if lost := re.search(r"Interpolation key '(.+)' not found[\s\S]*full_key: (\S+)", text):
        return f"{lost[2]}: ${{{lost[1]}}} is not a setting"
    if isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text}: {str(error.__cause__).splitlines()[0]}"
    return _flat(text.split("\nTo append")[0].split("\nSet the environment")[0])


def _ambiguous(argument: str) -> str:
    """Commas outside brackets."""
    setting = setting_of(argument)
    ways = []
    if is_text(setting):
        ways.append(f"as one text, type {quoted(argument)}")
    if takes_list(setting):
        ways.append(f"as a list, type {shlex.quote(argument.replace('=', '=[', 1) + ']')}")
    ways.append("to run each, add -m")
    return f"{argument}: several values: {'; '.join(ways)}"


def _unreadable(argument: str) -> str:
    """An argument that Hydra's grammar does not take."""
    setting, equals, text = argument.partition("=")
    if not equals or not setting:
        return f"{argument}: is not SETTING=VALUE, written without spaces"
    if not is_text(setting_of(argument)) and any(
        text.count(opens) != text.count(closes) for opens, closes in ("[]", "{}", "()")
    ):
        return f"{argument}: a bracket or brace has no partner"
    return f"{argument}: has characters that need quotes; type {quoted(argument)}"


def _unknown_key(key: str, config_name: str) -> str:
    """Name the keys beside a mistyped one, or the same name elsewhere."""
    config = _compose_without(key, config_name)
    if config is None:
        return f"unknown setting {key}"
    parent, _, name = key.rpartition(".")
    beside = OmegaConf.select(config, parent) if parent else config
    groups = () if parent else config.hydra.runtime.choices
    names = {str(k) for k in (*beside, *groups)} if isinstance(beside, DictConfig) else set()
    known = sorted(n for n in names if not n.startswith("_") and "/" not in n and n != "hydra")
    hint = did_you_mean(name, known)
    if not hint:
        with open_dict(config):
            del config["hydra"]
        every = list(_dotted(OmegaConf.to_container(config)))
        same = [dotted for dotted in every if dotted.rpartition(".")[2] == name]
        if (
            elsewhere := f"; did you mean {' or '.join(same)}?"
            if same
            else did_you_mean(key, every)
        ):
            return f"unknown setting {key}{elsewhere}"
    listed = f" ({parent or 'the config'} has {', '.join(known)})" if known else ""
    return f"unknown setting {key}{hint}{listed}"


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _dotted(value, f"{prefix}{key}.")


def _compose_without(key: str, config_name: str) -> DictConfig | None:
    """The config that the rest of the command line makes, or None if that fails as well."""
    rest = [a for a in sys.argv[1:] if "=" in a and setting_of(a) != key]
    overrides = [a for a in rest if not a.startswith(("-", "hydra."))]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):
        return None
