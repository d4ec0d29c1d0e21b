"""One evaluation run of a model, trained here or elsewhere."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from cyclip_pl import launching, run_folder, signals
from cyclip_pl.checkpoints.resume import held
from cyclip_pl.distributed import world_size
from cyclip_pl.evaluation import output
from cyclip_pl.evaluation.build import build
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.progress import EvaluationProgress
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.terminal import print_table
from cyclip_pl.plain_config import to_plain
from cyclip_pl.provenance import provenance, write_provenance

# Packages whose networks may be called by several threads at once.
_WITHOUT_STATE = {"torch", "torchvision", "timm", "open_clip", "cyclip_pl"}
_MOST_LANES = 8  # each holds a batch


def evaluate(config: DictConfig) -> dict[str, float]:
    """Run what `conf/eval.yaml` describes; returns the content of `metrics.json`.

    Raises:
        ValueError: No usable model or data set.
    """
    folder = Path(config.run_dir)
    if config.predictions:
        output.check_predictions()
    # The other processes of a run belong to the first, which holds the folder.
    with run_folder.lock(folder) if signals.is_first_rank() else nullcontext():
        run_folder.check_no_training(folder, held(folder / "checkpoints"))
        return _evaluate(config, folder)


def _evaluate(config: DictConfig, folder: Path) -> dict[str, float]:
    device, first = launching.launched(config.accelerator, config.devices)
    made_by = provenance(device)
    # Read one by one, so that an error names a missing setting as the user types it.
    settings = {key: config.model[key] for key in config.model}
    model = instantiate(settings, device=device)
    watch = EvaluationProgress() if first else None
    store = FeatureStore(model, **config.features, watch=watch, lanes=_lanes(model, device))
    results = run(build(config.get("evaluation")).values(), store)
    if first:
        write_provenance(folder, made_by)
        OmegaConf.save(OmegaConf.create(to_plain(config)), folder / "config.yaml")
        output.write_metrics(folder, results.metrics)
        output.write_details(folder, results)
        if config.predictions:
            output.write_predictions(folder, results)
        print_table(results.metrics)
        print(f"run folder: {folder}")
    return results.metrics


def _lanes(model: nn.Module, device: torch.device) -> int:
    """How many batches are encoded side by side: threads that share one wait for one another.

    Networks of other packages may keep something between two lines of their forward pass.
    """
    packages = {type(module).__module__.partition(".")[0] for module in model.modules()}
    if device.type != "cpu" or world_size() > 1 or not packages <= _WITHOUT_STATE:
        return 1
    return min(_MOST_LANES, torch.get_num_threads())
