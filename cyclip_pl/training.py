"""One training run: from the composed config to the run folder."""

from __future__ import annotations

import json
import logging
import tempfile
import uuid
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cyclip_pl import run_folder, signals, sweeps
from cyclip_pl.batch_norm import over_ranks
from cyclip_pl.callbacks import refused
from cyclip_pl.callbacks.ema import EMA
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.callbacks.finite import NONFINITE, StopWhenNotFinite
from cyclip_pl.callbacks.logged import LoggedStep
from cyclip_pl.callbacks.overview import Overview
from cyclip_pl.callbacks.profile import ProfileTable
from cyclip_pl.callbacks.ranks import Ranks
from cyclip_pl.callbacks.resume import Resume
from cyclip_pl.callbacks.settings import Settings
from cyclip_pl.callbacks.skipped import Skipped
from cyclip_pl.callbacks.stop import Stop
from cyclip_pl.callbacks.switches import switched_on
from cyclip_pl.callbacks.throughput import Throughput
from cyclip_pl.callbacks.validation import VAL, Validation
from cyclip_pl.checkpoints import resume
from cyclip_pl.checkpoints.io import CheckpointFiles
from cyclip_pl.compilation import compile_parts
from cyclip_pl.encoders import architectures
from cyclip_pl.encoders.interface import check_interface, text_length_of
from cyclip_pl.evaluation.build import entries
from cyclip_pl.evaluation.output import write_details, write_metrics
from cyclip_pl.evaluation.terminal import print_table
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.optimization.making import Maker, named_schedule
from cyclip_pl.optimization.rates import Rates
from cyclip_pl.plain_config import to_plain
from cyclip_pl.precision import precision, slow
from cyclip_pl.provenance import choices, of_resumed, provenance, typed, write_provenance

logger = logging.getLogger(__name__)

STEPS = "train/steps"  # of metrics.json: the steps that its weights have made


def train(config: DictConfig) -> dict[str, float]:
    """Run what `conf/train.yaml` describes; returns the metrics of `metrics.json`.

    Raises:
        ValueError: Settings that do not work together, files that cannot be used, or a run folder
            that another run has.
    """
    return _try(config) if config.trainer.get("fast_dev_run") else _run(config)


def _try(config: DictConfig) -> dict[str, float]:
    """Run all parts once, in a folder that does not stay."""
    if config.resume is not None:
        raise ValueError(
            f"trainer.fast_dev_run: tries a new run; leave out resume={config.resume}, or"
            " trainer.fast_dev_run"
        )
    named = Path(config.run_dir)
    try:
        with tempfile.TemporaryDirectory(prefix="cyclip_pl_") as folder:
            config.run_dir = folder
            return _run(config)
    finally:
        if named.is_dir():
            run_folder.leave_no_empty(named, with_log=True)


def _run(config: DictConfig) -> dict[str, float]:
    folder = Path(config.run_dir)
    _quiet()
    validates = [VAL] if OmegaConf.select(config, "data.val.shards") else []
    sweeps.check(config.objective_metric, [*entries(config.get("evaluation")), *validates])
    # The other processes of a run belong to the first, which holds the folder.
    with run_folder.lock(folder) if signals.is_first_rank() else nullcontext():
        checkpoints = _checkpoints(config)
        path = resume.find(config.resume, checkpoints)
        goes_on_here = path is not None and resume.lies_in(path, checkpoints)
        if config.overwrite and goes_on_here:
            raise ValueError(
                f"overwrite=true: would remove {path}, from which resume={config.resume} goes on;"
                " leave one of the two out"
            )
        if not (config.overwrite or goes_on_here):
            run_folder.check_free(folder, resume.held(checkpoints))
        if config.resume == "auto" and path is None and signals.is_first_rank():
            print(f"resume=auto: no checkpoint in {checkpoints}, so the run starts over")
        start = None if path is None else resume.read_start(path)
        if start:
            resume.check_choices(start, choices(), typed())
        plain = _resolved(config, start)
        changes = resume.changes(start, plain) if start else {}
        home = folder if goes_on_here else Path(path or "").parent.parent
        if start and (ended := _ended(start, config.trainer, home)):
            return ended
        if start and changes and signals.is_first_rank():
            print(resume.changes_line(start, changes), flush=True)
        return _train(config, plain, start, changes)


