"""Write the small checkpoint that tests keep of each format.

    python -m tests.helpers.stored_checkpoint tests/models/data/format_1.ckpt

Run it once, with the code that first writes the format, and never again for a file that is stored:
a test then says whether later code still reads it. Beside it lie the embeddings of `EXAMPLES`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.module import ContrastiveModule
from tests.helpers.composed import composed

# Of 64 tokens, so that the file is small: it takes tokens, not strings.
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"layers": 1, "width": 16, "head_width": 8, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (3, 3, 32, 32) and tokens (3, 8), without a random generator."""
    images = (torch.arange(3 * 3 * 32 * 32) * 7919 % 256).to(torch.uint8).view(3, 3, 32, 32)
    tokens = torch.arange(1, 25).view(3, 8) % 60
    tokens[:, -1] = 63
    return images, tokens


@torch.no_grad()
def embeddings(model: ImageTextModel) -> dict[str, torch.Tensor]:
    """The rows (3, D) of both."""
    images, tokens = examples()
    return {"image": model.encode_image(images), "text": model.encode_text(tokens)}


def write(path: Path) -> None:
    """Write the checkpoint, and its embeddings into `.expected.pt` beside it."""
    config = composed("objective=siglip", "projector=linear", "projector.dim=10", "run_dir=run")
    config.encoder.architecture = ARCHITECTURE
    config.encoder.image_size = 32
    torch.manual_seed(0)
    encoder = instantiate(config.encoder)
    module = ContrastiveModule(
        encoder,
        instantiate(config.projector)(features=encoder.embed_dim),
        instantiate(config.objective),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
        config=OmegaConf.to_container(config, resolve=True),  # type: ignore[arg-type]
    )
    checkpoint = {"state_dict": module.state_dict(), "global_step": 7}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    torch.save(embeddings(module.as_model().eval()), path.with_suffix(".expected.pt"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
