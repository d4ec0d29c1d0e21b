"""`image.onnx` and `text.onnx`: the towers for onnxruntime, for any batch size."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path

import torch
from torch import Tensor

from cyclip_pl.files import reason
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.export import vocabulary
from cyclip_pl.models.export.same import check_graph, image_size
from cyclip_pl.models.export.towers import Tower, towers

_MOST_IN_ONE_FILE = 1_900_000_000  # bytes of weights; an ONNX file ends at 2 GiB


def write(model: ImageTextModel, folder: Path) -> list[str]:
    """Write both towers, `onnx.json` with what else is needed, and the tokenizer.

    Images are uint8 (N, 3, H, W), tokens int64 (N, L); the rows have unit norm.

    Returns:
        What is not as it was trained: nothing.

    Raises:
        ValueError: torch cannot export a tower to ONNX, or a package is missing.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not util.find_spec(name)]
    if missing:
        raise ValueError(
            f"format=onnx: needs {' and '.join(missing)}: pip install 'cyclip-pl[onnx]'"
        )
    found = towers(model)
    for name, tower in found.items():
        path = folder / f"{name}.onnx"
        _export(name, tower, path)
        check_graph("onnx", f"{name}s", tower.module, tower.example, runner(path, tower.input))
    facts = {
        "image_size": image_size(model),
        "context_length": found["text"].example.shape[1],
        "scale": model.scale,
        "bias": model.bias,
    }
    (folder / "onnx.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    vocabulary.write_tokenizer(model, folder)
    return []


def runner(path: Path, name: str) -> Callable[[Tensor], Tensor]:
    """A function that runs an ONNX file of one input on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(rows: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: rows.numpy()})[0])

    return run


def _export(name: str, tower: Tower, path: Path) -> None:
    size = sum(p.numel() * p.element_size() for p in tower.module.parameters())
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                tower.module,
                (tower.example,),
                path,
                input_names=[tower.input],
                output_names=["embeddings"],
                dynamic_shapes={tower.input: {0: torch.export.Dim("batch")}},
                dynamo=True,
                external_data=size > _MOST_IN_ONE_FILE,
            )
    except Exception as error:  # torch and onnxscript raise many types
        raise ValueError(
            f"format=onnx: the {name} tower cannot be exported to ONNX: {reason(error)}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints each of its steps, and warns of what it decides by itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