def _resolved(config: DictConfig, start: resume.Start | None) -> dict[str, Any]:
    """All settings in plain containers, with those that a start fills in."""
    if config.first_step:
        raise ValueError(f"first_step={config.first_step}: only resume sets it; leave it out")
    config.first_step = start.step if start else 0
    config.run_id = config.run_id or (start and start.run_id) or uuid.uuid4().hex[:8]
    if start:
        config.encoder.update(resume.of_weights(start, config.encoder))
    encoder = to_plain(config.encoder)
    # To read the architecture raises an error where none is given.
    if encoder.keys() >= architectures.SETTLED and config.encoder.architecture:
        config.encoder.update(architectures.settled(encoder, filled=start is not None))
    return to_plain(config)


def _train(
    config: DictConfig,
    plain: dict[str, Any],
    start: resume.Start | None,
    changes: dict[str, tuple[Any, Any]],
) -> dict[str, float]:
    folder = Path(config.run_dir)
    L.seed_everything(config.seed, workers=True, verbose=False)

    # A resumed run has its weights in the checkpoint; what it started from may be gone.
    begun = {"pretrained": None} if start and "pretrained" in config.encoder else {}
    encoder = instantiate(config.encoder, **begun)
    check_interface(encoder)
    plain["encoder"] |= getattr(encoder, "settings", {})
    projector = instantiate(config.projector)(features=encoder.embed_dim)
    objective = instantiate(config.objective)
    scale = getattr(encoder, "pretrained_scale", None)
    # The scale is of the embeddings that it was trained with: a head would make others.
    if scale is not None and not list(projector.parameters()):
        objective.begin_from(scale, encoder.pretrained_bias)
    if config.trainer.sync_batchnorm:
        for part in (encoder, projector):
            over_ranks(part)
    views = instantiate(config.views)
    objective.needs.check(views, projector)
    projector.check(views)
    module = ContrastiveModule(
        encoder,
        projector,
        objective,
        optimizer=Maker(instantiate(config.optimizer)),
        scheduler=named_schedule(instantiate(config.scheduler)),
        config=plain,
        microbatch=config.microbatch,
        rates=Rates(**plain["rates"]),
    )
    compile_parts([encoder, projector], plain["compile"])
    if start:
        resume.check_weights(start.path, module)
    variable = config.data.get("text") == "variable"
    lengths = {"text_length": text_length_of(encoder)} if variable else {}
    make_data = instantiate(config.data, _partial_=True)
    size, tokenizer = encoder.image_size, encoder.tokenizer
    wired = {"views": views, "tokenizer": tokenizer, "image_size": size, "seed": config.seed}
    data = make_data(**wired, **lengths)

    # The first callback, so that its clock stops before evaluations start.
    throughput, skipped = Throughput(), Skipped(data.max_skipped)
    evaluation = EvaluationCallback.from_config(config.get("evaluation"), config.features)
    validation, ranks = Validation(data.val), Ranks()
    off = config.trainer.get("logger") is False
    loggers = [] if off else [one for one in _instances(config, "logger").values() if one]
    chosen = _instances(config, "callbacks")
    refused.check(chosen, config.trainer)
    others = switched_on(chosen.values(), config.trainer, loggers)
    averages = [one for one in others if isinstance(one, EMA)]
    if start:
        resume.check_average(start.path, bool(averages))
    timeout: Any = instantiate(OmegaConf.select(config, "trainer.strategy.timeout"))
    used = precision(config.trainer)
    trainer = instantiate(
        {**config.trainer, "precision": used, "sync_batchnorm": False},
        callbacks=[
            throughput,
            skipped,
            Resume(),
            LoggedStep(),
            Settings(),
            Overview(),
            *averages,  # before evaluations look at them
            evaluation,
            validation,
            ranks,
            *(one for one in others if one not in averages),
            ProfileTable(),
            Stop(timeout),
        ],
        logger=loggers,
        enable_checkpointing=True,  # of `Stop`; the others are left out
        plugins=[CheckpointFiles()],
        default_root_dir=folder,
        _convert_="all",  # Lightning's own take no containers of OmegaConf
    )
    if trainer.is_global_zero and (told := slow(str(used), trainer.strategy.root_device)):
        logger.warning("%s", told)
    module.provenance = provenance(trainer.strategy.root_device)
    if start:
        before = start.provenance
        module.provenance = of_resumed(module.provenance, start.step, changes, before)
    if trainer.is_global_zero:
        if config.overwrite:
            run_folder.clear(folder)
            resume.clear(_checkpoints(config))
        write_provenance(folder, module.provenance)
        OmegaConf.save(OmegaConf.create(plain), folder / "config.yaml")
    with ranks.watching(trainer):
        trainer.fit(module, data, ckpt_path=start and start.path, weights_only=True)

    metrics = {
        **evaluation.metrics,
        **validation.metrics,
        "train/seconds": throughput.seconds,
        "train/samples": float(throughput.samples),
        **skipped.metrics,
        **_nonfinite(trainer),
        STEPS: float(trainer.global_step),
    }
    if trainer.is_global_zero:
        write_metrics(folder, metrics)
        write_details(folder, evaluation.details)
        print_table(evaluation.metrics)
        tried = "all parts ran; nothing is kept (trainer.fast_dev_run)"
        print(tried if config.trainer.get("fast_dev_run") else f"run folder: {folder}")
    return metrics


