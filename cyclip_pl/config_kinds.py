"""What a setting takes, where its default in `conf/` does not say so.

A default says too little if it is null, if the setting takes several types, or if a number has
bounds that Lightning or PyTorch would tell in words of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from cyclip_pl import checks

Kind = Callable[[str, Any], None]


def kind_of(setting: str) -> Kind | None:
    """The check of a setting by its dotted name, or None: its default's type counts."""
    return next((kind for name, kind in _KINDS.items() if fnmatchcase(setting, name)), None)


def is_text(setting: str) -> bool:
    """Whether what is typed for a setting is meant as text, even if it is a number: a path."""
    return kind_of(setting) in (_path, _path_or_null, _paths, _paths_or_null, _text_or_null)


def may_be_null(setting: str) -> bool:
    """Whether null is a value of a text setting."""
    return kind_of(setting) in (_path_or_null, _text_or_null)


def takes_list(setting: str) -> bool:
    """Whether a list may be a value, for all that is known here."""
    lists = (None, _anything, _paths, _paths_or_null, _betas, _devices, _metrics)
    return kind_of(setting) in lists


def _anything(setting: str, value: Any) -> None:
    """Checked where it is used."""


def _path(setting: str, value: Any, optional: bool = False) -> None:
    if not (isinstance(value, str) and value) and not (optional and value is None):
        checks.refuse(setting, value, "a path", optional)


def _paths(setting: str, value: Any) -> None:
    if not isinstance(value, str | list | dict) or not value:
        checks.refuse(setting, value, "a path or a list of paths")


def _paths_or_null(setting: str, value: Any) -> None:
    if value is not None:
        _paths(setting, value)


def _metrics(setting: str, value: Any) -> None:
    listed = value if isinstance(value, list) and value else [value]
    if value is not None and not all(isinstance(one, str) and "/" in one for one in listed):
        checks.refuse(setting, value, "<evaluation>/<metric> or a list of them", True)


def _devices(setting: str, value: Any) -> None:
    number = type(value) is int and (value == -1 or value > 0)
    text = isinstance(value, str) and (value == "auto" or set(value) <= set("0123456789, "))
    listed = isinstance(value, list) and value and all(type(one) is int for one in value)
    if not (number or text or listed):
        checks.refuse(setting, value, "a number of devices, -1 for all, auto, or a list as [0, 1]")


def _weights_or_null(setting: str, value: Any) -> None:
    if value is not None and not (isinstance(value, dict) and value):
        checks.refuse(setting, value, "keys with weights, {txt: 0.5, recaption: 0.5}", True)


def _compile(setting: str, value: Any) -> None:
    if not isinstance(value, bool | dict):
        checks.refuse(setting, value, "true, false or arguments, {mode: max-autotune}")


def _port(setting: str, value: Any) -> None:
    if type(value) is not int or not 0 <= value < 1 << 16:
        checks.refuse(setting, value, "a port, 0 to 65535")


def _betas(setting: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) != 2:
        checks.refuse(setting, value, "a list of two numbers")
    for one in value:
        checks.number(setting, one, least=0, most=1)


def _deterministic(setting: str, value: Any) -> None:
    if value != "warn":
        checks.boolean(setting, value, optional=True)


def _trust(setting: str, value: Any) -> None:
    if not isinstance(value, bool | str | list):
        checks.refuse(setting, value, "true, false or the name of your package")


_whole_or_null = partial(checks.whole, optional=True)
_text_or_null = partial(checks.text, optional=True)
_path_or_null = partial(_path, optional=True)
_not_negative = partial(checks.number, least=0)
_accelerator = partial(checks.one_of, choices=["auto", "cpu", "gpu", "cuda", "mps", "tpu"])
_MUON_RATES = ["match_rms_adamw", "original", "spectral_unclamped"]
_PRECISIONS = ["auto", "bf16-mixed", "16-mixed", "32-true", "64-true", "bf16-true", "16-true"]
_PRECISIONS += ["transformer-engine", "transformer-engine-float16", "bf16", "16", "32", "64"]


def _precision(setting: str, value: Any) -> None:
    checks.one_of(setting, str(value), _PRECISIONS)


