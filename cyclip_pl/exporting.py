"""One export: from a checkpoint to a folder that another library loads."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from cyclip_pl import checks, files
from cyclip_pl.files import reason
from cyclip_pl.models.export import card, hub
from cyclip_pl.models.export.facts import read_facts
from cyclip_pl.models.export.same import image_size
from cyclip_pl.models.load import load
from cyclip_pl.provenance import provenance

FORMATS = ("open_clip", "transformers", "onnx", "torch_export")
EXPORT = "export.json"  # what was exported; the mark of a folder that an export may replace


def export(config: DictConfig) -> Path:
    """Write what `conf/export.yaml` describes; returns the folder.

    Raises:
        ValueError: No usable checkpoint, a model that a format cannot hold, or a folder that
            cannot be written.
    """
    if not isinstance(config.checkpoint, str):
        checks.refuse("checkpoint", config.checkpoint, "one path")
    formats = _formats(config.format)
    out = Path(config.out).expanduser()
    _check_out(out, config.overwrite)
    api = hub.connect(config.push) if config.push else None
    settings: Any = OmegaConf.to_container(config)
    model = load(config.checkpoint, trust=settings["trust"], weights=config.weights)
    facts = read_facts(config.checkpoint, config.weights)
    try:
        with files.atomic_folder(out, config.overwrite) as folder:
            made_by = provenance(torch.device("cpu"))
            told = [note for name in formats for note in _writer(name)(model, folder)]
            notes = list(dict.fromkeys(told))
            written = {
                "formats": formats,
                "embed_dim": model.embed_dim,
                "image_size": image_size(model),
                "scale": model.scale,
                "bias": model.bias,
                "notes": notes,
                "cyclip_pl": made_by["cyclip_pl"],
            }
            _write_json(folder / EXPORT, written)
            text = card.card(
                facts,
                name=config.push or out.resolve().name,
                formats=formats,
                notes=notes,
                license=config.license,
                data_license=config.data_license,
                made_by=made_by,
                repository=config.push,
            )
            (folder / "README.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"out={out}: cannot be written: {error.strerror or reason(error)}"
        ) from error
    print(f"exported: {out} ({', '.join(sorted(path.name for path in out.iterdir()))})")
    if api is not None:
        print(f"uploaded: {hub.push(api, out, config.push, config.private)}")
    return out


def _formats(value: Any) -> list[str]:
    listed = OmegaConf.to_container(value) if OmegaConf.is_config(value) else [value]
    if not isinstance(listed, list) or not listed:
        checks.refuse("format", value, f"one or more of {', '.join(FORMATS)}")
    for one in listed:
        checks.one_of("format", one, FORMATS)
    return list(dict.fromkeys(map(str, listed)))


def _writer(format: str) -> Any:
    return import_module(f"cyclip_pl.models.export.{format}").write


def _check_out(out: Path, overwrite: bool) -> None:
    """Before the model is loaded: whether `out` is free, or an export that may be replaced."""
    try:
        files.check_free(out, overwrite)
    except FileExistsError as error:
        what = str(error).removeprefix(f"{out}: ")
        raise ValueError(
            f"out={out}: {what}; add overwrite=true, or name another folder"
        ) from error
    if out.is_dir() and any(out.iterdir()) and not (out / EXPORT).is_file():
        raise ValueError(
            f"out={out}: holds something that no export wrote, so overwrite=true does not replace"
            " it; name another folder"
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
