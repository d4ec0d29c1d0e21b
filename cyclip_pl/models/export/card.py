"""The model card: what the model is, how it was trained, what it reaches, and how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cyclip_pl.metric_kinds import BOUNDS, COUNTS, kind_of, label, without_bounds
from cyclip_pl.models.export.facts import Facts
from cyclip_pl.models.export.text import block, code, table
from cyclip_pl.models.export.usage import usage

_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.\-+]*")  # of a licence, as Hugging Face names them
_LIBRARIES = {"open_clip": "open_clip", "transformers": "transformers", "onnx": "onnx"}
# Settings that say how a model was trained.
_TRAINING = [
    *("seed", "data.batch_size", "optimizer", "scheduler", "trainer.max_steps"),
    *("trainer.max_epochs", "trainer.precision", "encoder", "projector", "views"),
]


def card(
    facts: Facts,
    name: str,
    formats: Sequence[str],
    notes: Sequence[str],
    license: str | None,
    data_license: str | None,
    made_by: Mapping[str, Any],
    repository: str | None = None,
) -> str:
    """`README.md` with the front matter that Hugging Face reads.

    Args:
        name: Of the model, for the title.
        formats: What was exported.
        notes: What is not as it was trained, a sentence each.
        license: Of the weights; None leaves it open, and the card says so.
        data_license: Of the training data; None takes what the facts say.
        made_by: Provenance of the export.
        repository: ORG/NAME where the folder is uploaded to, if it is.
    """
    objective = _name(facts.config.get("objective"))
    parts = [
        f"# {name}",
        "An image tower and a text tower with one space of embeddings, exported by CyCLIP-PL.",
        *(f"- {note}" for note in notes),
        "## Use",
        *(usage(one, repository) for one in formats),
        "## Training",
        _objective(facts, objective),
        _data(facts, data_license or facts.data_license),
        _settings(facts.config),
        "## Metrics",
        _metrics(facts.metrics),
        "## Provenance",
        _provenance(facts.provenance, made_by),
        "## Licence",
        f"Weights: {_or_not_stated(license)}. Training data:"
        f" {_or_not_stated(data_license or facts.data_license)}.",
    ]
    return f"---\n{_front_matter(facts, name, formats, objective, license)}\n---\n\n" + (
        "\n\n".join(part for part in parts if part) + "\n"
    )


def _front_matter(
    facts: Facts, title: str, formats: Sequence[str], objective: str, license: str | None
) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    known = license is not None and _IDENTIFIER.fullmatch(license)
    tags = ["clip", "contrastive-learning", "vision-language", "cyclip-pl"]
    if re.fullmatch(r"\w{1,40}", objective):
        tags.append(objective.lower())
    results = [
        EvalResult(
            task_type="zero-shot-image-classification",
            dataset_type=_plain(name.split("/")[0]),
            dataset_name=_plain(name.split("/")[0]),
            metric_type="accuracy",
            metric_name="acc1",
            metric_value=value,
        )
        for name, value in sorted(facts.metrics.items())
        if re.fullmatch(r"[^/]+/zero_shot/acc1", name)
    ]
    return ModelCardData(
        license=None if license is None else license if known else "other",
        license_name=None if license is None or known else _plain(license),
        library_name=next((_LIBRARIES[one] for one in formats if one in _LIBRARIES), None),
        pipeline_tag="zero-shot-image-classification",
        tags=tags,
        model_name=_plain(title) if results else None,
        eval_results=results or None,
    ).to_yaml()


def _objective(facts: Facts, name: str) -> str:
    found = facts.config.get("objective")
    settings = found if isinstance(found, dict) else {}
    shown = ", ".join(code(f"{k}={v}") for k, v in settings.items() if not str(k).startswith("_"))
    return f"Objective: {code(name)}" + (f" with {shown}." if shown else ".")


def _data(facts: Facts, license: str | None) -> str:
    data = facts.config.get("data")
    source = data.get("train") if isinstance(data, dict) else None
    shards = source.get("shards") if isinstance(source, dict) else None
    lines = [f"Data: {code(shards)}" if shards else "Data: not stated"]
    if license:
        lines.append(f"licence of the data: {code(license)}")
    if facts.samples is not None:
        lines.append(f"{facts.samples:,} image-text pairs seen")
    if facts.step is not None:
        lines.append(f"{facts.step:,} steps")
    return "; ".join(lines) + "."


def _settings(config: Mapping[str, Any]) -> str:
    rows = []
    for setting in _TRAINING:
        node: Any = config
        for key in setting.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if node is not None:
            rows.append((code(setting), code(_without_private(node))))
    return table(("setting", "value"), rows) if rows else ""


def _without_private(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    kept = {k: _without_private(v) for k, v in node.items() if not str(k).startswith("_")}
    return {"class": _name(node), **kept} if "_target_" in node else kept


def _metrics(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return "The run folder holds no metrics of these weights."
    rows = []
    for name in without_bounds(sorted(metrics)):
        title, _, metric = name.rpartition("/")
        kind = kind_of(metric)
        low, high = (metrics.get(name + bound) for bound in BOUNDS)
        if metric in COUNTS:
            continue
        interval = "" if low is None or high is None else f"{kind.text(low)} to {kind.text(high)}"
        rows.append((code(title), label(metric), kind.text(metrics[name]), interval))
    head = ("set and evaluation", "metric", "value", "95 % interval")
    return table(head, [(a, code(b), c, d) for a, b, c, d in rows])


def _provenance(training: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    said = []
    for what, made_by in (("Training", training), ("Export", export)):
        if not made_by:
            said.append(f"{what}: not stated.")
            continue
        git = made_by.get("git")
        revision = git.get("revision") if isinstance(git, dict) else None
        versions = made_by.get("packages")
        packages = versions if isinstance(versions, dict) else {}
        facts = {
            "started": made_by.get("started"),
            "device": made_by.get("device"),
            "cyclip_pl": made_by.get("cyclip_pl"),
            "git": revision,
            "python": made_by.get("python"),
            **packages,
        }
        shown = ", ".join(f"{code(k)} {code(v)}" for k, v in facts.items() if v is not None)
        said.append(f"{what}: {shown}.")
        if made_by.get("command"):  # without the folder that it is installed in
            said.append(block(re.sub(r"^\S*/", "", made_by["command"]), "sh"))
    return "\n\n".join(said)


def _name(node: Any) -> str:
    """The class that a part of the config names."""
    target = node.get("_target_") if isinstance(node, dict) else None
    return target.rpartition(".")[2] if isinstance(target, str) else "not stated"


def _or_not_stated(text: str | None) -> str:
    return code(text) if text else "not stated"


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200]