# By dotted name, where a star stands for any text; the first that fits counts.
_KINDS: dict[str, Kind] = {
    "seed": partial(checks.whole, least=0),
    "microbatch": _whole_or_null,
    "compile": _compile,
    "resume": _path_or_null,
    "run_id": _text_or_null,
    "checkpoint": _paths,  # several for cyclip-search; model.path takes one
    "shards": _paths,
    "caption_key": _text_or_null,
    "limit": _whole_or_null,
    "port": _port,
    "cache": _path,
    "objective_metric": _metrics,
    "out": _path,
    "format": _anything,
    "weights": partial(checks.one_of, choices=["saved", "raw"]),
    "license": _text_or_null,
    "data_license": _text_or_null,
    "push": _text_or_null,
    "run_dir": _path,
    "hydra.run.dir": _path,
    "hydra.sweep.*dir": _path,
    "accelerator": _accelerator,
    "devices": _devices,
    "features.batch_size": _whole_or_null,
    "features.workers": partial(checks.whole, least=0, optional=True),
    "features.cache": _path_or_null,
    "model.name": _path,
    "model.path": _path,
    "model.folder": _path,
    "model.pretrained": _path_or_null,
    "model.source": _path,
    "model.trust": _trust,
    "trust": _trust,
    "model.weights": partial(checks.one_of, choices=["saved", "raw"]),
    "encoder.architecture": _anything,
    "encoder.image_size": _whole_or_null,
    "encoder.context_length": _whole_or_null,
    "encoder.pretrained": _path_or_null,
    "encoder.quick_gelu": partial(checks.boolean, optional=True),
    "encoder.lock_image_unlocked_groups": _whole_or_null,
    "encoder.lock_text_unlocked_layers": _whole_or_null,
    "encoder.mean": _anything,
    "encoder.std": _anything,
    "objective.*init_scale": partial(checks.number, least=1, optional=True),
    "objective.*init_bias": partial(checks.number, optional=True),
    "objective.top_k": _whole_or_null,
    "projector.dim": _whole_or_null,
    "optimizer.lr": _not_negative,
    "optimizer.betas": _betas,
    "optimizer.eps": _not_negative,
    "optimizer.weight_decay": _not_negative,
    "optimizer.momentum": checks.probability,
    "optimizer.max_grad_norm": partial(_not_negative, optional=True),
    "optimizer.beta2_decay": partial(checks.number, most=0),
    "optimizer.d": partial(checks.number, above=0),
    "optimizer.ns_steps": checks.whole,
    "optimizer.adjust_lr_fn": partial(checks.one_of, choices=_MUON_RATES),
    "rates.*_layer_decay": partial(checks.number, above=0, most=1),
    "rates.*": _not_negative,
    "scheduler.warmup_steps": partial(checks.whole, least=0),
    "scheduler.decay_steps": _whole_or_null,
    "scheduler.cooldown_steps": _whole_or_null,
    "scheduler.*_fraction": checks.probability,
    "scheduler.decay_shape": partial(checks.one_of, choices=["linear", "1-sqrt"]),
    "scheduler.decay_power": partial(checks.number, above=0),
    "data.train.shards": _paths,
    "data.train.samples_per_epoch": _whole_or_null,
    "data.val.shards": _paths_or_null,
    "data.val.batch_size": partial(checks.whole, least=2),
    "data.val.every_n_*": _whole_or_null,
    "data.max_skipped": partial(checks.number, least=0, most=1, optional=True),
    "data.caption_key": _text_or_null,
    "data.caption_keys": _weights_or_null,
    "data.text": partial(checks.one_of, choices=["fixed", "variable"]),
    "data.length_bucket": _whole_or_null,
    "data.prepare.output": _path,
    "evaluation.library.datasets": _anything,
    "evaluation.library.root": _path,
    "evaluation.library.downloads": _path,
    "evaluation.default_sets.*": _anything,
    "evaluation.robustness.in_distribution": _paths_or_null,
    "evaluation.robustness.shifted": _paths_or_null,
    "evaluation.robustness.models": _anything,
    "evaluation*.datasets": _paths_or_null,
    "evaluation.*.templates": _anything,
    "evaluation.*.hierarchy": _anything,
    "evaluation.*.val_split": _text_or_null,
    "evaluation.*.metric": _text_or_null,
    "evaluation.*.cadence.*": _whole_or_null,
    "callbacks.*.dirpath": _path,
    "callbacks.ema.every_n_steps": checks.whole,
    "callbacks.*.every_n_steps": _whole_or_null,
    "callbacks.*.keep": checks.whole,
    "callbacks.*.every_n_minutes": partial(checks.number, above=0, optional=True),
    "callbacks.ema.evaluate": partial(checks.one_of, choices=["average", "raw", "both"]),
    "callbacks.best.mode": partial(checks.one_of, choices=["max", "min"]),
    "callbacks.best.monitor": _text_or_null,
    "callbacks.early_stopping.mode": partial(checks.one_of, choices=["min", "max"]),
    "callbacks.early_stopping.patience": checks.whole,
    "callbacks.early_stopping.min_delta": _not_negative,
    "callbacks.examples.datasets": _paths,
    "callbacks.examples.library": _anything,
    "callbacks.progress.lines_every": checks.whole,
    "logger.*.save_dir": _path,
    "logger.*": _anything,
    "trainer.accelerator": _accelerator,
    "trainer.devices": _devices,
    "trainer.num_nodes": checks.whole,
    "trainer.strategy.timeout.seconds": partial(checks.number, above=0),
    "trainer.strategy": _anything,
    "trainer.precision": _precision,
    "trainer.max_steps": partial(checks.whole, unlimited=True),
    "trainer.max_epochs": partial(checks.whole, unlimited=True, optional=True),
    "trainer.gradient_clip_val": partial(_not_negative, optional=True),
    "trainer.gradient_clip_algorithm": _text_or_null,
    "trainer.log_every_n_steps": checks.whole,
    "trainer.limit_train_batches": partial(_not_negative, optional=True),
    "trainer.benchmark": partial(checks.boolean, optional=True),
    "trainer.deterministic": _deterministic,
}
