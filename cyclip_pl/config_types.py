"""The types of a composed config, checked before anything slow is imported."""

from __future__ import annotations

from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from cyclip_pl import checks
from cyclip_pl.config_kinds import kind_of

_UNKNOWN = object()  # the default of a setting that `conf/` does not have


def check_types(config: DictConfig, defaults: DictConfig) -> None:
    """Compare each value with what its setting takes, by `config_kinds` or by its default.

    Raises:
        ValueError: One line that names the setting.
    """
    for key in config:
        _check(str(key), config, defaults)


def _check(setting: str, config: DictConfig, defaults: DictConfig) -> None:
    value, default = _plain(config, setting), _plain(defaults, setting)
    kind = kind_of(setting)
    if value is _UNKNOWN:
        return
    if kind is not None:
        kind(setting, value)
    elif isinstance(default, dict):
        if not isinstance(value, dict | None):  # null switches a part off
            names = ", ".join(key for key in default if not key.startswith("_"))
            checks.refuse(setting, value, f"null or a group of settings ({names})")
    elif isinstance(default, list):
        if not isinstance(value, list):
            checks.refuse(setting, value, f"a list: [{value}]")
        if len({type(one) for one in default}) == 1:
            for one in value:
                _check_scalar(setting, one, default[0])
    else:
        _check_scalar(setting, value, default)
    if kind is None and isinstance(value, dict):
        for key in value:
            _check(f"{setting}.{key}", config, defaults)


def _check_scalar(setting: str, value: Any, default: Any) -> None:
    if isinstance(default, bool):
        checks.boolean(setting, value)
    elif isinstance(default, int):
        checks.whole(setting, value, least=None)
    elif isinstance(default, float):
        checks.number(setting, value)
    elif isinstance(default, str) and not isinstance(value, str):
        checks.refuse(setting, value, "a text")


def _plain(config: DictConfig, setting: str) -> Any:
    """A value in plain containers, or _UNKNOWN: not there, not set yet, or not to be resolved."""
    try:
        value = OmegaConf.select(config, setting, default=_UNKNOWN)
    except InterpolationKeyError as error:
        what = str(error).splitlines()[0]
        raise ValueError(f"{setting}: {what}; where ${{ is text, write \\${{") from error
    except OmegaConfBaseException:
        return _UNKNOWN
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def chosen_defaults() -> DictConfig:
    """This job's config without experiments and typed values: the chosen files of each group."""
    hydra = HydraConfig.get()
    loader = GlobalHydra.instance().config_loader()
    groups = set(loader.list_groups(""))
    # Not resolved: they may refer to settings.
    arguments: Any = OmegaConf.to_container(hydra.overrides.task)
    typed = OverridesParser.create().parse_overrides(arguments)
    lists = [
        str(o.input_line) for o in typed if o.key_or_group in groups - hydra.runtime.choices.keys()
    ]
    chosen = [
        f"{group}={choice}"
        for group, choice in hydra.runtime.choices.items()
        if choice is not None and group in groups - {"experiment", "sweep", "hydra"}
    ]
    try:
        return loader.load_configuration(
            hydra.job.config_name, [*lists, *chosen], run_mode=RunMode.RUN
        )
    except (HydraException, OmegaConfBaseException):
        # A choice that only exists together with somebody's experiment.
        return OmegaConf.create()
