"""One training run: from the composed config to the run folder."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.callbacks.ranks import Ranks
from cyclip_pl.callbacks.stop import Stop
from cyclip_pl.callbacks.throughput import Throughput
from cyclip_pl.checkpoints.files import checkpoint_file
from cyclip_pl.checkpoints.resume import check_resumable, check_weights
from cyclip_pl.compilation import compile_parts
from cyclip_pl.evaluation.output import write_metrics
from cyclip_pl.evaluation.terminal import print_table
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.provenance import provenance, write_provenance


def train(config: DictConfig) -> dict[str, float]:
    """Run what `conf/train.yaml` describes; returns the metrics of `metrics.json`.

    Raises:
        ValueError: Settings that do not work together, or files that cannot be used.
    """
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _quiet()
    plain: Any = OmegaConf.to_container(config, resolve=True)
    resume = None if config.resume is None else checkpoint_file(config.resume, "resume")
    if resume is not None:
        check_resumable(resume, plain["encoder"])
    L.seed_everything(config.seed, workers=True, verbose=False)

    encoder = instantiate(config.encoder)
    projector = instantiate(config.projector)(features=encoder.embed_dim)
    objective = instantiate(config.objective)
    views = instantiate(config.views)
    objective.needs.check(views, projector)
    projector.check(views)
    module = ContrastiveModule(
        encoder,
        projector,
        objective,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        config=plain,
        microbatch=config.microbatch,
    )
    compile_parts([encoder, projector], plain["compile"])
    if resume is not None:
        check_weights(resume, module)
    make_data = instantiate(config.data, _partial_=True)
    data = make_data(views=views, tokenizer=encoder.tokenizer, seed=config.seed)

    # The first callback, so that its clock stops before evaluations start.
    throughput = Throughput()
    evaluation = EvaluationCallback.from_config(config.get("evaluation"), config.features)
    ranks = Ranks()
    trainer = instantiate(
        {**config.trainer, "precision": precision(config.trainer)},
        callbacks=[throughput, evaluation, ranks, *_instances(config, "callbacks"), Stop()],
        logger=_instances(config, "logger"),
        default_root_dir=folder,
    )
    module.provenance = provenance(trainer.strategy.root_device)
    if trainer.is_global_zero:
        write_provenance(folder, module.provenance)
        OmegaConf.save(OmegaConf.create(plain), folder / "config.yaml")
    with ranks.watching(trainer):
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)

    metrics = {
        **evaluation.metrics,
        "train/seconds": throughput.seconds,
        "train/samples": float(throughput.samples),
    }
    if trainer.is_global_zero:
        write_metrics(folder, metrics)
        print_table(evaluation.metrics)
        print(f"run folder: {folder}")
    return metrics


def _instances(config: DictConfig, group: str) -> list[Any]:
    """Instantiate each entry of a group; an empty group is allowed."""
    return list(instantiate(config.get(group) or {}).values())


def _quiet() -> None:
    """Silence Lightning's banners and two false warnings; keep all other warnings."""
    logging.getLogger("lightning").setLevel(logging.WARNING)
    for logger in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{logger}").setLevel(logging.WARNING)
    # The length is right, since each reader knows its share. The other is Lightning's own call.
    warnings.filterwarnings("ignore", ".*`IterableDataset` has `__len__` defined.*")
    warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")


def precision(trainer: DictConfig) -> str:
    """`trainer.precision`; `auto` is bfloat16 where the device computes in it natively."""
    if trainer.precision != "auto":
        return trainer.precision
    if trainer.accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