def _nonfinite(trainer: L.Trainer) -> dict[str, float]:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    finite = next((c for c in callbacks if isinstance(c, StopWhenNotFinite)), None)
    return {NONFINITE: float(finite.steps)} if finite is not None and finite.skip else {}


def _checkpoints(config: DictConfig) -> str:
    """The folder of the run's checkpoints, or its URL."""
    default = f"{config.run_dir}/checkpoints"
    return OmegaConf.select(config, "callbacks.last.dirpath") or default


def _ended(start: resume.Start, trainer: DictConfig, home: Path) -> dict[str, float] | None:
    """What the run in the folder `home` ended with, if nothing is left to do; says so."""
    by_steps = 0 <= trainer.max_steps <= start.step
    by_epochs = 0 <= (trainer.max_epochs or -1) <= start.epochs
    # A run may be killed behind its last checkpoint, and its evaluations are then left.
    file = home / "metrics.json"
    metrics = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if not (by_steps or by_epochs) or metrics.get(STEPS) != start.step:
        return None
    more = f"max_steps above {start.step}" if by_steps else f"max_epochs above {start.epochs}"
    if signals.is_first_rank():
        print(
            f"resume={start.path}: the run has ended at step {start.step} and nothing is left to"
            f" do; to go on, set trainer.{more}; to evaluate, eval.py checkpoint={start.path}"
        )
    return metrics


def _instances(config: DictConfig, group: str) -> dict[str, Any]:
    """Instantiate each entry of a group; an empty group is allowed."""
    made: Any = instantiate(config.get(group) or {}, _convert_="all")
    return made


def _quiet() -> None:
    """Silence Lightning's banners and three false warnings; keep all other warnings."""
    logging.getLogger("lightning").setLevel(logging.WARNING)
    for logger in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{logger}").setLevel(logging.WARNING)
    # The length is right, since each reader knows its share. The other is Lightning's own call.
    warnings.filterwarnings("ignore", ".*`IterableDataset` has `__len__` defined.*")
    warnings.filterwarnings("ignore", ".*isinstance\\(treespec, LeafSpec\\).*")
    # Features are never changed in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor.*")
