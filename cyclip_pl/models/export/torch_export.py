"""`image.pt2` and `text.pt2`: the towers as graphs of `torch.export`, for any batch size."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cyclip_pl.files import reason
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.export.same import check_graph
from cyclip_pl.models.export.towers import Tower, towers


def write(model: ImageTextModel, folder: Path) -> list[str]:
    """Write both towers for `torch.export.load`.

    Images are uint8 (N, 3, H, W), tokens int64 (N, L); the rows have unit norm.

    Returns:
        What is not as it was trained: nothing.

    Raises:
        ValueError: torch cannot export a tower.
    """
    for name, tower in towers(model).items():
        path = folder / f"{name}.pt2"
        torch.export.save(program(f"format=torch_export: the {name} tower", tower), path)
        read: nn.Module = torch.export.load(path).module()
        check_graph("torch_export", f"{name}s", tower.module, tower.example, read)
    return []


def program(what: str, tower: Tower) -> torch.export.ExportedProgram:
    """The graph of a tower, for a batch of any size."""
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad():
            return torch.export.export(
                tower.module, (tower.example,), dynamic_shapes={tower.input: {0: batch}}
            )
    except Exception as error:  # dynamo raises many types
        raise ValueError(f"{what} cannot be exported by torch: {reason(error)}") from error
